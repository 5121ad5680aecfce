// No kernel of its own: the Laplace kernel with an exponent, k = exp(−(r/L)^q), 0 < q ≤ 2, for texts that make kernel values
// (see `KernelShader`). EXPONENT_HEAD, EXPONENT_REST: the bits of two float32 whose sum is q, the first with 12 digits.
#include "logarithm.wgsl"

const Q = Exponent(bitcast<f32>(EXPONENT_HEAD), bitcast<f32>(EXPONENT_REST));

// scale: 1/L.
fn kernelExponent(square: vec4f, scale: f32) -> vec4f { return power(sqrt(square) * scale, Q); }

// ∇_x k(x, z) = q k(nearest)/L^q · w (z − x), w = k(r)/k(nearest) · r^q/r².
fn kernelWeight(square: vec4f, nearest: f32, scale: f32) -> vec4f {
  let distance = sqrt(square);
  let relative = accurateExp(power(vec4f(nearest * scale), Q) - power(distance * scale, Q));
  return relative * power(distance, Q) / square;
}

// rate: −q log(L). (r/L)^q = exp(q/2 log(r²) − q log(L)).
fn kernelExponent4(square: Pair4, rate: Pair4) -> Pair4 {
  let same = square.high == vec4f();
  let log = logarithm4(Pair4(select(square.high, vec4f(1.0), same), square.low));
  let t = plus4(times4(log, Pair4(vec4f(0.5 * Q.head), vec4f(0.5 * Q.rest))), rate);
  // From exp(5) on k vanishes, below exp(−80) it is 1.
  let within = (t.high > vec4f(-80.0)) & (t.high < vec4f(5.0));
  let exponent = exponential4(Pair4(-clamp(t.high, vec4f(-80.0), vec4f(5.0)), select(vec4f(), -t.low, within)));
  return Pair4(select(exponent.high, vec4f(), same), select(exponent.low, vec4f(), same));
}
