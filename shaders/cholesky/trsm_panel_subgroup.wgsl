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
requires immediate_address_space;

// Header: LANES: u32, IN_PLACE: bool.

const BLOCK = 32u;
const PARTS = max(1u, BLOCK / LANES);

struct Params {
  m: u32, // right-hand sides
  n: u32, // rows of L
  start: u32, // of the block: its first unknown, a multiple of BLOCK, and how many
  size: u32,
  known: u32, // the first known unknown, a multiple of 4, and how many (a multiple of 4, but beyond it X is 0)
  count: u32,
  strideX: u32,
  offsetX: u32,
  strideB: u32,
  offsetB: u32,
  strideL: u32,
  offsetL: u32,
  strideInverse: u32,
  firstGroup: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> inverses: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> l: array<vec4f>;

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
  (*sum)[0] += products(subgroupBroadcast(w[0u / LANES], 0u % LANES), y0, y1);
  (*sum)[1] += products(subgroupBroadcast(w[1u / LANES], 1u % LANES), y0, y1);
  (*sum)[2] += products(subgroupBroadcast(w[2u / LANES], 2u % LANES), y0, y1);
  (*sum)[3] += products(subgroupBroadcast(w[3u / LANES], 3u % LANES), y0, y1);
  (*sum)[4] += products(subgroupBroadcast(w[4u / LANES], 4u % LANES), y0, y1);
  (*sum)[5] += products(subgroupBroadcast(w[5u / LANES], 5u % LANES), y0, y1);
  (*sum)[6] += products(subgroupBroadcast(w[6u / LANES], 6u % LANES), y0, y1);
  (*sum)[7] += products(subgroupBroadcast(w[7u / LANES], 7u % LANES), y0, y1);
  (*sum)[8] += products(subgroupBroadcast(w[8u / LANES], 8u % LANES), y0, y1);
  (*sum)[9] += products(subgroupBroadcast(w[9u / LANES], 9u % LANES), y0, y1);
  (*sum)[10] += products(subgroupBroadcast(w[10u / LANES], 10u % LANES), y0, y1);
  (*sum)[11] += products(subgroupBroadcast(w[11u / LANES], 11u % LANES), y0, y1);
  (*sum)[12] += products(subgroupBroadcast(w[12u / LANES], 12u % LANES), y0, y1);
  (*sum)[13] += products(subgroupBroadcast(w[13u / LANES], 13u % LANES), y0, y1);
  (*sum)[14] += products(subgroupBroadcast(w[14u / LANES], 14u % LANES), y0, y1);
  (*sum)[15] += products(subgroupBroadcast(w[15u / LANES], 15u % LANES), y0, y1);
  (*sum)[16] += products(subgroupBroadcast(w[16u / LANES], 16u % LANES), y0, y1);
  (*sum)[17] += products(subgroupBroadcast(w[17u / LANES], 17u % LANES), y0, y1);
  (*sum)[18] += products(subgroupBroadcast(w[18u / LANES], 18u % LANES), y0, y1);
  (*sum)[19] += products(subgroupBroadcast(w[19u / LANES], 19u % LANES), y0, y1);
  (*sum)[20] += products(subgroupBroadcast(w[20u / LANES], 20u % LANES), y0, y1);
  (*sum)[21] += products(subgroupBroadcast(w[21u / LANES], 21u % LANES), y0, y1);
  (*sum)[22] += products(subgroupBroadcast(w[22u / LANES], 22u % LANES), y0, y1);
  (*sum)[23] += products(subgroupBroadcast(w[23u / LANES], 23u % LANES), y0, y1);
  (*sum)[24] += products(subgroupBroadcast(w[24u / LANES], 24u % LANES), y0, y1);
  (*sum)[25] += products(subgroupBroadcast(w[25u / LANES], 25u % LANES), y0, y1);
  (*sum)[26] += products(subgroupBroadcast(w[26u / LANES], 26u % LANES), y0, y1);
  (*sum)[27] += products(subgroupBroadcast(w[27u / LANES], 27u % LANES), y0, y1);
  (*sum)[28] += products(subgroupBroadcast(w[28u / LANES], 28u % LANES), y0, y1);
  (*sum)[29] += products(subgroupBroadcast(w[29u / LANES], 29u % LANES), y0, y1);
  (*sum)[30] += products(subgroupBroadcast(w[30u / LANES], 30u % LANES), y0, y1);
  (*sum)[31] += products(subgroupBroadcast(w[31u / LANES], 31u % LANES), y0, y1);
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
    atL[i] = (p.offsetL + row * p.strideL + p.known) / 4u;
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
  for (var step = 0u; step < (p.count + 3u) / 4u; step++) {
    for (var i = 0u; i < PARTS; i++) { w[i] = ofFactor(atL[i] + step); }
    addProducts(&rest, w, -x[atX.x + p.known / 4u + step], -x[atX.y + p.known / 4u + step]);
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
