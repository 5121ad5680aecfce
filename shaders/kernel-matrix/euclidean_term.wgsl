// No kernel of its own: a term (a − b)² of a squared distance, for coordinate_distances.wgsl, with what float32 cannot hold of the
// difference and of its square.
#include "double_float4.wgsl"

fn addTerm(s: Pair4, a: vec4f, b: vec4f, coordinate: u32) -> Pair4 {
  // Knuth's two-sum of a and −b.
  let difference = opaque4(a - b);
  let part = opaque4(difference - a);
  let rest = (a - opaque4(difference - part)) - (b + part);
  let x1 = head4(difference);
  let x2 = difference - x1;
  // What x1² lacks is a term of its own: in the low part its roundings would add up.
  return add4(add4(s, x1 * x1), 2.0 * (x1 * x2 + difference * rest) + x2 * x2);
}
