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
