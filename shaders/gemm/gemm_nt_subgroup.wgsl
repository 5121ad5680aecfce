// out = scale · A Bᵀ + bias · addend, or with DIFFERENCE the squared distances Σ_k (A_ik − B_jk)².
// With the flag LOW the result is out + low, `low` being the part that float32 cannot hold; then the factor is
// scale + bias, bias being the low part of scale, and an addend counts once.
// With KERNEL (and DIFFERENCE) it is the kernel values of the distances.
//
// A: m × k, B: n × k, out and addend: m × n, row-major, strides multiples of 4, padding zero.
// One subgroup computes a tile of ROWS rows and 2·LANES columns.
//
// Made for adapters on which a load costs one access per lane (software drivers vectorise over
// lanes but load lane by lane): each lane loads one vec4 along k of its own rows of A and B, and
// the rows of A reach the other lanes by subgroupBroadcast. The lane of a broadcast must be a
// constant expression, hence the written-out rows. Loads decide: at n = 1024 on lavapipe with 16 lanes
// tiles of 8 rows reached 6 GFLOPS, of 16 rows 15, of 32 rows 19; each doubling doubles the time to compile (2 s now).
//
// Sums run over CHUNK numbers before they join a total, and the totals are compensated (Kahan): with
// plain float32 totals over k = 10,000, the AGOP of a CIFAR-10 layer made its square root wrong by
// 1.5e-5, with these by 9e-7. The cost is a few percent.
enable subgroups;
requires immediate_address_space;

// Before this text: kernel_value.wgsl or no_kernel.wgsl, and gemm_plain.wgsl or gemm_gram.wgsl. Header: LANES: u32, DIFFERENCE: bool.

const ROWS = 32u;
const BLOCKS = max(1u, ROWS / LANES);
const CHUNK = 64u;
// Where the low part is wanted: it is to be better than float32's own rounding of the result.
const SHORT_CHUNK = 8u;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  strideA: u32,
  strideB: u32,
  strideOut: u32,
  strideAddend: u32,
  offsetA: u32,
  offsetB: u32,
  offsetOut: u32,
  offsetAddend: u32,
  padding: u32,
  scale: f32,
  bias: f32, // with KERNEL one over the bandwidth
  zero: u32,
  // From bit 8 on: the first row of tiles of this dispatch.
  flags: u32,
}
var<immediate> p: Params;

// Bits of `flags`. They are not constants: a dozen specialisations of this file would each take the
// driver a second to compile, and only the first and last steps of a tile look at them.
const LOWER = 1u; // only entries on or below the diagonal
const MIRROR = 2u; // copied to the other side of it
const ACCUMULATE = 4u; // the addend is `out`
const ADD = 8u; // the addend is `addend`
const LOW = 16u; // `low` receives what float32 cannot hold

fn has(flag: u32) -> bool { return (p.flags & flag) != 0u; }

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read> addend: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> low: array<f32>;

#include "opaque.wgsl"

// The zeros after the last column of a row.
fn storePadding(row: u32) {
  if (row >= p.m) { return; }
  for (var i = 0u; i < p.padding; i++) {
    out[p.offsetOut + row * p.strideOut + p.n + i] = 0.0;
    if (has(LOW)) { low[p.offsetOut + row * p.strideOut + p.n + i] = 0.0; }
  }
}

fn combine(x: vec4f, y0: vec4f, y1: vec4f) -> vec2f {
  if (DIFFERENCE) {
    let d0 = x - y0;
    let d1 = x - y1;
    return vec2f(dot(d0, d0), dot(d1, d1));
  }
  return vec2f(dot(x, y0), dot(x, y1));
}

#include "head.wgsl"

