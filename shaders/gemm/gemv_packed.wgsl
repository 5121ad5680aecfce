// out = scale · X Aᵀ + addend for a few rows of X (VECTORS × k), as gemv.wgsl, for A (n × k) as texels from pack_rows.wgsl: from row
// p.row and step p.step on, steps being vec4 along k. x, addend and out begin there, too.
//
// Made for lavapipe, where a load from a buffer takes eight instructions a number and one from a storage texture 1.5; see
// gemm_nt_packed.wgsl. A subgroup takes a row of A a lane. Each lane loads one step of X, and subgroupBroadcast passes it on.
//
// LOWER: A_ij = 0 for j > i. UPPER: A_ij = 0 for j < i. Zeros are not read.
// Before this text: LANES: u32, 8 or 16. VECTORS: u32, 1 to 4.
enable subgroups;
requires readonly_and_readwrite_storage_textures;

// As in pack_rows.wgsl.
const BLOCK = 64u;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row0 = (p.first + select(group.x, folded(group.x, groups.x), has(LOWER | UPPER))) * LANES;
  let steps = (p.k + 3u) / 4u;
  // A whole number of times LANES: so many steps are in one row of texels.
  let begin = select(0u, row0 / 4u / LANES * LANES, has(UPPER));
  let end = select(steps, min(steps, (row0 + LANES) / 4u), has(LOWER));
  let block = (p.row + row0) / BLOCK * p.folds;
  let own = (p.row + row0) % BLOCK + lane;
#for v in 0..4
  var sum$v = 0.0;
#end
  for (var first = begin; first < end; first += LANES) {
    let fold = (p.step + first) / p.segment;
    let texel = vec2u((p.step + first - fold * p.segment) * BLOCK + own, block + fold);
    let last = min(LANES, end - first) - 1u;
    // Beyond the last step zeros of X, and its texels once more.
#for v in 0..4
    var x$v = vec4f();
    if (VECTORS > $(v)u && lane <= last) { x$v = x[p.offsetX + $(v)u * p.strideX + first + lane]; }
#end
#for i in 0..16
    if ($(i)u < LANES) {
      let w = textureLoad(a, texel + vec2u(min($(i)u, last) * BLOCK, 0u));
#for v in 0..4
      if (VECTORS > $(v)u) { sum$v += dot(w, subgroupBroadcast(x$v, $(i)u)); }
#end
    }
#end
  }
  let row = row0 + lane;
  if (row < p.n) {
#for v in 0..4
    if (VECTORS > $(v)u) {
      var result$v = p.scale * sum$v;
      if (has(ADD)) { result$v += addend[p.offsetAddend + $(v)u * p.strideAddend + row]; }
      out[p.offsetOut + $(v)u * p.strideOut + row] = result$v;
    }
#end
  }
  if (lane < VECTORS && row0 + LANES >= p.n) {
    for (var i = 0u; i < padding(); i++) { out[p.offsetOut + lane * p.strideOut + p.n + i] = 0.0; }
  }
}
