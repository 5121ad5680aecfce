// Sums in two floats: s.x + s.y, the second being what the first cannot hold.
#include "head.wgsl"
#include "opaque.wgsl"

// s + x with the error of the sum in the low part (Knuth's two-sum: exact, whichever is the larger).
fn add(s: vec2f, x: f32) -> vec2f {
  let sum = opaque(s.x + x);
  let part = opaque(sum - s.x);
  return vec2f(sum, s.y + ((s.x - opaque(sum - part)) + (x - part)));
}

// s + x · z.
fn addProduct(s: vec2f, x: f32, z: f32) -> vec2f {
  let x1 = head(x);
  let x2 = x - x1;
  let z1 = head(z);
  let z2 = z - z1;
  var t = add(s, x1 * z1);
  t.y += x1 * z2 + x2 * z1 + x2 * z2;
  return t;
}