// value + left is the sum; padding of `low` is written with that of `out`.
fn store(row: u32, col: u32, value: f32, left: f32) {
  if (row >= p.m || col >= p.n || (has(LOWER) && col > row)) { return; }
  let at = p.offsetOut + row * p.strideOut + col;
  let mirrored = p.offsetOut + col * p.strideOut + row;
  if (has(LOW)) {
    // (value + left)(scale + bias): the product of the high parts exactly, from 12-bit halves.
    var sum = opaque(value * p.scale);
    let x = head(value);
    let y = head(p.scale);
    var rest = ((x * y - sum) + x * (p.scale - y) + (value - x) * y) + (value - x) * (p.scale - y);
    rest += value * p.bias + left * p.scale;
    if (has(ACCUMULATE)) {
      // Knuth's two-sum: exact, whichever is the larger.
      let before = out[at];
      let added = sum;
      sum = opaque(before + added);
      let part = opaque(sum - before);
      rest += low[at] + ((before - opaque(sum - part)) + (added - part));
    }
    let high = opaque(sum + rest);
    rest -= opaque(high - sum);
    out[at] = high;
    low[at] = rest;
    if (has(MIRROR) && col < row) {
      out[mirrored] = high;
      low[mirrored] = rest;
    }
    return;
  }
  var result = p.scale * value;
  if (has(ACCUMULATE)) { result += p.bias * out[at]; }
  if (has(ADD)) { result += p.bias * addend[p.offsetAddend + row * p.strideAddend + col]; }
  out[at] = result;
  if (has(MIRROR) && col < row) { out[mirrored] = result; }
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
  let col0 = tile.x * 2u * LANES;
  // The padding of a row belongs to the first tile of that row.
  if (tile.x == 0u) {
    for (var row = lane; row < ROWS; row += LANES) { storePadding(row0 + row); }
  }
  if (has(LOWER) && col0 > row0 + ROWS - 1u) { return; }

  // Rows beyond the matrix repeat its last one: their results are never stored.
  var atA: array<u32, BLOCKS>;
  for (var q = 0u; q < BLOCKS; q++) {
    atA[q] = (p.offsetA + min(row0 + q * LANES + (lane % ROWS), p.m - 1u) * p.strideA) / 4u;
  }
  let atB0 = (p.offsetB + min(col0 + lane, p.n - 1u) * p.strideB) / 4u;
  let atB1 = (p.offsetB + min(col0 + LANES + lane, p.n - 1u) * p.strideB) / 4u;

  var total = array<vec2f, ROWS>();
  var sum = array<vec2f, ROWS>();
  let steps = (p.k + 3u) / 4u;
  let chunk = select(CHUNK, SHORT_CHUNK, has(LOW)) / 4u;
  for (var start = 0u; start < steps; start += chunk) {
    let end = min(steps, start + chunk);
    for (var step = start; step < end; step++) {
      let y0 = b[atB0 + step];
      let y1 = b[atB1 + step];
      var x: array<vec4f, BLOCKS>;
      for (var q = 0u; q < BLOCKS; q++) { x[q] = a[atA[q] + step]; }
      sum[0] += combine(subgroupBroadcast(x[0u / LANES], 0u % LANES), y0, y1);
      sum[1] += combine(subgroupBroadcast(x[1u / LANES], 1u % LANES), y0, y1);
      sum[2] += combine(subgroupBroadcast(x[2u / LANES], 2u % LANES), y0, y1);
      sum[3] += combine(subgroupBroadcast(x[3u / LANES], 3u % LANES), y0, y1);
      sum[4] += combine(subgroupBroadcast(x[4u / LANES], 4u % LANES), y0, y1);
      sum[5] += combine(subgroupBroadcast(x[5u / LANES], 5u % LANES), y0, y1);
      sum[6] += combine(subgroupBroadcast(x[6u / LANES], 6u % LANES), y0, y1);
      sum[7] += combine(subgroupBroadcast(x[7u / LANES], 7u % LANES), y0, y1);
      sum[8] += combine(subgroupBroadcast(x[8u / LANES], 8u % LANES), y0, y1);
      sum[9] += combine(subgroupBroadcast(x[9u / LANES], 9u % LANES), y0, y1);
      sum[10] += combine(subgroupBroadcast(x[10u / LANES], 10u % LANES), y0, y1);
      sum[11] += combine(subgroupBroadcast(x[11u / LANES], 11u % LANES), y0, y1);
      sum[12] += combine(subgroupBroadcast(x[12u / LANES], 12u % LANES), y0, y1);
      sum[13] += combine(subgroupBroadcast(x[13u / LANES], 13u % LANES), y0, y1);
      sum[14] += combine(subgroupBroadcast(x[14u / LANES], 14u % LANES), y0, y1);
      sum[15] += combine(subgroupBroadcast(x[15u / LANES], 15u % LANES), y0, y1);
      sum[16] += combine(subgroupBroadcast(x[16u / LANES], 16u % LANES), y0, y1);
      sum[17] += combine(subgroupBroadcast(x[17u / LANES], 17u % LANES), y0, y1);
      sum[18] += combine(subgroupBroadcast(x[18u / LANES], 18u % LANES), y0, y1);
      sum[19] += combine(subgroupBroadcast(x[19u / LANES], 19u % LANES), y0, y1);
      sum[20] += combine(subgroupBroadcast(x[20u / LANES], 20u % LANES), y0, y1);
      sum[21] += combine(subgroupBroadcast(x[21u / LANES], 21u % LANES), y0, y1);
      sum[22] += combine(subgroupBroadcast(x[22u / LANES], 22u % LANES), y0, y1);
      sum[23] += combine(subgroupBroadcast(x[23u / LANES], 23u % LANES), y0, y1);
      sum[24] += combine(subgroupBroadcast(x[24u / LANES], 24u % LANES), y0, y1);
      sum[25] += combine(subgroupBroadcast(x[25u / LANES], 25u % LANES), y0, y1);
      sum[26] += combine(subgroupBroadcast(x[26u / LANES], 26u % LANES), y0, y1);
      sum[27] += combine(subgroupBroadcast(x[27u / LANES], 27u % LANES), y0, y1);
      sum[28] += combine(subgroupBroadcast(x[28u / LANES], 28u % LANES), y0, y1);
      sum[29] += combine(subgroupBroadcast(x[29u / LANES], 29u % LANES), y0, y1);
      sum[30] += combine(subgroupBroadcast(x[30u / LANES], 30u % LANES), y0, y1);
      sum[31] += combine(subgroupBroadcast(x[31u / LANES], 31u % LANES), y0, y1);
    }
    for (var i = 0u; i < ROWS; i++) {
      let t = opaque2(total[i] + sum[i]);
      sum[i] -= opaque2(t - total[i]);
      total[i] = t;
    }
  }
  if (KERNEL) {
    for (var i = 0u; i < ROWS; i += 2u) {
      let value = kernelValue(vec4f(total[i], total[i + 1u]), p.bias);
      total[i] = value.xy;
      total[i + 1u] = value.zw;
    }
  }
  if (GRAM) {
    for (var i = 0u; i < ROWS; i += 4u) {
      let value = transpose(mat4x2f(total[i], total[i + 1u], total[i + 2u], total[i + 3u]));
      let rest = transpose(mat4x2f(sum[i], sum[i + 1u], sum[i + 2u], sum[i + 3u]));
      storeGram(row0 + i, col0 + lane, true, value[0], rest[0]);
      storeGram(row0 + i, col0 + LANES + lane, true, value[1], rest[1]);
    }
    return;
  }
  for (var i = 0u; i < ROWS; i++) {
    store(row0 + i, col0 + lane, total[i].x, sum[i].x);
    store(row0 + i, col0 + LANES + lane, total[i].y, sum[i].y);
  }
}
