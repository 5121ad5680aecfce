// The same as potrf_block.wgsl after what columns firstKnown … start − 1 take off the block is taken off it, which would else be
// a product of its own. As in trsm_panel_subgroup.wgsl a lane loads vec4 of rows of its own, and subgroupBroadcast passes
// those on that all rows need. potrf_factor.wgsl stands before this text.
enable subgroups;

const PARTS = max(1u, BLOCK / LANES);

@compute @workgroup_size(BLOCK)
fn main(@builtin(local_invocation_index) row: u32, @builtin(subgroup_invocation_id) lane: u32) {
  // Rows beyond the last repeat it, and are not stored.
  let last = p.size - 1u;
  var rest = array<f32, BLOCK>();
  for (var q = 0u; q < (p.size + 3u) / 4u; q++) {
    let values = a[placeOf(min(row, last), q)];
    for (var e = 0u; e < 4u; e++) { rest[4u * q + e] = values[e]; }
  }
  let own = ((p.start + min(row, last)) * p.stride + p.firstKnown) / 4u;
  var others: array<u32, PARTS>;
  for (var i = 0u; i < PARTS; i++) {
    others[i] = ((p.start + min(i * LANES + lane % BLOCK, last)) * p.stride + p.firstKnown) / 4u;
  }
  for (var step = 0u; step < (p.start - p.firstKnown) / 4u; step++) {
    var w: array<vec4f, PARTS>;
    for (var i = 0u; i < PARTS; i++) { w[i] = a[others[i] + step]; }
    let y = a[own + step];
#for c in 0..32
    rest[$c] -= dot(subgroupBroadcast(w[$(c)u / LANES], $(c)u % LANES), y);
#end
  }
  for (var col = 0u; row < p.size && col < p.size; col++) { l[row][col] = rest[col]; }
  factorBlock(row);
}
