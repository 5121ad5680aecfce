// Row r of `out` is row ids[r] of A. Four columns an invocation.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let row = id.y;
  if (row >= p.rows || slot >= p.strideOut / 4u) { return; }
  out[(p.offsetOut + row * p.strideOut) / 4u + slot] = a[ids[row] * p.stride / 4u + slot];
}
