// No kernel of its own: the Gaussian kernel k = exp(−r²/(2L²)), for texts that make kernel values (see `KernelShader`).
#include "accurate_exp.wgsl"
#include "double_float4.wgsl"

// scale: 1/L.
fn kernelExponent(square: vec4f, scale: f32) -> vec4f { return 0.5 * square * scale * scale; }

// ∇_x k(x, z) = k(nearest)/L² · w (z − x), w = k(r)/k(nearest).
fn kernelWeight(square: vec4f, nearest: f32, scale: f32) -> vec4f {
  return accurateExp(-0.5 * (square - nearest * nearest) * scale * scale);
}

// rate: 1/(2L²).
fn kernelExponent4(square: Pair4, rate: Pair4) -> Pair4 { return times4(square, rate); }
