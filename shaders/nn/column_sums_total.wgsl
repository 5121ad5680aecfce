// first, second (1 × width vec4) = the two sums of column_sums.wgsl over all chunks.
#include "column_totals.wgsl"

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  if (slot >= p.width) { return; }
  let totals = columnTotals(slot);
  first[slot] = totals.first;
  second[slot] = totals.second;
}
