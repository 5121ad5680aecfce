// Batch normalisation over the rows of a matrix (rows × width vec4): out = weight · (x − mean) · inverse + bias.
// statistics = rows mean, inverse; with RUNNING rows mean, variance, and inverse = 1/√(variance + epsilon).
//
// An invocation goes down ROWS rows of one vec4 column: what all rows share costs as much to load as an entry.
#include "flat_index.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = flatIndex(group, groups, local);
  if (i >= p.count) { return; }
  let first = i / p.width;
  let slot = i - first * p.width;
  let mean = statistics[slot];
  var inverse = statistics[p.width + slot];
  if (RUNNING) { inverse = 1.0 / sqrt(inverse + p.epsilon); }
  let factor = weight[slot] * inverse;
  let shift = bias[slot];
  let last = min((first + 1u) * ROWS, p.rows);
  for (var row = first * ROWS; row < last; row++) {
    let at = row * p.width + slot;
    out[at] = factor * (x[at] - mean) + shift;
  }
}
