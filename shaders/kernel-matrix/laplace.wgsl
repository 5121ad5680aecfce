// No kernel of its own: the Laplace kernel k = exp(−r/L), for texts that make kernel values (see `KernelShader`).
#include "accurate_exp.wgsl"
#include "double_float4.wgsl"

// scale: 1/L.
fn kernelExponent(square: vec4f, scale: f32) -> vec4f { return sqrt(square) * scale; }

// ∇_x k(x, z) = k(nearest)/L · w (z − x), w = k(r)/k(nearest) / r.
fn kernelWeight(square: vec4f, nearest: f32, scale: f32) -> vec4f {
  let distance = sqrt(square);
  return accurateExp((nearest - distance) * scale) / distance;
}

// rate: 1/L.
fn kernelExponent4(square: Pair4, rate: Pair4) -> Pair4 {
  let same = square.high == vec4f();
  // One Newton step gives the digits of the root that float32 lacks.
  let root = sqrt(select(square.high, vec4f(1.0), same));
  let missing = addProduct4(square, -root, root);
  let exponent = times4(Pair4(root, (missing.high + missing.low) / (2.0 * root)), rate);
  return Pair4(select(exponent.high, vec4f(), same), select(exponent.low, vec4f(), same));
}
