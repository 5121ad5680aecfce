// ‖s x_i − μ_g(i)‖² for each row i of group g(i), where rows starts[g] … starts[g + 1] − 1 form group g, s =
// inverseScale(scale[0]), and the means are of s x. One workgroup a row.

#include "class_of.wgsl"
#include "inverse_scale.wgsl"
#include "workgroup_sum.wgsl"

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = workgroup.x;
  let group = classOf(row);
  let width = p.stride / 4u;
  let factor = inverseScale(scale[0]);
  var sum = 0.0;
  for (var i = index; i < width; i += SIZE) {
    let d = factor * a[row * width + i] - means[group * width + i];
    sum += dot(d, d);
  }
  let total = workgroupSum(index, sum);
  if (index == 0u) { scatter[row] = total; }
}
