// X_s = (B_s − X_known L_s,knownᵀ) L_ss⁻ᵀ: a block s of at most BLOCK unknowns of X Lᵀ = B, one right-hand side a row, in one
// pass. What earlier blocks within a panel take off it, the product with the inverse of L's diagonal block, and the
// copying of both results would be passes of their own.
//
// IN_PLACE: X, B and L are one buffer, `x`, and this is the panel below a diagonal block of a Cholesky factorisation: its rows
// are right-hand sides, and L's rows are those of the diagonal block, which no row of the panel is among.
//
// A subgroup has 2 · LANES right-hand sides. As in gemm_nt_subgroup.wgsl each lane loads vec4 of rows of its own, and the
// 32 rows that all need (of L, then of the inverse) reach the other lanes by subgroupBroadcast.
enable subgroups;
const BLOCK = 32u;
const PARTS = max(1u, BLOCK / LANES);

fn rightHand(at: u32) -> vec4f {
  if (IN_PLACE) { return x[at]; }
  return b[at];
}

fn ofFactor(at: u32) -> vec4f {
  if (IN_PLACE) { return x[at]; }
  return l[at];
}

fn products(w: vec4f, y0: vec4f, y1: vec4f) -> vec2f { return vec2f(dot(w, y0), dot(w, y1)); }

// Adds to sum_c the products of row c, held by lane c % LANES, with the lane's own two.
fn addProducts(sum: ptr<function, array<vec2f, BLOCK>>, w: array<vec4f, PARTS>, y0: vec4f, y1: vec4f) {
#for c in 0..32
  (*sum)[$c] += products(subgroupBroadcast(w[$(c)u / LANES], $(c)u % LANES), y0, y1);
#end
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row0 = (p.firstGroup + group.x) * 2u * LANES + lane;
  let row1 = row0 + LANES;
  // Rows beyond the last repeat it, and are not stored.
  let from0 = min(row0, p.m - 1u);
  let from1 = min(row1, p.m - 1u);
  let atX = (p.offsetX + vec2u(from0, from1) * p.strideX) / 4u;
  let atB = (p.offsetB + vec2u(from0, from1) * p.strideB + p.start) / 4u;
  var atL: array<u32, PARTS>;
  var atInverse: array<u32, PARTS>;
  for (var i = 0u; i < PARTS; i++) {
    let row = min(p.start + i * LANES + lane % BLOCK, p.n - 1u);
    atL[i] = (row * p.strideL + p.firstKnown) / 4u;
    atInverse[i] = row * p.strideInverse / 4u;
  }

  let quads = (p.size + 3u) / 4u;
  var rest = array<vec2f, BLOCK>();
  for (var q = 0u; q < quads; q++) {
    let y0 = rightHand(atB.x + q);
    let y1 = rightHand(atB.y + q);
    for (var e = 0u; e < 4u; e++) { rest[4u * q + e] = vec2f(y0[e], y1[e]); }
  }
  var w: array<vec4f, PARTS>;
  for (var step = 0u; step < (p.knownCount + 3u) / 4u; step++) {
    for (var i = 0u; i < PARTS; i++) { w[i] = ofFactor(atL[i] + step); }
    addProducts(&rest, w, -x[atX.x + p.firstKnown / 4u + step], -x[atX.y + p.firstKnown / 4u + step]);
  }
  var result = array<vec2f, BLOCK>();
  for (var q = 0u; q < quads; q++) {
    for (var i = 0u; i < PARTS; i++) { w[i] = inverses[atInverse[i] + q]; }
    let y = transpose(mat4x2f(rest[4u * q], rest[4u * q + 1u], rest[4u * q + 2u], rest[4u * q + 3u]));
    addProducts(&result, w, y[0], y[1]);
  }
  for (var q = 0u; q < quads; q++) {
    let y = transpose(mat4x2f(result[4u * q], result[4u * q + 1u], result[4u * q + 2u], result[4u * q + 3u]));
    // Beyond the block is the padding.
    let inside = 4u * q + vec4u(0u, 1u, 2u, 3u) < vec4u(p.size);
    if (row0 < p.m) { x[atX.x + p.start / 4u + q] = select(vec4f(), y[0], inside); }
    if (row1 < p.m) { x[atX.y + p.start / 4u + q] = select(vec4f(), y[1], inside); }
  }
}
