// How far rounding may move arguments of a cosine: sums (1 × m) has for each row of A (m × n) the sum of min(1, |a| · 2⁻²²),
// a few units of an argument's last digit, which is all of a cosine where that digit is before the point. One workgroup a
// row.

#include "workgroup_sum.wgsl"

const UNIT = 2.384185791015625e-7;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  var sum = 0.0;
  for (var col = index; col < p.cols; col += SIZE) {
    let rounding = abs(a[group.x * p.stride + col]) * UNIT;
    // A NaN is not below 1, either.
    sum += select(1.0, rounding, rounding < 1.0);
  }
  let total = workgroupSum(index, sum);
  if (index == 0u) { sums[group.x] = total; }
}
