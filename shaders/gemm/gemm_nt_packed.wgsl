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
// - Texels of BLOCK rows lie side by side in the texture, in the order of their use, so that a tile reads one stretch of
//   memory from A and one from B. With rows as they are in the matrix (4 KiB apart at k = 1024) half of the time went into
//   cache misses, with LANES rows side by side still a tenth: eight stretches 64 KiB apart share their cache sets.
// - The results are stored from arrays in a loop: with the stores written out, the driver compiled for 4 s, not 0.3.
// Measured at n = 1024 on two cores (lavapipe, 16 lanes): 48 rows from sampled textures with totals every 64 terms took
// 33 ms; with storage textures 32, with 64 rows besides 28, with totals every 128 terms 25, every 256 terms 23. 80 rows
// are slower again, and so are two steps at a time: the loop outgrows the instruction cache.
enable subgroups;
requires immediate_address_space;
requires readonly_and_readwrite_storage_textures;

// Header: LANES: u32, DIFFERENCE: bool.

const ROWS = 64u;
// Matrix rows whose texels lie side by side.
const BLOCK = 64u;
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
  // Steps (vec4 along k) in a row of the textures, and rows of texels that a block of matrix rows takes.
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

// value + rests[i] is the sum; padding of `low` is written with that of `out`. lavapipe goes through the lanes at every
// access to a buffer, taken or not, so there are as few of them as can be.
fn store(row: u32, col: u32, value: f32, rests: ptr<function, array<f32, ROWS>>, i: u32) {
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
      // (value + rests[i])(scale + bias): the product of the high parts exactly, from 12-bit halves.
      let added = opaque(value * p.scale);
      let x = head(value);
      let y = head(p.scale);
      rest = ((x * y - added) + x * (p.scale - y) + (value - x) * y) + (value - x) * (p.scale - y);
      rest += value * p.bias + (*rests)[i] * p.scale;
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

struct Sum {
  total: vec4f,
  rest: vec4f,
}

// total + rest is total + sum, whichever is the larger (Knuth); what the total cannot hold is where the next sum begins.
// Kahan's sum, two operations shorter, is off where terms of either sign leave the total the smaller one: no gain in time,
// and NC1 after 20 layers (MNIST, n = 1000) was off by 2.0e-5, not 1.3e-5.
fn plus(total: vec4f, sum: vec4f) -> Sum {
  let next = opaque4(total + sum);
  let part = opaque4(next - total);
  return Sum(next, (total - opaque4(next - part)) + (sum - part));
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

  let blockA = row0 / BLOCK * p.folds;
  let blockB = col0 / BLOCK * p.folds;
  let colB = col0 % BLOCK + lane;
  var total = array<vec4f, ROWS>();
  var sum = array<vec4f, ROWS>();
  let steps = (p.k + 3u) / 4u;
  let chunk = select(CHUNK, SHORT_CHUNK, has(LOW)) / 4u;
  for (var start = 0u; start < steps; start += chunk) {
    let fold = start / p.segment;
    let x0 = (start - fold * p.segment) * BLOCK;
    let end = x0 + min(chunk, steps - start) * BLOCK;
    for (var x = x0; x < end; x += BLOCK) {
      var rows: array<vec4f, ROWS / LANES>;
      for (var q = 0u; q < ROWS / LANES; q++) { rows[q] = textureLoad(a, vec2u(x + q * LANES + lane, blockA + fold)); }
      let y0 = textureLoad(b, vec2u(x + colB, blockB + fold));
      let y1 = textureLoad(b, vec2u(x + colB + LANES, blockB + fold));
      let y2 = textureLoad(b, vec2u(x + colB + 2u * LANES, blockB + fold));
      let y3 = textureLoad(b, vec2u(x + colB + 3u * LANES, blockB + fold));
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
    let t0 = plus(total[0], sum[0]); total[0] = t0.total; sum[0] = t0.rest;
    let t1 = plus(total[1], sum[1]); total[1] = t1.total; sum[1] = t1.rest;
    let t2 = plus(total[2], sum[2]); total[2] = t2.total; sum[2] = t2.rest;
    let t3 = plus(total[3], sum[3]); total[3] = t3.total; sum[3] = t3.rest;
    let t4 = plus(total[4], sum[4]); total[4] = t4.total; sum[4] = t4.rest;
    let t5 = plus(total[5], sum[5]); total[5] = t5.total; sum[5] = t5.rest;
    let t6 = plus(total[6], sum[6]); total[6] = t6.total; sum[6] = t6.rest;
    let t7 = plus(total[7], sum[7]); total[7] = t7.total; sum[7] = t7.rest;
    let t8 = plus(total[8], sum[8]); total[8] = t8.total; sum[8] = t8.rest;
    let t9 = plus(total[9], sum[9]); total[9] = t9.total; sum[9] = t9.rest;
    let t10 = plus(total[10], sum[10]); total[10] = t10.total; sum[10] = t10.rest;
    let t11 = plus(total[11], sum[11]); total[11] = t11.total; sum[11] = t11.rest;
    let t12 = plus(total[12], sum[12]); total[12] = t12.total; sum[12] = t12.rest;
    let t13 = plus(total[13], sum[13]); total[13] = t13.total; sum[13] = t13.rest;
    let t14 = plus(total[14], sum[14]); total[14] = t14.total; sum[14] = t14.rest;
    let t15 = plus(total[15], sum[15]); total[15] = t15.total; sum[15] = t15.rest;
    let t16 = plus(total[16], sum[16]); total[16] = t16.total; sum[16] = t16.rest;
    let t17 = plus(total[17], sum[17]); total[17] = t17.total; sum[17] = t17.rest;
    let t18 = plus(total[18], sum[18]); total[18] = t18.total; sum[18] = t18.rest;
    let t19 = plus(total[19], sum[19]); total[19] = t19.total; sum[19] = t19.rest;
    let t20 = plus(total[20], sum[20]); total[20] = t20.total; sum[20] = t20.rest;
    let t21 = plus(total[21], sum[21]); total[21] = t21.total; sum[21] = t21.rest;
    let t22 = plus(total[22], sum[22]); total[22] = t22.total; sum[22] = t22.rest;
    let t23 = plus(total[23], sum[23]); total[23] = t23.total; sum[23] = t23.rest;
    let t24 = plus(total[24], sum[24]); total[24] = t24.total; sum[24] = t24.rest;
    let t25 = plus(total[25], sum[25]); total[25] = t25.total; sum[25] = t25.rest;
    let t26 = plus(total[26], sum[26]); total[26] = t26.total; sum[26] = t26.rest;
    let t27 = plus(total[27], sum[27]); total[27] = t27.total; sum[27] = t27.rest;
    let t28 = plus(total[28], sum[28]); total[28] = t28.total; sum[28] = t28.rest;
    let t29 = plus(total[29], sum[29]); total[29] = t29.total; sum[29] = t29.rest;
    let t30 = plus(total[30], sum[30]); total[30] = t30.total; sum[30] = t30.rest;
    let t31 = plus(total[31], sum[31]); total[31] = t31.total; sum[31] = t31.rest;
    let t32 = plus(total[32], sum[32]); total[32] = t32.total; sum[32] = t32.rest;
    let t33 = plus(total[33], sum[33]); total[33] = t33.total; sum[33] = t33.rest;
    let t34 = plus(total[34], sum[34]); total[34] = t34.total; sum[34] = t34.rest;
    let t35 = plus(total[35], sum[35]); total[35] = t35.total; sum[35] = t35.rest;
    let t36 = plus(total[36], sum[36]); total[36] = t36.total; sum[36] = t36.rest;
    let t37 = plus(total[37], sum[37]); total[37] = t37.total; sum[37] = t37.rest;
    let t38 = plus(total[38], sum[38]); total[38] = t38.total; sum[38] = t38.rest;
    let t39 = plus(total[39], sum[39]); total[39] = t39.total; sum[39] = t39.rest;
    let t40 = plus(total[40], sum[40]); total[40] = t40.total; sum[40] = t40.rest;
    let t41 = plus(total[41], sum[41]); total[41] = t41.total; sum[41] = t41.rest;
    let t42 = plus(total[42], sum[42]); total[42] = t42.total; sum[42] = t42.rest;
    let t43 = plus(total[43], sum[43]); total[43] = t43.total; sum[43] = t43.rest;
    let t44 = plus(total[44], sum[44]); total[44] = t44.total; sum[44] = t44.rest;
    let t45 = plus(total[45], sum[45]); total[45] = t45.total; sum[45] = t45.rest;
    let t46 = plus(total[46], sum[46]); total[46] = t46.total; sum[46] = t46.rest;
    let t47 = plus(total[47], sum[47]); total[47] = t47.total; sum[47] = t47.rest;
    let t48 = plus(total[48], sum[48]); total[48] = t48.total; sum[48] = t48.rest;
    let t49 = plus(total[49], sum[49]); total[49] = t49.total; sum[49] = t49.rest;
    let t50 = plus(total[50], sum[50]); total[50] = t50.total; sum[50] = t50.rest;
    let t51 = plus(total[51], sum[51]); total[51] = t51.total; sum[51] = t51.rest;
    let t52 = plus(total[52], sum[52]); total[52] = t52.total; sum[52] = t52.rest;
    let t53 = plus(total[53], sum[53]); total[53] = t53.total; sum[53] = t53.rest;
    let t54 = plus(total[54], sum[54]); total[54] = t54.total; sum[54] = t54.rest;
    let t55 = plus(total[55], sum[55]); total[55] = t55.total; sum[55] = t55.rest;
    let t56 = plus(total[56], sum[56]); total[56] = t56.total; sum[56] = t56.rest;
    let t57 = plus(total[57], sum[57]); total[57] = t57.total; sum[57] = t57.rest;
    let t58 = plus(total[58], sum[58]); total[58] = t58.total; sum[58] = t58.rest;
    let t59 = plus(total[59], sum[59]); total[59] = t59.total; sum[59] = t59.rest;
    let t60 = plus(total[60], sum[60]); total[60] = t60.total; sum[60] = t60.rest;
    let t61 = plus(total[61], sum[61]); total[61] = t61.total; sum[61] = t61.rest;
    let t62 = plus(total[62], sum[62]); total[62] = t62.total; sum[62] = t62.rest;
    let t63 = plus(total[63], sum[63]); total[63] = t63.total; sum[63] = t63.rest;
  }
  // lavapipe mixes up the components of vectors in an array with a variable index: one array a component.
  var sum0: array<f32, ROWS>;
  var sum1: array<f32, ROWS>;
  var sum2: array<f32, ROWS>;
  var sum3: array<f32, ROWS>;
  var rest0: array<f32, ROWS>;
  var rest1: array<f32, ROWS>;
  var rest2: array<f32, ROWS>;
  var rest3: array<f32, ROWS>;
  sum0[0] = total[0].x; sum1[0] = total[0].y; sum2[0] = total[0].z; sum3[0] = total[0].w;
  sum0[1] = total[1].x; sum1[1] = total[1].y; sum2[1] = total[1].z; sum3[1] = total[1].w;
  sum0[2] = total[2].x; sum1[2] = total[2].y; sum2[2] = total[2].z; sum3[2] = total[2].w;
  sum0[3] = total[3].x; sum1[3] = total[3].y; sum2[3] = total[3].z; sum3[3] = total[3].w;
  sum0[4] = total[4].x; sum1[4] = total[4].y; sum2[4] = total[4].z; sum3[4] = total[4].w;
  sum0[5] = total[5].x; sum1[5] = total[5].y; sum2[5] = total[5].z; sum3[5] = total[5].w;
  sum0[6] = total[6].x; sum1[6] = total[6].y; sum2[6] = total[6].z; sum3[6] = total[6].w;
  sum0[7] = total[7].x; sum1[7] = total[7].y; sum2[7] = total[7].z; sum3[7] = total[7].w;
  sum0[8] = total[8].x; sum1[8] = total[8].y; sum2[8] = total[8].z; sum3[8] = total[8].w;
  sum0[9] = total[9].x; sum1[9] = total[9].y; sum2[9] = total[9].z; sum3[9] = total[9].w;
  sum0[10] = total[10].x; sum1[10] = total[10].y; sum2[10] = total[10].z; sum3[10] = total[10].w;
  sum0[11] = total[11].x; sum1[11] = total[11].y; sum2[11] = total[11].z; sum3[11] = total[11].w;
  sum0[12] = total[12].x; sum1[12] = total[12].y; sum2[12] = total[12].z; sum3[12] = total[12].w;
  sum0[13] = total[13].x; sum1[13] = total[13].y; sum2[13] = total[13].z; sum3[13] = total[13].w;
  sum0[14] = total[14].x; sum1[14] = total[14].y; sum2[14] = total[14].z; sum3[14] = total[14].w;
  sum0[15] = total[15].x; sum1[15] = total[15].y; sum2[15] = total[15].z; sum3[15] = total[15].w;
  sum0[16] = total[16].x; sum1[16] = total[16].y; sum2[16] = total[16].z; sum3[16] = total[16].w;
  sum0[17] = total[17].x; sum1[17] = total[17].y; sum2[17] = total[17].z; sum3[17] = total[17].w;
  sum0[18] = total[18].x; sum1[18] = total[18].y; sum2[18] = total[18].z; sum3[18] = total[18].w;
  sum0[19] = total[19].x; sum1[19] = total[19].y; sum2[19] = total[19].z; sum3[19] = total[19].w;
  sum0[20] = total[20].x; sum1[20] = total[20].y; sum2[20] = total[20].z; sum3[20] = total[20].w;
  sum0[21] = total[21].x; sum1[21] = total[21].y; sum2[21] = total[21].z; sum3[21] = total[21].w;
  sum0[22] = total[22].x; sum1[22] = total[22].y; sum2[22] = total[22].z; sum3[22] = total[22].w;
  sum0[23] = total[23].x; sum1[23] = total[23].y; sum2[23] = total[23].z; sum3[23] = total[23].w;
  sum0[24] = total[24].x; sum1[24] = total[24].y; sum2[24] = total[24].z; sum3[24] = total[24].w;
  sum0[25] = total[25].x; sum1[25] = total[25].y; sum2[25] = total[25].z; sum3[25] = total[25].w;
  sum0[26] = total[26].x; sum1[26] = total[26].y; sum2[26] = total[26].z; sum3[26] = total[26].w;
  sum0[27] = total[27].x; sum1[27] = total[27].y; sum2[27] = total[27].z; sum3[27] = total[27].w;
  sum0[28] = total[28].x; sum1[28] = total[28].y; sum2[28] = total[28].z; sum3[28] = total[28].w;
  sum0[29] = total[29].x; sum1[29] = total[29].y; sum2[29] = total[29].z; sum3[29] = total[29].w;
  sum0[30] = total[30].x; sum1[30] = total[30].y; sum2[30] = total[30].z; sum3[30] = total[30].w;
  sum0[31] = total[31].x; sum1[31] = total[31].y; sum2[31] = total[31].z; sum3[31] = total[31].w;
  sum0[32] = total[32].x; sum1[32] = total[32].y; sum2[32] = total[32].z; sum3[32] = total[32].w;
  sum0[33] = total[33].x; sum1[33] = total[33].y; sum2[33] = total[33].z; sum3[33] = total[33].w;
  sum0[34] = total[34].x; sum1[34] = total[34].y; sum2[34] = total[34].z; sum3[34] = total[34].w;
  sum0[35] = total[35].x; sum1[35] = total[35].y; sum2[35] = total[35].z; sum3[35] = total[35].w;
  sum0[36] = total[36].x; sum1[36] = total[36].y; sum2[36] = total[36].z; sum3[36] = total[36].w;
  sum0[37] = total[37].x; sum1[37] = total[37].y; sum2[37] = total[37].z; sum3[37] = total[37].w;
  sum0[38] = total[38].x; sum1[38] = total[38].y; sum2[38] = total[38].z; sum3[38] = total[38].w;
  sum0[39] = total[39].x; sum1[39] = total[39].y; sum2[39] = total[39].z; sum3[39] = total[39].w;
  sum0[40] = total[40].x; sum1[40] = total[40].y; sum2[40] = total[40].z; sum3[40] = total[40].w;
  sum0[41] = total[41].x; sum1[41] = total[41].y; sum2[41] = total[41].z; sum3[41] = total[41].w;
  sum0[42] = total[42].x; sum1[42] = total[42].y; sum2[42] = total[42].z; sum3[42] = total[42].w;
  sum0[43] = total[43].x; sum1[43] = total[43].y; sum2[43] = total[43].z; sum3[43] = total[43].w;
  sum0[44] = total[44].x; sum1[44] = total[44].y; sum2[44] = total[44].z; sum3[44] = total[44].w;
  sum0[45] = total[45].x; sum1[45] = total[45].y; sum2[45] = total[45].z; sum3[45] = total[45].w;
  sum0[46] = total[46].x; sum1[46] = total[46].y; sum2[46] = total[46].z; sum3[46] = total[46].w;
  sum0[47] = total[47].x; sum1[47] = total[47].y; sum2[47] = total[47].z; sum3[47] = total[47].w;
  sum0[48] = total[48].x; sum1[48] = total[48].y; sum2[48] = total[48].z; sum3[48] = total[48].w;
  sum0[49] = total[49].x; sum1[49] = total[49].y; sum2[49] = total[49].z; sum3[49] = total[49].w;
  sum0[50] = total[50].x; sum1[50] = total[50].y; sum2[50] = total[50].z; sum3[50] = total[50].w;
  sum0[51] = total[51].x; sum1[51] = total[51].y; sum2[51] = total[51].z; sum3[51] = total[51].w;
  sum0[52] = total[52].x; sum1[52] = total[52].y; sum2[52] = total[52].z; sum3[52] = total[52].w;
  sum0[53] = total[53].x; sum1[53] = total[53].y; sum2[53] = total[53].z; sum3[53] = total[53].w;
  sum0[54] = total[54].x; sum1[54] = total[54].y; sum2[54] = total[54].z; sum3[54] = total[54].w;
  sum0[55] = total[55].x; sum1[55] = total[55].y; sum2[55] = total[55].z; sum3[55] = total[55].w;
  sum0[56] = total[56].x; sum1[56] = total[56].y; sum2[56] = total[56].z; sum3[56] = total[56].w;
  sum0[57] = total[57].x; sum1[57] = total[57].y; sum2[57] = total[57].z; sum3[57] = total[57].w;
  sum0[58] = total[58].x; sum1[58] = total[58].y; sum2[58] = total[58].z; sum3[58] = total[58].w;
  sum0[59] = total[59].x; sum1[59] = total[59].y; sum2[59] = total[59].z; sum3[59] = total[59].w;
  sum0[60] = total[60].x; sum1[60] = total[60].y; sum2[60] = total[60].z; sum3[60] = total[60].w;
  sum0[61] = total[61].x; sum1[61] = total[61].y; sum2[61] = total[61].z; sum3[61] = total[61].w;
  sum0[62] = total[62].x; sum1[62] = total[62].y; sum2[62] = total[62].z; sum3[62] = total[62].w;
  sum0[63] = total[63].x; sum1[63] = total[63].y; sum2[63] = total[63].z; sum3[63] = total[63].w;
  rest0[0] = sum[0].x; rest1[0] = sum[0].y; rest2[0] = sum[0].z; rest3[0] = sum[0].w;
  rest0[1] = sum[1].x; rest1[1] = sum[1].y; rest2[1] = sum[1].z; rest3[1] = sum[1].w;
  rest0[2] = sum[2].x; rest1[2] = sum[2].y; rest2[2] = sum[2].z; rest3[2] = sum[2].w;
  rest0[3] = sum[3].x; rest1[3] = sum[3].y; rest2[3] = sum[3].z; rest3[3] = sum[3].w;
  rest0[4] = sum[4].x; rest1[4] = sum[4].y; rest2[4] = sum[4].z; rest3[4] = sum[4].w;
  rest0[5] = sum[5].x; rest1[5] = sum[5].y; rest2[5] = sum[5].z; rest3[5] = sum[5].w;
  rest0[6] = sum[6].x; rest1[6] = sum[6].y; rest2[6] = sum[6].z; rest3[6] = sum[6].w;
  rest0[7] = sum[7].x; rest1[7] = sum[7].y; rest2[7] = sum[7].z; rest3[7] = sum[7].w;
  rest0[8] = sum[8].x; rest1[8] = sum[8].y; rest2[8] = sum[8].z; rest3[8] = sum[8].w;
  rest0[9] = sum[9].x; rest1[9] = sum[9].y; rest2[9] = sum[9].z; rest3[9] = sum[9].w;
  rest0[10] = sum[10].x; rest1[10] = sum[10].y; rest2[10] = sum[10].z; rest3[10] = sum[10].w;
  rest0[11] = sum[11].x; rest1[11] = sum[11].y; rest2[11] = sum[11].z; rest3[11] = sum[11].w;
  rest0[12] = sum[12].x; rest1[12] = sum[12].y; rest2[12] = sum[12].z; rest3[12] = sum[12].w;
  rest0[13] = sum[13].x; rest1[13] = sum[13].y; rest2[13] = sum[13].z; rest3[13] = sum[13].w;
  rest0[14] = sum[14].x; rest1[14] = sum[14].y; rest2[14] = sum[14].z; rest3[14] = sum[14].w;
  rest0[15] = sum[15].x; rest1[15] = sum[15].y; rest2[15] = sum[15].z; rest3[15] = sum[15].w;
  rest0[16] = sum[16].x; rest1[16] = sum[16].y; rest2[16] = sum[16].z; rest3[16] = sum[16].w;
  rest0[17] = sum[17].x; rest1[17] = sum[17].y; rest2[17] = sum[17].z; rest3[17] = sum[17].w;
  rest0[18] = sum[18].x; rest1[18] = sum[18].y; rest2[18] = sum[18].z; rest3[18] = sum[18].w;
  rest0[19] = sum[19].x; rest1[19] = sum[19].y; rest2[19] = sum[19].z; rest3[19] = sum[19].w;
  rest0[20] = sum[20].x; rest1[20] = sum[20].y; rest2[20] = sum[20].z; rest3[20] = sum[20].w;
  rest0[21] = sum[21].x; rest1[21] = sum[21].y; rest2[21] = sum[21].z; rest3[21] = sum[21].w;
  rest0[22] = sum[22].x; rest1[22] = sum[22].y; rest2[22] = sum[22].z; rest3[22] = sum[22].w;
  rest0[23] = sum[23].x; rest1[23] = sum[23].y; rest2[23] = sum[23].z; rest3[23] = sum[23].w;
  rest0[24] = sum[24].x; rest1[24] = sum[24].y; rest2[24] = sum[24].z; rest3[24] = sum[24].w;
  rest0[25] = sum[25].x; rest1[25] = sum[25].y; rest2[25] = sum[25].z; rest3[25] = sum[25].w;
  rest0[26] = sum[26].x; rest1[26] = sum[26].y; rest2[26] = sum[26].z; rest3[26] = sum[26].w;
  rest0[27] = sum[27].x; rest1[27] = sum[27].y; rest2[27] = sum[27].z; rest3[27] = sum[27].w;
  rest0[28] = sum[28].x; rest1[28] = sum[28].y; rest2[28] = sum[28].z; rest3[28] = sum[28].w;
  rest0[29] = sum[29].x; rest1[29] = sum[29].y; rest2[29] = sum[29].z; rest3[29] = sum[29].w;
  rest0[30] = sum[30].x; rest1[30] = sum[30].y; rest2[30] = sum[30].z; rest3[30] = sum[30].w;
  rest0[31] = sum[31].x; rest1[31] = sum[31].y; rest2[31] = sum[31].z; rest3[31] = sum[31].w;
  rest0[32] = sum[32].x; rest1[32] = sum[32].y; rest2[32] = sum[32].z; rest3[32] = sum[32].w;
  rest0[33] = sum[33].x; rest1[33] = sum[33].y; rest2[33] = sum[33].z; rest3[33] = sum[33].w;
  rest0[34] = sum[34].x; rest1[34] = sum[34].y; rest2[34] = sum[34].z; rest3[34] = sum[34].w;
  rest0[35] = sum[35].x; rest1[35] = sum[35].y; rest2[35] = sum[35].z; rest3[35] = sum[35].w;
  rest0[36] = sum[36].x; rest1[36] = sum[36].y; rest2[36] = sum[36].z; rest3[36] = sum[36].w;
  rest0[37] = sum[37].x; rest1[37] = sum[37].y; rest2[37] = sum[37].z; rest3[37] = sum[37].w;
  rest0[38] = sum[38].x; rest1[38] = sum[38].y; rest2[38] = sum[38].z; rest3[38] = sum[38].w;
  rest0[39] = sum[39].x; rest1[39] = sum[39].y; rest2[39] = sum[39].z; rest3[39] = sum[39].w;
  rest0[40] = sum[40].x; rest1[40] = sum[40].y; rest2[40] = sum[40].z; rest3[40] = sum[40].w;
  rest0[41] = sum[41].x; rest1[41] = sum[41].y; rest2[41] = sum[41].z; rest3[41] = sum[41].w;
  rest0[42] = sum[42].x; rest1[42] = sum[42].y; rest2[42] = sum[42].z; rest3[42] = sum[42].w;
  rest0[43] = sum[43].x; rest1[43] = sum[43].y; rest2[43] = sum[43].z; rest3[43] = sum[43].w;
  rest0[44] = sum[44].x; rest1[44] = sum[44].y; rest2[44] = sum[44].z; rest3[44] = sum[44].w;
  rest0[45] = sum[45].x; rest1[45] = sum[45].y; rest2[45] = sum[45].z; rest3[45] = sum[45].w;
  rest0[46] = sum[46].x; rest1[46] = sum[46].y; rest2[46] = sum[46].z; rest3[46] = sum[46].w;
  rest0[47] = sum[47].x; rest1[47] = sum[47].y; rest2[47] = sum[47].z; rest3[47] = sum[47].w;
  rest0[48] = sum[48].x; rest1[48] = sum[48].y; rest2[48] = sum[48].z; rest3[48] = sum[48].w;
  rest0[49] = sum[49].x; rest1[49] = sum[49].y; rest2[49] = sum[49].z; rest3[49] = sum[49].w;
  rest0[50] = sum[50].x; rest1[50] = sum[50].y; rest2[50] = sum[50].z; rest3[50] = sum[50].w;
  rest0[51] = sum[51].x; rest1[51] = sum[51].y; rest2[51] = sum[51].z; rest3[51] = sum[51].w;
  rest0[52] = sum[52].x; rest1[52] = sum[52].y; rest2[52] = sum[52].z; rest3[52] = sum[52].w;
  rest0[53] = sum[53].x; rest1[53] = sum[53].y; rest2[53] = sum[53].z; rest3[53] = sum[53].w;
  rest0[54] = sum[54].x; rest1[54] = sum[54].y; rest2[54] = sum[54].z; rest3[54] = sum[54].w;
  rest0[55] = sum[55].x; rest1[55] = sum[55].y; rest2[55] = sum[55].z; rest3[55] = sum[55].w;
  rest0[56] = sum[56].x; rest1[56] = sum[56].y; rest2[56] = sum[56].z; rest3[56] = sum[56].w;
  rest0[57] = sum[57].x; rest1[57] = sum[57].y; rest2[57] = sum[57].z; rest3[57] = sum[57].w;
  rest0[58] = sum[58].x; rest1[58] = sum[58].y; rest2[58] = sum[58].z; rest3[58] = sum[58].w;
  rest0[59] = sum[59].x; rest1[59] = sum[59].y; rest2[59] = sum[59].z; rest3[59] = sum[59].w;
  rest0[60] = sum[60].x; rest1[60] = sum[60].y; rest2[60] = sum[60].z; rest3[60] = sum[60].w;
  rest0[61] = sum[61].x; rest1[61] = sum[61].y; rest2[61] = sum[61].z; rest3[61] = sum[61].w;
  rest0[62] = sum[62].x; rest1[62] = sum[62].y; rest2[62] = sum[62].z; rest3[62] = sum[62].w;
  rest0[63] = sum[63].x; rest1[63] = sum[63].y; rest2[63] = sum[63].z; rest3[63] = sum[63].w;
  // The loop has no constant end on purpose: unrolled, it would be most of the code.
  let rows = min(ROWS, p.m - row0);
  for (var i = 0u; i < rows; i++) {
    store(row0 + i, col0 + lane, sum0[i], &rest0, i);
    store(row0 + i, col0 + LANES + lane, sum1[i], &rest1, i);
    store(row0 + i, col0 + 2u * LANES + lane, sum2[i], &rest2, i);
    store(row0 + i, col0 + 3u * LANES + lane, sum3[i], &rest3, i);
  }
}
