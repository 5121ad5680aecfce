// Moments of the columns of `a` (rows × width vec4) from the sums of distances to its first row, and of their squares
// (column_sums.wgsl): statistics = rows mean, 1/√(variance + epsilon); running = rows mean, variance (n − 1), which move
// towards them by `momentum`.
#include "column_totals.wgsl"
#include "is_nan.wgsl"

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  if (slot >= p.width) { return; }
  let totals = columnTotals(slot);
  let n = f32(p.rows);
  let shift = totals.first / n;
  let mean = a[slot] + shift;
  let rest = totals.second / n - shift * shift;
  // Rounding may leave less than 0. Squares beyond float32 leave a NaN, of which max may make 0.
  let variance = select(max(rest, vec4f()), rest, isNan(rest));
  statistics[slot] = mean;
  statistics[p.width + slot] = 1.0 / sqrt(variance + p.epsilon);
  running[slot] += p.momentum * (mean - running[slot]);
  running[p.width + slot] += p.momentum * (variance * (n / max(n - 1.0, 1.0)) - running[p.width + slot]);
}
