// Mean of each group of consecutive rows: row g of `means` is the mean of rows starts[g] … starts[g + 1] − 1.
// One invocation a (group, column); sums of distances to the group's first row, compensated (Kahan):
// in collapsed layers the rows of a class differ only in their last digits.
// With SCALED it is the mean of the rows times inverseScale(scale[0]), so that no sum overflows.

#include "inverse_scale.wgsl"
#include "opaque.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let group = id.y;
  let col = id.x;
  if (group >= p.groups || col >= p.strideOut) { return; }
  var factor = 1.0;
  if (SCALED) { factor = inverseScale(scale[0]); }
  var mean = 0.0;
  if (col < p.cols) {
    let begin = starts[group];
    let end = starts[group + 1u];
    let first = factor * a[begin * p.stride + col];
    var sum = 0.0;
    var lost = 0.0;
    for (var row = begin; row < end; row++) {
      let y = (factor * a[row * p.stride + col] - first) - lost;
      let t = opaque(sum + y);
      lost = opaque(t - sum) - y;
      sum = t;
    }
    mean = first + sum / f32(end - begin);
  }
  means[group * p.strideOut + col] = mean;
}
