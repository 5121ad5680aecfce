// The same as potrf_block.wgsl after what columns known … start − 1 take off the block is taken off it, which would else be
// a product of its own. As in trsm_panel_subgroup.wgsl a lane loads vec4 of rows of its own, and subgroupBroadcast passes
// those on that all rows need. potrf_factor.wgsl stands before this text.
enable subgroups;

// Header: LANES: u32.

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
  let own = (p.offset + (p.start + min(row, last)) * p.stride + p.known) / 4u;
  var others: array<u32, PARTS>;
  for (var i = 0u; i < PARTS; i++) {
    others[i] = (p.offset + (p.start + min(i * LANES + lane % BLOCK, last)) * p.stride + p.known) / 4u;
  }
  for (var step = 0u; step < (p.start - p.known) / 4u; step++) {
    var w: array<vec4f, PARTS>;
    for (var i = 0u; i < PARTS; i++) { w[i] = a[others[i] + step]; }
    let y = a[own + step];
    rest[0] -= dot(subgroupBroadcast(w[0u / LANES], 0u % LANES), y);
    rest[1] -= dot(subgroupBroadcast(w[1u / LANES], 1u % LANES), y);
    rest[2] -= dot(subgroupBroadcast(w[2u / LANES], 2u % LANES), y);
    rest[3] -= dot(subgroupBroadcast(w[3u / LANES], 3u % LANES), y);
    rest[4] -= dot(subgroupBroadcast(w[4u / LANES], 4u % LANES), y);
    rest[5] -= dot(subgroupBroadcast(w[5u / LANES], 5u % LANES), y);
    rest[6] -= dot(subgroupBroadcast(w[6u / LANES], 6u % LANES), y);
    rest[7] -= dot(subgroupBroadcast(w[7u / LANES], 7u % LANES), y);
    rest[8] -= dot(subgroupBroadcast(w[8u / LANES], 8u % LANES), y);
    rest[9] -= dot(subgroupBroadcast(w[9u / LANES], 9u % LANES), y);
    rest[10] -= dot(subgroupBroadcast(w[10u / LANES], 10u % LANES), y);
    rest[11] -= dot(subgroupBroadcast(w[11u / LANES], 11u % LANES), y);
    rest[12] -= dot(subgroupBroadcast(w[12u / LANES], 12u % LANES), y);
    rest[13] -= dot(subgroupBroadcast(w[13u / LANES], 13u % LANES), y);
    rest[14] -= dot(subgroupBroadcast(w[14u / LANES], 14u % LANES), y);
    rest[15] -= dot(subgroupBroadcast(w[15u / LANES], 15u % LANES), y);
    rest[16] -= dot(subgroupBroadcast(w[16u / LANES], 16u % LANES), y);
    rest[17] -= dot(subgroupBroadcast(w[17u / LANES], 17u % LANES), y);
    rest[18] -= dot(subgroupBroadcast(w[18u / LANES], 18u % LANES), y);
    rest[19] -= dot(subgroupBroadcast(w[19u / LANES], 19u % LANES), y);
    rest[20] -= dot(subgroupBroadcast(w[20u / LANES], 20u % LANES), y);
    rest[21] -= dot(subgroupBroadcast(w[21u / LANES], 21u % LANES), y);
    rest[22] -= dot(subgroupBroadcast(w[22u / LANES], 22u % LANES), y);
    rest[23] -= dot(subgroupBroadcast(w[23u / LANES], 23u % LANES), y);
    rest[24] -= dot(subgroupBroadcast(w[24u / LANES], 24u % LANES), y);
    rest[25] -= dot(subgroupBroadcast(w[25u / LANES], 25u % LANES), y);
    rest[26] -= dot(subgroupBroadcast(w[26u / LANES], 26u % LANES), y);
    rest[27] -= dot(subgroupBroadcast(w[27u / LANES], 27u % LANES), y);
    rest[28] -= dot(subgroupBroadcast(w[28u / LANES], 28u % LANES), y);
    rest[29] -= dot(subgroupBroadcast(w[29u / LANES], 29u % LANES), y);
    rest[30] -= dot(subgroupBroadcast(w[30u / LANES], 30u % LANES), y);
    rest[31] -= dot(subgroupBroadcast(w[31u / LANES], 31u % LANES), y);
  }
  for (var col = 0u; row < p.size && col < p.size; col++) { l[row][col] = rest[col]; }
  factorBlock(row);
}
