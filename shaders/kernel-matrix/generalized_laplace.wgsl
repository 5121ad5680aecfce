// No kernel of its own: the Laplace kernel with an exponent, k = exp(−(r/L)^q), 0 < q ≤ 2, for texts that make kernel values
// (see `KernelShader`). EXPONENT_HEAD, EXPONENT_REST: the bits of two float32 whose sum is q, the first with 12 digits.
#include "accurate_exp.wgsl"
#include "double_float4.wgsl"

const Q_HEAD = bitcast<f32>(EXPONENT_HEAD);
const Q_REST = bitcast<f32>(EXPONENT_REST);

// x = 2^power (1 + part), with 1 + part from √½ to √2, for normal x > 0.
struct Scaled { power: vec4f, part: vec4f }

const ROOT_HALF = 0x3f3504f3;

fn scaled(x: vec4f) -> Scaled {
  let bits = bitcast<vec4i>(x) - vec4i(ROOT_HALF);
  return Scaled(vec4f(bits >> vec4u(23u)), bitcast<vec4f>((bits & vec4i(0x007fffff)) + vec4i(ROOT_HALF)) - 1.0);
}

// log(1 + f) − f, to about an ulp of the logarithm (the series of fdlibm's logf).
fn logRest(f: vec4f) -> vec4f {
  let s = f / (2.0 + f);
  let z = s * s;
  let series = z * (0.66666662693 + z * (0.40000972152 + z * (0.28498786688 + z * 0.24279078841)));
  let half = 0.5 * f * f;
  return s * (half + series) - half;
}

// x^q for x ≥ 0 to within a few ulp; WGSL's own errs by as much as its exponent is large. q log2(x) = whole + what is left, of
// which the whole number goes into the exponent bits.
fn power(x: vec4f) -> vec4f {
  let parts = scaled(x);
  let log = parts.part + logRest(parts.part);
  let whole = clamp(round((Q_HEAD + Q_REST) * (parts.power + 1.44269504088896341 * log)), vec4f(-127.0), vec4f(127.0));
  // Exact: the head has few digits, and so has their difference.
  let left = Q_HEAD * parts.power - whole;
  let r = (left + Q_REST * parts.power) * 0.693147180559945309 + (Q_HEAD + Q_REST) * log;
  let value = reducedExp(r) * bitcast<vec4f>((vec4i(whole) + 127) << vec4u(23u));
  return select(value, vec4f(), x == vec4f());
}

// scale: 1/L.
fn kernelExponent(square: vec4f, scale: f32) -> vec4f { return power(sqrt(square) * scale); }

// ∇_x k(x, z) = q k(nearest)/L^q · w (z − x), w = k(r)/k(nearest) · r^q/r².
fn kernelWeight(square: vec4f, nearest: f32, scale: f32) -> vec4f {
  let distance = sqrt(square);
  let relative = accurateExp(power(vec4f(nearest * scale)) - power(distance * scale));
  return relative * power(distance) / square;
}

// rate: −q log(L). (r/L)^q = exp(q/2 log(r²) − q log(L)).
fn kernelExponent4(square: Pair4, rate: Pair4) -> Pair4 {
  let same = square.high == vec4f();
  let high = select(square.high, vec4f(1.0), same);
  let parts = scaled(high);
  // The logarithm of 1 + part in float32, and by one Newton step the digits that it lacks.
  let log = parts.part + logRest(parts.part);
  let inverse = exponential4(Pair4(log, vec4f()));
  let missing = add4(times4(Pair4(1.0 + parts.part, square.low / high * (1.0 + parts.part)), inverse), vec4f(-1.0));
  var t = Pair4(log, missing.high + missing.low);
  // + power · ln 2, in three parts, of which the first two are multiplied exactly.
  t = addProduct4(t, parts.power, vec4f(0.693359375));
  t = addProduct4(t, parts.power, vec4f(-2.1219253540039062e-4));
  t.low -= parts.power * 1.9046542121259336e-9;
  t = plus4(times4(renormalize4(t), Pair4(vec4f(0.5 * Q_HEAD), vec4f(0.5 * Q_REST))), rate);
  // From exp(5) on k vanishes, below exp(−80) it is 1.
  let within = (t.high > vec4f(-80.0)) & (t.high < vec4f(5.0));
  let exponent = exponential4(Pair4(-clamp(t.high, vec4f(-80.0), vec4f(5.0)), select(vec4f(), -t.low, within)));
  return Pair4(select(exponent.high, vec4f(), same), select(exponent.low, vec4f(), same));
}
