// Four numbers in two floats each: high + low, the low part being what the high part cannot hold.
#include "head.wgsl"
#include "opaque.wgsl"

struct Pair4 {
  high: vec4f,
  low: vec4f,
}

// s + x with the error of the sum in the low part (Knuth's two-sum: exact, whichever is the larger).
fn add4(s: Pair4, x: vec4f) -> Pair4 {
  let sum = opaque4(s.high + x);
  let part = opaque4(sum - s.high);
  return Pair4(sum, s.low + ((s.high - opaque4(sum - part)) + (x - part)));
}

// a − b, exactly but for the rarest.
fn difference4(a: vec4f, b: vec4f) -> Pair4 {
  let difference = opaque4(a - b);
  let part = opaque4(difference - a);
  return Pair4(difference, (a - opaque4(difference - part)) - (b + part));
}

fn absolute4(x: Pair4) -> Pair4 {
  let sign = select(vec4f(1.0), vec4f(-1.0), x.high < vec4f());
  return Pair4(sign * x.high, sign * x.low);
}

fn plus4(a: Pair4, b: Pair4) -> Pair4 {
  let sum = add4(a, b.high);
  return Pair4(sum.high, sum.low + b.low);
}

// s + x z.
fn addProduct4(s: Pair4, x: vec4f, z: vec4f) -> Pair4 {
  let x1 = head4(x);
  return addSplitProduct4(s, x1, x - x1, z);
}

// The same for x = x1 + x2, x1 its head: for an x that is multiplied several times.
fn addSplitProduct4(s: Pair4, x1: vec4f, x2: vec4f, z: vec4f) -> Pair4 {
  let z1 = head4(z);
  let z2 = z - z1;
  var t = add4(s, x1 * z1);
  t.low += x1 * z2 + x2 * z1 + x2 * z2;
  return t;
}

// High and low part summed again, so that the low part is below the high part's last bit.
fn renormalize4(s: Pair4) -> Pair4 {
  let sum = opaque4(s.high + s.low);
  return Pair4(sum, s.low - opaque4(sum - s.high));
}

fn times4(a: Pair4, b: Pair4) -> Pair4 {
  var t = addProduct4(Pair4(), a.high, b.high);
  t.low += a.high * b.low + a.low * b.high;
  return renormalize4(t);
}

// s + (exp(r) − 1 − r) for |r| ≤ ln(2)/2, r² in double-float and the rest of the series in float32.
fn addExponentialRest(s: Pair4, r: Pair4) -> Pair4 {
  let z = r.high;
  var tail = vec4f(2.48015873e-5);
  tail = fma(tail, z, vec4f(1.98412698e-4));
  tail = fma(tail, z, vec4f(1.38888889e-3));
  tail = fma(tail, z, vec4f(8.33333333e-3));
  tail = fma(tail, z, vec4f(4.16666667e-2));
  tail = fma(tail, z, vec4f(1.66666667e-1));
  tail *= z * z * z;
  let square = times4(r, r);
  var sum = add4(s, 0.5 * square.high);
  sum = add4(sum, tail);
  sum.low += 0.5 * square.low;
  return sum;
}

// exp(−x) for −88 ≤ x with a relative error of about 1e-9, 0 from 87 on: −x = q ln 2 + r, then 1 + r + r²/2 in
// double-float and the rest of the series, at most 0.008, in float32.
fn exponential4(x: Pair4) -> Pair4 {
  let vanishes = x.high > vec4f(87.0);
  let high = -min(x.high, vec4f(87.0));
  let q = round(high * 1.44269504088896341);
  var r = Pair4(high - q * 0.693359375, vec4f());
  r = addProduct4(r, q, vec4f(2.1219253540039062e-4));
  // Where the value vanishes the low part may be of any size, and infinity times 0 would be NaN.
  r.low += q * 1.9046542121259336e-9 - select(x.low, vec4f(), vanishes);
  r = renormalize4(r);
  var s = addExponentialRest(add4(Pair4(vec4f(1.0), vec4f()), r.high), r);
  s.low += r.low;
  s = renormalize4(s);
  let scale = select(bitcast<vec4f>((vec4i(q) + vec4i(127)) << vec4u(23u)), vec4f(), vanishes);
  return Pair4(s.high * scale, s.low * scale);
}

// 1 − exp(−x) for x ≥ 0 with a relative error of about 1e-9.
fn complement4(x: Pair4) -> Pair4 {
  let near = x.high < vec4f(0.34);
  let r = Pair4(select(vec4f(), -x.high, near), select(vec4f(), -x.low, near));
  let small = renormalize4(addExponentialRest(r, r));
  let value = exponential4(x);
  let large = renormalize4(add4(Pair4(-value.high, -value.low), vec4f(1.0)));
  return Pair4(select(large.high, -small.high, near), select(large.low, -small.low, near));
}

// s + x z, all in two floats.
fn addPairs(s: Pair4, x: Pair4, z: Pair4) -> Pair4 {
  let x1 = head4(x.high);
  let x2 = x.high - x1;
  let z1 = head4(z.high);
  let z2 = z.high - z1;
  var sum = add4(s, x1 * z1);
  sum.low += x1 * z2 + x2 * z1 + x2 * z2 + (x.high * z.low + x.low * z.high);
  return sum;
}
