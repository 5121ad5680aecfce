// out = rows relative to the means of their classes, m × n. Four columns an invocation.
#include "class_of.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  if (row >= p.m || id.x >= p.width) { return; }
  let at = row * p.width + id.x;
  out[at] = rows[at] - means[classOf(row) * p.width + id.x];
}
