// out = scale · A Bᵀ + bias · addend, or with DIFFERENCE the squared distances Σ_k (A_ik − B_jk)²; the same flags
// as gemm_nt_subgroup.wgsl, which see. A and B come as textures from pack_rows.wgsl or pack_columns.wgsl.
//
// One subgroup computes a tile of ROWS rows and 4·LANES columns. Made for lavapipe, which compiles a shader
// for the CPU: sums live in vector registers, a lane each, and what decides is how data get there.
// - A load from a buffer whose address differs between lanes becomes, lane by lane, a test of the execution mask,
//   a test of the bounds, a load and an insertion: 8 instructions a number. Of a storage texture the driver gathers 16
//   texels at once and transposes them in registers: 1.5 instructions a number. (Of a sampled texture 3.6: it looks up the
//   mip level of every lane, though the level is a constant.)
// - Rows of A are loaded by lanes as well, and reach the others by subgroupBroadcast from a constant lane: a
//   shuffle each, used for four columns.
// - Texels of a tile lie side by side in the texture, in the order of their use: with rows as they are in the
//   matrix (4 KiB apart at k = 1024) half of the time went into cache misses.
// - The results are stored from arrays in a loop: with the stores written out, the driver compiled for 4 s, not 0.3.
// Measured at n = 1024 on two cores (lavapipe, 16 lanes): 48 rows from sampled textures with totals every 64 terms took
// 33 ms; with storage textures 32, with 64 rows besides 28, with totals every 128 terms 25, every 256 terms 23. 80 rows
// are slower again, and so are two steps at a time: the loop outgrows the instruction cache.
enable subgroups;
requires immediate_address_space;
requires readonly_and_readwrite_storage_textures;

// Header: LANES: u32, DIFFERENCE: bool.

const ROWS = 64u;
// Terms of a sum before it is added to its compensated total; at random numbers, k = 1024, 64 terms give a relative error
// of 9.7e-8, 256 terms 1.6e-7.
const CHUNK = 256u;
// Where the low part is wanted: it is to be better than float32's own rounding of the result.
const SHORT_CHUNK = 16u;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  strideOut: u32,
  strideAddend: u32,
  offsetOut: u32,
  offsetAddend: u32,
  padding: u32,
  scale: f32,
  bias: f32,
  zero: u32,
  // From bit 8 on: the first row of tiles of this dispatch.
  flags: u32,
  // Steps (vec4 along k) in a row of the textures, and rows of texels that a block of LANES matrix rows takes.
  segment: u32,
  folds: u32,
}
var<immediate> p: Params;

// Bits of `flags`.
const LOWER = 1u; // only entries on or below the diagonal
const MIRROR = 2u; // copied to the other side of it
const ACCUMULATE = 4u; // the addend is `out`
const ADD = 8u; // the addend is `addend`
const LOW = 16u; // `low` receives what float32 cannot hold

fn has(flag: u32) -> bool { return (p.flags & flag) != 0u; }

@group(0) @binding(0) var a: texture_storage_2d<rgba32float, read>;
@group(0) @binding(1) var b: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read> addend: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> low: array<f32>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }
fn opaque4(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) ^ vec4u(p.zero)); }

// The zeros after the last column of a row.
fn storePadding(row: u32) {
  if (row >= p.m) { return; }
  for (var i = 0u; i < p.padding; i++) {
    out[p.offsetOut + row * p.strideOut + p.n + i] = 0.0;
    if (has(LOW)) { low[p.offsetOut + row * p.strideOut + p.n + i] = 0.0; }
  }
}

// The first 12 significant bits; the product of two such numbers is exact in float32.
fn head(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }

// value − lost is the sum; padding of `low` is written with that of `out`. lavapipe goes through the lanes at every
// access to a buffer, taken or not, so there are as few of them as can be.
fn store(row: u32, col: u32, value: f32, lost: ptr<function, array<f32, ROWS>>, i: u32) {
  if (row < p.m && col < p.n && !(has(LOWER) && col > row)) {
    let at = p.offsetOut + row * p.strideOut + col;
    var before = 0.0;
    var beforeLow = 0.0;
    if (has(ACCUMULATE)) {
      before = out[at];
      if (has(LOW)) { beforeLow = low[at]; }
    }
    if (has(ADD)) { before = addend[p.offsetAddend + row * p.strideAddend + col]; }
    var high = p.scale * value + p.bias * before;
    var rest = 0.0;
    if (has(LOW)) {
      // (value − lost)(scale + bias): the product of the high parts exactly, from 12-bit halves.
      let added = opaque(value * p.scale);
      let x = head(value);
      let y = head(p.scale);
      rest = ((x * y - added) + x * (p.scale - y) + (value - x) * y) + (value - x) * (p.scale - y);
      rest += value * p.bias - (*lost)[i] * p.scale;
      // Knuth's two-sum: exact, whichever is the larger.
      let sum = opaque(before + added);
      let part = opaque(sum - before);
      rest += beforeLow + ((before - opaque(sum - part)) + (added - part));
      high = opaque(sum + rest);
      rest -= opaque(high - sum);
    }
    out[at] = high;
    if (has(LOW)) { low[at] = rest; }
    if (has(MIRROR) && col < row) {
      let mirrored = p.offsetOut + col * p.strideOut + row;
      out[mirrored] = high;
      if (has(LOW)) { low[mirrored] = rest; }
    }
  }
}

