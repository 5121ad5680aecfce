// No kernel of its own: a term (a − b)² of a squared distance, for coordinate_distances.wgsl, with what float32 cannot hold of the
// difference and of its square.
#include "double_float4.wgsl"

fn addTerm(s: Pair4, a: vec4f, b: vec4f, coordinate: u32) -> Pair4 {
  let x = difference4(a, b);
  let x1 = head4(x.high);
  let x2 = x.high - x1;
  // What x1² lacks is a term of its own: in the low part its roundings would add up.
  return add4(add4(s, x1 * x1), 2.0 * (x1 * x2 + x.high * x.low) + x2 * x2);
}
