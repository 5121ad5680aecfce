// Turns Σ_j∈l W_ij α_jc, row l · outputs + c and column i of `shares`, into the share of the mean of class l in the gradient of
// output c at row ids[i]: those of a row's own class become minus the sum of the others. As a difference from the sum of all they
// would lose their digits beside the weights of near rows. One column and output an invocation.
#include "class_of.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  let output = id.y;
  if (column >= p.columns) { return; }
  let own = classOf(ids[column]);
  var others = 0.0;
  for (var l = 0u; l < p.classes; l++) {
    if (l != own) { others += shares[(l * p.outputs + output) * p.stride + column]; }
  }
  shares[(own * p.outputs + output) * p.stride + column] = -others;
}
