// Logarithms and powers to float32's last digits, and in double-float.
#include "accurate_exp.wgsl"
#include "double_float4.wgsl"

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

// An exponent q as the sum of two float32, the first with 12 digits: its products with whole numbers up to 4096 are exact.
struct Exponent { head: f32, rest: f32 }

// x^q for x ≥ 0 to within a few ulp; WGSL's own errs by as much as its exponent is large. q log2(x) = whole + what is left, of
// which the whole number goes into the exponent bits.
fn power(x: vec4f, q: Exponent) -> vec4f {
  let parts = scaled(x);
  let log = parts.part + logRest(parts.part);
  let whole = clamp(round((q.head + q.rest) * (parts.power + 1.44269504088896341 * log)), vec4f(-127.0), vec4f(127.0));
  // Exact: the head has few digits, and so has their difference.
  let left = q.head * parts.power - whole;
  let r = (left + q.rest * parts.power) * 0.693147180559945309 + (q.head + q.rest) * log;
  let value = reducedExp(r) * bitcast<vec4f>((vec4i(whole) + 127) << vec4u(23u));
  return select(value, vec4f(), x == vec4f());
}

// Below, adapters flush to 0.
const LEAST_NORMAL = 1.17549435e-38;

// log(x) in double-float, for normal x.high > 0; renormalised.
fn logarithm4(x: Pair4) -> Pair4 {
  let parts = scaled(x.high);
  // The logarithm of 1 + part in float32, and by one Newton step the digits that it lacks.
  let log = parts.part + logRest(parts.part);
  let inverse = exponential4(Pair4(log, vec4f()));
  let missing = add4(times4(Pair4(1.0 + parts.part, x.low / x.high * (1.0 + parts.part)), inverse), vec4f(-1.0));
  var t = Pair4(log, missing.high + missing.low);
  // + power · ln 2, in three parts, of which the first two are multiplied exactly.
  t = addProduct4(t, parts.power, vec4f(0.693359375));
  t = addProduct4(t, parts.power, vec4f(-2.1219253540039062e-4));
  t.low -= parts.power * 1.9046542121259336e-9;
  return renormalize4(t);
}

// x^q for x ≥ 0 in double-float, with a relative error of about 1e-9; 0 below exp(−80).
fn power4(x: Pair4, q: Exponent) -> Pair4 {
  let vanishes = x.high < vec4f(LEAST_NORMAL);
  let log = logarithm4(Pair4(select(x.high, vec4f(1.0), vanishes), select(x.low, vec4f(), vanishes)));
  let t = times4(log, Pair4(vec4f(q.head), vec4f(q.rest)));
  let value = exponential4(Pair4(-t.high, -t.low));
  let none = vanishes | (t.high < vec4f(-80.0));
  return Pair4(select(value.high, vec4f(), none), select(value.low, vec4f(), none));
}
