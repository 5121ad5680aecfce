// Gradient of batch_norm.wgsl by x. In training the statistics (rows mean, inverse) are those of x, on which they depend:
//   dx = weight · inverse · (dy − (Σ dy + x̂ Σ dy x̂) / rows), x̂ = (x − mean) · inverse; sums = Σ dy, products = Σ dy x̂
// With RUNNING they are constants (rows mean, variance), and of the sums, the products and x nothing is read:
//   dx = weight / √(variance + epsilon) · dy
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
  let sum = sums[slot];
  let product = products[slot];
  let last = min((first + 1u) * ROWS, p.rows);
  for (var row = first * ROWS; row < last; row++) {
    let at = row * p.width + slot;
    if (RUNNING) {
      dx[at] = factor * dy[at];
    } else {
      let normal = (x[at] - mean) * inverse;
      dx[at] = factor * (dy[at] - (sum + normal * product) / f32(p.rows));
    }
  }
}