fn product(x: vec4f, y: vec4f) -> f32 {
  if (DIFFERENCE) {
    let d = x - y;
    return dot(d, d);
  }
  return dot(x, y);
}

fn products(x: vec4f, y0: vec4f, y1: vec4f, y2: vec4f, y3: vec4f) -> vec4f {
  return vec4f(product(x, y0), product(x, y1), product(x, y2), product(x, y3));
}

struct Total {
  sum: vec4f,
  lost: vec4f,
}

// total − lost is the sum (Kahan).
fn plus(t: Total, sum: vec4f) -> Total {
  let y = sum - t.lost;
  let next = opaque4(t.sum + y);
  return Total(next, opaque4(next - t.sum) - y);
}

// Rows of tiles in the order first, last, second, last but one, …: lavapipe gives each thread a consecutive share of
// the workgroups, and of a triangle the last half is three quarters of the work.
fn folded(y: u32, count: u32) -> u32 { return select(y / 2u, count - 1u - y / 2u, y % 2u == 1u); }

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(num_workgroups) tiles: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row0 = ((p.flags >> 8u) + select(tile.y, folded(tile.y, tiles.y), has(LOWER))) * ROWS;
  let col0 = tile.x * 4u * LANES;
  // The padding of a row belongs to the first tile of that row.
  if (tile.x == 0u) {
    for (var row = lane; row < ROWS; row += LANES) { storePadding(row0 + row); }
  }
  if (has(LOWER) && col0 > row0 + ROWS - 1u) { return; }

  let blockA = row0 / LANES * p.folds;
  let blockB = col0 / LANES * p.folds;
  var total = array<Total, ROWS>();
  let steps = (p.k + 3u) / 4u;
  let chunk = select(CHUNK, SHORT_CHUNK, has(LOW)) / 4u;
  for (var start = 0u; start < steps; start += chunk) {
    var sum = array<vec4f, ROWS>();
    let fold = start / p.segment;
    let x0 = (start - fold * p.segment) * LANES;
    let end = x0 + min(chunk, steps - start) * LANES;
    for (var x = x0; x < end; x += LANES) {
      var rows: array<vec4f, ROWS / LANES>;
      for (var q = 0u; q < ROWS / LANES; q++) { rows[q] = textureLoad(a, vec2u(x + lane, blockA + q * p.folds + fold)); }
      let y0 = textureLoad(b, vec2u(x + lane, blockB + 0u * p.folds + fold));
      let y1 = textureLoad(b, vec2u(x + lane, blockB + 1u * p.folds + fold));
      let y2 = textureLoad(b, vec2u(x + lane, blockB + 2u * p.folds + fold));
      let y3 = textureLoad(b, vec2u(x + lane, blockB + 3u * p.folds + fold));
      sum[0] += products(subgroupBroadcast(rows[0u / LANES], 0u % LANES), y0, y1, y2, y3);
      sum[1] += products(subgroupBroadcast(rows[1u / LANES], 1u % LANES), y0, y1, y2, y3);
      sum[2] += products(subgroupBroadcast(rows[2u / LANES], 2u % LANES), y0, y1, y2, y3);
      sum[3] += products(subgroupBroadcast(rows[3u / LANES], 3u % LANES), y0, y1, y2, y3);
      sum[4] += products(subgroupBroadcast(rows[4u / LANES], 4u % LANES), y0, y1, y2, y3);
      sum[5] += products(subgroupBroadcast(rows[5u / LANES], 5u % LANES), y0, y1, y2, y3);
      sum[6] += products(subgroupBroadcast(rows[6u / LANES], 6u % LANES), y0, y1, y2, y3);
      sum[7] += products(subgroupBroadcast(rows[7u / LANES], 7u % LANES), y0, y1, y2, y3);
      sum[8] += products(subgroupBroadcast(rows[8u / LANES], 8u % LANES), y0, y1, y2, y3);
      sum[9] += products(subgroupBroadcast(rows[9u / LANES], 9u % LANES), y0, y1, y2, y3);
      sum[10] += products(subgroupBroadcast(rows[10u / LANES], 10u % LANES), y0, y1, y2, y3);
      sum[11] += products(subgroupBroadcast(rows[11u / LANES], 11u % LANES), y0, y1, y2, y3);
      sum[12] += products(subgroupBroadcast(rows[12u / LANES], 12u % LANES), y0, y1, y2, y3);
      sum[13] += products(subgroupBroadcast(rows[13u / LANES], 13u % LANES), y0, y1, y2, y3);
      sum[14] += products(subgroupBroadcast(rows[14u / LANES], 14u % LANES), y0, y1, y2, y3);
      sum[15] += products(subgroupBroadcast(rows[15u / LANES], 15u % LANES), y0, y1, y2, y3);
      sum[16] += products(subgroupBroadcast(rows[16u / LANES], 16u % LANES), y0, y1, y2, y3);
      sum[17] += products(subgroupBroadcast(rows[17u / LANES], 17u % LANES), y0, y1, y2, y3);
      sum[18] += products(subgroupBroadcast(rows[18u / LANES], 18u % LANES), y0, y1, y2, y3);
      sum[19] += products(subgroupBroadcast(rows[19u / LANES], 19u % LANES), y0, y1, y2, y3);
      sum[20] += products(subgroupBroadcast(rows[20u / LANES], 20u % LANES), y0, y1, y2, y3);
      sum[21] += products(subgroupBroadcast(rows[21u / LANES], 21u % LANES), y0, y1, y2, y3);
      sum[22] += products(subgroupBroadcast(rows[22u / LANES], 22u % LANES), y0, y1, y2, y3);
      sum[23] += products(subgroupBroadcast(rows[23u / LANES], 23u % LANES), y0, y1, y2, y3);
      sum[24] += products(subgroupBroadcast(rows[24u / LANES], 24u % LANES), y0, y1, y2, y3);
      sum[25] += products(subgroupBroadcast(rows[25u / LANES], 25u % LANES), y0, y1, y2, y3);
      sum[26] += products(subgroupBroadcast(rows[26u / LANES], 26u % LANES), y0, y1, y2, y3);
      sum[27] += products(subgroupBroadcast(rows[27u / LANES], 27u % LANES), y0, y1, y2, y3);
      sum[28] += products(subgroupBroadcast(rows[28u / LANES], 28u % LANES), y0, y1, y2, y3);
      sum[29] += products(subgroupBroadcast(rows[29u / LANES], 29u % LANES), y0, y1, y2, y3);
      sum[30] += products(subgroupBroadcast(rows[30u / LANES], 30u % LANES), y0, y1, y2, y3);
      sum[31] += products(subgroupBroadcast(rows[31u / LANES], 31u % LANES), y0, y1, y2, y3);
      sum[32] += products(subgroupBroadcast(rows[32u / LANES], 32u % LANES), y0, y1, y2, y3);
      sum[33] += products(subgroupBroadcast(rows[33u / LANES], 33u % LANES), y0, y1, y2, y3);
      sum[34] += products(subgroupBroadcast(rows[34u / LANES], 34u % LANES), y0, y1, y2, y3);
      sum[35] += products(subgroupBroadcast(rows[35u / LANES], 35u % LANES), y0, y1, y2, y3);
      sum[36] += products(subgroupBroadcast(rows[36u / LANES], 36u % LANES), y0, y1, y2, y3);
      sum[37] += products(subgroupBroadcast(rows[37u / LANES], 37u % LANES), y0, y1, y2, y3);
      sum[38] += products(subgroupBroadcast(rows[38u / LANES], 38u % LANES), y0, y1, y2, y3);
      sum[39] += products(subgroupBroadcast(rows[39u / LANES], 39u % LANES), y0, y1, y2, y3);
      sum[40] += products(subgroupBroadcast(rows[40u / LANES], 40u % LANES), y0, y1, y2, y3);
      sum[41] += products(subgroupBroadcast(rows[41u / LANES], 41u % LANES), y0, y1, y2, y3);
      sum[42] += products(subgroupBroadcast(rows[42u / LANES], 42u % LANES), y0, y1, y2, y3);
      sum[43] += products(subgroupBroadcast(rows[43u / LANES], 43u % LANES), y0, y1, y2, y3);
      sum[44] += products(subgroupBroadcast(rows[44u / LANES], 44u % LANES), y0, y1, y2, y3);
      sum[45] += products(subgroupBroadcast(rows[45u / LANES], 45u % LANES), y0, y1, y2, y3);
      sum[46] += products(subgroupBroadcast(rows[46u / LANES], 46u % LANES), y0, y1, y2, y3);
      sum[47] += products(subgroupBroadcast(rows[47u / LANES], 47u % LANES), y0, y1, y2, y3);
      sum[48] += products(subgroupBroadcast(rows[48u / LANES], 48u % LANES), y0, y1, y2, y3);
      sum[49] += products(subgroupBroadcast(rows[49u / LANES], 49u % LANES), y0, y1, y2, y3);
      sum[50] += products(subgroupBroadcast(rows[50u / LANES], 50u % LANES), y0, y1, y2, y3);
      sum[51] += products(subgroupBroadcast(rows[51u / LANES], 51u % LANES), y0, y1, y2, y3);
      sum[52] += products(subgroupBroadcast(rows[52u / LANES], 52u % LANES), y0, y1, y2, y3);
      sum[53] += products(subgroupBroadcast(rows[53u / LANES], 53u % LANES), y0, y1, y2, y3);
      sum[54] += products(subgroupBroadcast(rows[54u / LANES], 54u % LANES), y0, y1, y2, y3);
      sum[55] += products(subgroupBroadcast(rows[55u / LANES], 55u % LANES), y0, y1, y2, y3);
      sum[56] += products(subgroupBroadcast(rows[56u / LANES], 56u % LANES), y0, y1, y2, y3);
      sum[57] += products(subgroupBroadcast(rows[57u / LANES], 57u % LANES), y0, y1, y2, y3);
      sum[58] += products(subgroupBroadcast(rows[58u / LANES], 58u % LANES), y0, y1, y2, y3);
      sum[59] += products(subgroupBroadcast(rows[59u / LANES], 59u % LANES), y0, y1, y2, y3);
      sum[60] += products(subgroupBroadcast(rows[60u / LANES], 60u % LANES), y0, y1, y2, y3);
      sum[61] += products(subgroupBroadcast(rows[61u / LANES], 61u % LANES), y0, y1, y2, y3);
      sum[62] += products(subgroupBroadcast(rows[62u / LANES], 62u % LANES), y0, y1, y2, y3);
      sum[63] += products(subgroupBroadcast(rows[63u / LANES], 63u % LANES), y0, y1, y2, y3);
    }
    total[0] = plus(total[0], sum[0]);
    total[1] = plus(total[1], sum[1]);
    total[2] = plus(total[2], sum[2]);
    total[3] = plus(total[3], sum[3]);
    total[4] = plus(total[4], sum[4]);
    total[5] = plus(total[5], sum[5]);
    total[6] = plus(total[6], sum[6]);
    total[7] = plus(total[7], sum[7]);
    total[8] = plus(total[8], sum[8]);
    total[9] = plus(total[9], sum[9]);
    total[10] = plus(total[10], sum[10]);
    total[11] = plus(total[11], sum[11]);
    total[12] = plus(total[12], sum[12]);
    total[13] = plus(total[13], sum[13]);
    total[14] = plus(total[14], sum[14]);
    total[15] = plus(total[15], sum[15]);
    total[16] = plus(total[16], sum[16]);
    total[17] = plus(total[17], sum[17]);
    total[18] = plus(total[18], sum[18]);
    total[19] = plus(total[19], sum[19]);
    total[20] = plus(total[20], sum[20]);
    total[21] = plus(total[21], sum[21]);
    total[22] = plus(total[22], sum[22]);
    total[23] = plus(total[23], sum[23]);
    total[24] = plus(total[24], sum[24]);
    total[25] = plus(total[25], sum[25]);
    total[26] = plus(total[26], sum[26]);
    total[27] = plus(total[27], sum[27]);
    total[28] = plus(total[28], sum[28]);
    total[29] = plus(total[29], sum[29]);
    total[30] = plus(total[30], sum[30]);
    total[31] = plus(total[31], sum[31]);
    total[32] = plus(total[32], sum[32]);
    total[33] = plus(total[33], sum[33]);
    total[34] = plus(total[34], sum[34]);
    total[35] = plus(total[35], sum[35]);
    total[36] = plus(total[36], sum[36]);
    total[37] = plus(total[37], sum[37]);
    total[38] = plus(total[38], sum[38]);
    total[39] = plus(total[39], sum[39]);
    total[40] = plus(total[40], sum[40]);
    total[41] = plus(total[41], sum[41]);
    total[42] = plus(total[42], sum[42]);
    total[43] = plus(total[43], sum[43]);
    total[44] = plus(total[44], sum[44]);
    total[45] = plus(total[45], sum[45]);
    total[46] = plus(total[46], sum[46]);
    total[47] = plus(total[47], sum[47]);
    total[48] = plus(total[48], sum[48]);
    total[49] = plus(total[49], sum[49]);
    total[50] = plus(total[50], sum[50]);
    total[51] = plus(total[51], sum[51]);
    total[52] = plus(total[52], sum[52]);
    total[53] = plus(total[53], sum[53]);
    total[54] = plus(total[54], sum[54]);
    total[55] = plus(total[55], sum[55]);
    total[56] = plus(total[56], sum[56]);
    total[57] = plus(total[57], sum[57]);
    total[58] = plus(total[58], sum[58]);
    total[59] = plus(total[59], sum[59]);
    total[60] = plus(total[60], sum[60]);
    total[61] = plus(total[61], sum[61]);
    total[62] = plus(total[62], sum[62]);
    total[63] = plus(total[63], sum[63]);
  }
  // lavapipe mixes up the components of vectors in an array with a variable index: one array a component.
  var sum0: array<f32, ROWS>;
  var sum1: array<f32, ROWS>;
  var sum2: array<f32, ROWS>;
  var sum3: array<f32, ROWS>;
  var lost0: array<f32, ROWS>;
  var lost1: array<f32, ROWS>;
  var lost2: array<f32, ROWS>;
  var lost3: array<f32, ROWS>;
  sum0[0] = total[0].sum.x; sum1[0] = total[0].sum.y; sum2[0] = total[0].sum.z; sum3[0] = total[0].sum.w;
  sum0[1] = total[1].sum.x; sum1[1] = total[1].sum.y; sum2[1] = total[1].sum.z; sum3[1] = total[1].sum.w;
  sum0[2] = total[2].sum.x; sum1[2] = total[2].sum.y; sum2[2] = total[2].sum.z; sum3[2] = total[2].sum.w;
  sum0[3] = total[3].sum.x; sum1[3] = total[3].sum.y; sum2[3] = total[3].sum.z; sum3[3] = total[3].sum.w;
  sum0[4] = total[4].sum.x; sum1[4] = total[4].sum.y; sum2[4] = total[4].sum.z; sum3[4] = total[4].sum.w;
  sum0[5] = total[5].sum.x; sum1[5] = total[5].sum.y; sum2[5] = total[5].sum.z; sum3[5] = total[5].sum.w;
  sum0[6] = total[6].sum.x; sum1[6] = total[6].sum.y; sum2[6] = total[6].sum.z; sum3[6] = total[6].sum.w;
  sum0[7] = total[7].sum.x; sum1[7] = total[7].sum.y; sum2[7] = total[7].sum.z; sum3[7] = total[7].sum.w;
  sum0[8] = total[8].sum.x; sum1[8] = total[8].sum.y; sum2[8] = total[8].sum.z; sum3[8] = total[8].sum.w;
  sum0[9] = total[9].sum.x; sum1[9] = total[9].sum.y; sum2[9] = total[9].sum.z; sum3[9] = total[9].sum.w;
  sum0[10] = total[10].sum.x; sum1[10] = total[10].sum.y; sum2[10] = total[10].sum.z; sum3[10] = total[10].sum.w;
  sum0[11] = total[11].sum.x; sum1[11] = total[11].sum.y; sum2[11] = total[11].sum.z; sum3[11] = total[11].sum.w;
  sum0[12] = total[12].sum.x; sum1[12] = total[12].sum.y; sum2[12] = total[12].sum.z; sum3[12] = total[12].sum.w;
  sum0[13] = total[13].sum.x; sum1[13] = total[13].sum.y; sum2[13] = total[13].sum.z; sum3[13] = total[13].sum.w;
  sum0[14] = total[14].sum.x; sum1[14] = total[14].sum.y; sum2[14] = total[14].sum.z; sum3[14] = total[14].sum.w;
  sum0[15] = total[15].sum.x; sum1[15] = total[15].sum.y; sum2[15] = total[15].sum.z; sum3[15] = total[15].sum.w;
  sum0[16] = total[16].sum.x; sum1[16] = total[16].sum.y; sum2[16] = total[16].sum.z; sum3[16] = total[16].sum.w;
  sum0[17] = total[17].sum.x; sum1[17] = total[17].sum.y; sum2[17] = total[17].sum.z; sum3[17] = total[17].sum.w;
  sum0[18] = total[18].sum.x; sum1[18] = total[18].sum.y; sum2[18] = total[18].sum.z; sum3[18] = total[18].sum.w;
  sum0[19] = total[19].sum.x; sum1[19] = total[19].sum.y; sum2[19] = total[19].sum.z; sum3[19] = total[19].sum.w;
  sum0[20] = total[20].sum.x; sum1[20] = total[20].sum.y; sum2[20] = total[20].sum.z; sum3[20] = total[20].sum.w;
  sum0[21] = total[21].sum.x; sum1[21] = total[21].sum.y; sum2[21] = total[21].sum.z; sum3[21] = total[21].sum.w;
  sum0[22] = total[22].sum.x; sum1[22] = total[22].sum.y; sum2[22] = total[22].sum.z; sum3[22] = total[22].sum.w;
  sum0[23] = total[23].sum.x; sum1[23] = total[23].sum.y; sum2[23] = total[23].sum.z; sum3[23] = total[23].sum.w;
  sum0[24] = total[24].sum.x; sum1[24] = total[24].sum.y; sum2[24] = total[24].sum.z; sum3[24] = total[24].sum.w;
  sum0[25] = total[25].sum.x; sum1[25] = total[25].sum.y; sum2[25] = total[25].sum.z; sum3[25] = total[25].sum.w;
  sum0[26] = total[26].sum.x; sum1[26] = total[26].sum.y; sum2[26] = total[26].sum.z; sum3[26] = total[26].sum.w;
  sum0[27] = total[27].sum.x; sum1[27] = total[27].sum.y; sum2[27] = total[27].sum.z; sum3[27] = total[27].sum.w;
  sum0[28] = total[28].sum.x; sum1[28] = total[28].sum.y; sum2[28] = total[28].sum.z; sum3[28] = total[28].sum.w;
  sum0[29] = total[29].sum.x; sum1[29] = total[29].sum.y; sum2[29] = total[29].sum.z; sum3[29] = total[29].sum.w;
  sum0[30] = total[30].sum.x; sum1[30] = total[30].sum.y; sum2[30] = total[30].sum.z; sum3[30] = total[30].sum.w;
  sum0[31] = total[31].sum.x; sum1[31] = total[31].sum.y; sum2[31] = total[31].sum.z; sum3[31] = total[31].sum.w;
  sum0[32] = total[32].sum.x; sum1[32] = total[32].sum.y; sum2[32] = total[32].sum.z; sum3[32] = total[32].sum.w;
  sum0[33] = total[33].sum.x; sum1[33] = total[33].sum.y; sum2[33] = total[33].sum.z; sum3[33] = total[33].sum.w;
  sum0[34] = total[34].sum.x; sum1[34] = total[34].sum.y; sum2[34] = total[34].sum.z; sum3[34] = total[34].sum.w;
  sum0[35] = total[35].sum.x; sum1[35] = total[35].sum.y; sum2[35] = total[35].sum.z; sum3[35] = total[35].sum.w;
  sum0[36] = total[36].sum.x; sum1[36] = total[36].sum.y; sum2[36] = total[36].sum.z; sum3[36] = total[36].sum.w;
  sum0[37] = total[37].sum.x; sum1[37] = total[37].sum.y; sum2[37] = total[37].sum.z; sum3[37] = total[37].sum.w;
  sum0[38] = total[38].sum.x; sum1[38] = total[38].sum.y; sum2[38] = total[38].sum.z; sum3[38] = total[38].sum.w;
  sum0[39] = total[39].sum.x; sum1[39] = total[39].sum.y; sum2[39] = total[39].sum.z; sum3[39] = total[39].sum.w;
  sum0[40] = total[40].sum.x; sum1[40] = total[40].sum.y; sum2[40] = total[40].sum.z; sum3[40] = total[40].sum.w;
  sum0[41] = total[41].sum.x; sum1[41] = total[41].sum.y; sum2[41] = total[41].sum.z; sum3[41] = total[41].sum.w;
  sum0[42] = total[42].sum.x; sum1[42] = total[42].sum.y; sum2[42] = total[42].sum.z; sum3[42] = total[42].sum.w;
  sum0[43] = total[43].sum.x; sum1[43] = total[43].sum.y; sum2[43] = total[43].sum.z; sum3[43] = total[43].sum.w;
  sum0[44] = total[44].sum.x; sum1[44] = total[44].sum.y; sum2[44] = total[44].sum.z; sum3[44] = total[44].sum.w;
  sum0[45] = total[45].sum.x; sum1[45] = total[45].sum.y; sum2[45] = total[45].sum.z; sum3[45] = total[45].sum.w;
  sum0[46] = total[46].sum.x; sum1[46] = total[46].sum.y; sum2[46] = total[46].sum.z; sum3[46] = total[46].sum.w;
  sum0[47] = total[47].sum.x; sum1[47] = total[47].sum.y; sum2[47] = total[47].sum.z; sum3[47] = total[47].sum.w;
  sum0[48] = total[48].sum.x; sum1[48] = total[48].sum.y; sum2[48] = total[48].sum.z; sum3[48] = total[48].sum.w;
  sum0[49] = total[49].sum.x; sum1[49] = total[49].sum.y; sum2[49] = total[49].sum.z; sum3[49] = total[49].sum.w;
  sum0[50] = total[50].sum.x; sum1[50] = total[50].sum.y; sum2[50] = total[50].sum.z; sum3[50] = total[50].sum.w;
  sum0[51] = total[51].sum.x; sum1[51] = total[51].sum.y; sum2[51] = total[51].sum.z; sum3[51] = total[51].sum.w;
  sum0[52] = total[52].sum.x; sum1[52] = total[52].sum.y; sum2[52] = total[52].sum.z; sum3[52] = total[52].sum.w;
  sum0[53] = total[53].sum.x; sum1[53] = total[53].sum.y; sum2[53] = total[53].sum.z; sum3[53] = total[53].sum.w;
  sum0[54] = total[54].sum.x; sum1[54] = total[54].sum.y; sum2[54] = total[54].sum.z; sum3[54] = total[54].sum.w;
  sum0[55] = total[55].sum.x; sum1[55] = total[55].sum.y; sum2[55] = total[55].sum.z; sum3[55] = total[55].sum.w;
  sum0[56] = total[56].sum.x; sum1[56] = total[56].sum.y; sum2[56] = total[56].sum.z; sum3[56] = total[56].sum.w;
  sum0[57] = total[57].sum.x; sum1[57] = total[57].sum.y; sum2[57] = total[57].sum.z; sum3[57] = total[57].sum.w;
  sum0[58] = total[58].sum.x; sum1[58] = total[58].sum.y; sum2[58] = total[58].sum.z; sum3[58] = total[58].sum.w;
  sum0[59] = total[59].sum.x; sum1[59] = total[59].sum.y; sum2[59] = total[59].sum.z; sum3[59] = total[59].sum.w;
  sum0[60] = total[60].sum.x; sum1[60] = total[60].sum.y; sum2[60] = total[60].sum.z; sum3[60] = total[60].sum.w;
  sum0[61] = total[61].sum.x; sum1[61] = total[61].sum.y; sum2[61] = total[61].sum.z; sum3[61] = total[61].sum.w;
  sum0[62] = total[62].sum.x; sum1[62] = total[62].sum.y; sum2[62] = total[62].sum.z; sum3[62] = total[62].sum.w;
  sum0[63] = total[63].sum.x; sum1[63] = total[63].sum.y; sum2[63] = total[63].sum.z; sum3[63] = total[63].sum.w;
  lost0[0] = total[0].lost.x; lost1[0] = total[0].lost.y; lost2[0] = total[0].lost.z; lost3[0] = total[0].lost.w;
  lost0[1] = total[1].lost.x; lost1[1] = total[1].lost.y; lost2[1] = total[1].lost.z; lost3[1] = total[1].lost.w;
  lost0[2] = total[2].lost.x; lost1[2] = total[2].lost.y; lost2[2] = total[2].lost.z; lost3[2] = total[2].lost.w;
  lost0[3] = total[3].lost.x; lost1[3] = total[3].lost.y; lost2[3] = total[3].lost.z; lost3[3] = total[3].lost.w;
  lost0[4] = total[4].lost.x; lost1[4] = total[4].lost.y; lost2[4] = total[4].lost.z; lost3[4] = total[4].lost.w;
  lost0[5] = total[5].lost.x; lost1[5] = total[5].lost.y; lost2[5] = total[5].lost.z; lost3[5] = total[5].lost.w;
  lost0[6] = total[6].lost.x; lost1[6] = total[6].lost.y; lost2[6] = total[6].lost.z; lost3[6] = total[6].lost.w;
  lost0[7] = total[7].lost.x; lost1[7] = total[7].lost.y; lost2[7] = total[7].lost.z; lost3[7] = total[7].lost.w;
  lost0[8] = total[8].lost.x; lost1[8] = total[8].lost.y; lost2[8] = total[8].lost.z; lost3[8] = total[8].lost.w;
  lost0[9] = total[9].lost.x; lost1[9] = total[9].lost.y; lost2[9] = total[9].lost.z; lost3[9] = total[9].lost.w;
  lost0[10] = total[10].lost.x; lost1[10] = total[10].lost.y; lost2[10] = total[10].lost.z; lost3[10] = total[10].lost.w;
  lost0[11] = total[11].lost.x; lost1[11] = total[11].lost.y; lost2[11] = total[11].lost.z; lost3[11] = total[11].lost.w;
  lost0[12] = total[12].lost.x; lost1[12] = total[12].lost.y; lost2[12] = total[12].lost.z; lost3[12] = total[12].lost.w;
  lost0[13] = total[13].lost.x; lost1[13] = total[13].lost.y; lost2[13] = total[13].lost.z; lost3[13] = total[13].lost.w;
  lost0[14] = total[14].lost.x; lost1[14] = total[14].lost.y; lost2[14] = total[14].lost.z; lost3[14] = total[14].lost.w;
  lost0[15] = total[15].lost.x; lost1[15] = total[15].lost.y; lost2[15] = total[15].lost.z; lost3[15] = total[15].lost.w;
  lost0[16] = total[16].lost.x; lost1[16] = total[16].lost.y; lost2[16] = total[16].lost.z; lost3[16] = total[16].lost.w;
  lost0[17] = total[17].lost.x; lost1[17] = total[17].lost.y; lost2[17] = total[17].lost.z; lost3[17] = total[17].lost.w;
  lost0[18] = total[18].lost.x; lost1[18] = total[18].lost.y; lost2[18] = total[18].lost.z; lost3[18] = total[18].lost.w;
  lost0[19] = total[19].lost.x; lost1[19] = total[19].lost.y; lost2[19] = total[19].lost.z; lost3[19] = total[19].lost.w;
  lost0[20] = total[20].lost.x; lost1[20] = total[20].lost.y; lost2[20] = total[20].lost.z; lost3[20] = total[20].lost.w;
  lost0[21] = total[21].lost.x; lost1[21] = total[21].lost.y; lost2[21] = total[21].lost.z; lost3[21] = total[21].lost.w;
  lost0[22] = total[22].lost.x; lost1[22] = total[22].lost.y; lost2[22] = total[22].lost.z; lost3[22] = total[22].lost.w;
  lost0[23] = total[23].lost.x; lost1[23] = total[23].lost.y; lost2[23] = total[23].lost.z; lost3[23] = total[23].lost.w;
  lost0[24] = total[24].lost.x; lost1[24] = total[24].lost.y; lost2[24] = total[24].lost.z; lost3[24] = total[24].lost.w;
  lost0[25] = total[25].lost.x; lost1[25] = total[25].lost.y; lost2[25] = total[25].lost.z; lost3[25] = total[25].lost.w;
  lost0[26] = total[26].lost.x; lost1[26] = total[26].lost.y; lost2[26] = total[26].lost.z; lost3[26] = total[26].lost.w;
  lost0[27] = total[27].lost.x; lost1[27] = total[27].lost.y; lost2[27] = total[27].lost.z; lost3[27] = total[27].lost.w;
  lost0[28] = total[28].lost.x; lost1[28] = total[28].lost.y; lost2[28] = total[28].lost.z; lost3[28] = total[28].lost.w;
  lost0[29] = total[29].lost.x; lost1[29] = total[29].lost.y; lost2[29] = total[29].lost.z; lost3[29] = total[29].lost.w;
  lost0[30] = total[30].lost.x; lost1[30] = total[30].lost.y; lost2[30] = total[30].lost.z; lost3[30] = total[30].lost.w;
  lost0[31] = total[31].lost.x; lost1[31] = total[31].lost.y; lost2[31] = total[31].lost.z; lost3[31] = total[31].lost.w;
  lost0[32] = total[32].lost.x; lost1[32] = total[32].lost.y; lost2[32] = total[32].lost.z; lost3[32] = total[32].lost.w;
  lost0[33] = total[33].lost.x; lost1[33] = total[33].lost.y; lost2[33] = total[33].lost.z; lost3[33] = total[33].lost.w;
  lost0[34] = total[34].lost.x; lost1[34] = total[34].lost.y; lost2[34] = total[34].lost.z; lost3[34] = total[34].lost.w;
  lost0[35] = total[35].lost.x; lost1[35] = total[35].lost.y; lost2[35] = total[35].lost.z; lost3[35] = total[35].lost.w;
  lost0[36] = total[36].lost.x; lost1[36] = total[36].lost.y; lost2[36] = total[36].lost.z; lost3[36] = total[36].lost.w;
  lost0[37] = total[37].lost.x; lost1[37] = total[37].lost.y; lost2[37] = total[37].lost.z; lost3[37] = total[37].lost.w;
  lost0[38] = total[38].lost.x; lost1[38] = total[38].lost.y; lost2[38] = total[38].lost.z; lost3[38] = total[38].lost.w;
  lost0[39] = total[39].lost.x; lost1[39] = total[39].lost.y; lost2[39] = total[39].lost.z; lost3[39] = total[39].lost.w;
  lost0[40] = total[40].lost.x; lost1[40] = total[40].lost.y; lost2[40] = total[40].lost.z; lost3[40] = total[40].lost.w;
  lost0[41] = total[41].lost.x; lost1[41] = total[41].lost.y; lost2[41] = total[41].lost.z; lost3[41] = total[41].lost.w;
  lost0[42] = total[42].lost.x; lost1[42] = total[42].lost.y; lost2[42] = total[42].lost.z; lost3[42] = total[42].lost.w;
  lost0[43] = total[43].lost.x; lost1[43] = total[43].lost.y; lost2[43] = total[43].lost.z; lost3[43] = total[43].lost.w;
  lost0[44] = total[44].lost.x; lost1[44] = total[44].lost.y; lost2[44] = total[44].lost.z; lost3[44] = total[44].lost.w;
  lost0[45] = total[45].lost.x; lost1[45] = total[45].lost.y; lost2[45] = total[45].lost.z; lost3[45] = total[45].lost.w;
  lost0[46] = total[46].lost.x; lost1[46] = total[46].lost.y; lost2[46] = total[46].lost.z; lost3[46] = total[46].lost.w;
  lost0[47] = total[47].lost.x; lost1[47] = total[47].lost.y; lost2[47] = total[47].lost.z; lost3[47] = total[47].lost.w;
  lost0[48] = total[48].lost.x; lost1[48] = total[48].lost.y; lost2[48] = total[48].lost.z; lost3[48] = total[48].lost.w;
  lost0[49] = total[49].lost.x; lost1[49] = total[49].lost.y; lost2[49] = total[49].lost.z; lost3[49] = total[49].lost.w;
  lost0[50] = total[50].lost.x; lost1[50] = total[50].lost.y; lost2[50] = total[50].lost.z; lost3[50] = total[50].lost.w;
  lost0[51] = total[51].lost.x; lost1[51] = total[51].lost.y; lost2[51] = total[51].lost.z; lost3[51] = total[51].lost.w;
  lost0[52] = total[52].lost.x; lost1[52] = total[52].lost.y; lost2[52] = total[52].lost.z; lost3[52] = total[52].lost.w;
  lost0[53] = total[53].lost.x; lost1[53] = total[53].lost.y; lost2[53] = total[53].lost.z; lost3[53] = total[53].lost.w;
  lost0[54] = total[54].lost.x; lost1[54] = total[54].lost.y; lost2[54] = total[54].lost.z; lost3[54] = total[54].lost.w;
  lost0[55] = total[55].lost.x; lost1[55] = total[55].lost.y; lost2[55] = total[55].lost.z; lost3[55] = total[55].lost.w;
  lost0[56] = total[56].lost.x; lost1[56] = total[56].lost.y; lost2[56] = total[56].lost.z; lost3[56] = total[56].lost.w;
  lost0[57] = total[57].lost.x; lost1[57] = total[57].lost.y; lost2[57] = total[57].lost.z; lost3[57] = total[57].lost.w;
  lost0[58] = total[58].lost.x; lost1[58] = total[58].lost.y; lost2[58] = total[58].lost.z; lost3[58] = total[58].lost.w;
  lost0[59] = total[59].lost.x; lost1[59] = total[59].lost.y; lost2[59] = total[59].lost.z; lost3[59] = total[59].lost.w;
  lost0[60] = total[60].lost.x; lost1[60] = total[60].lost.y; lost2[60] = total[60].lost.z; lost3[60] = total[60].lost.w;
  lost0[61] = total[61].lost.x; lost1[61] = total[61].lost.y; lost2[61] = total[61].lost.z; lost3[61] = total[61].lost.w;
  lost0[62] = total[62].lost.x; lost1[62] = total[62].lost.y; lost2[62] = total[62].lost.z; lost3[62] = total[62].lost.w;
  lost0[63] = total[63].lost.x; lost1[63] = total[63].lost.y; lost2[63] = total[63].lost.z; lost3[63] = total[63].lost.w;
  // The loop has no constant end on purpose: unrolled, it would be most of the code.
  let rows = min(ROWS, p.m - row0);
  for (var i = 0u; i < rows; i++) {
    store(row0 + i, col0 + lane, sum0[i], &lost0, i);
    store(row0 + i, col0 + LANES + lane, sum1[i], &lost1, i);
    store(row0 + i, col0 + 2u * LANES + lane, sum2[i], &lost2, i);
    store(row0 + i, col0 + 3u * LANES + lane, sum3[i], &lost3, i);
  }
}
