// out = scale · A Bᵀ + bias · addend, or with DIFFERENCE the squared distances Σ_k (A_ik − B_jk)².
// With the flag LOW the result is out + low, `low` being the part that float32 cannot hold; then the factor is
// scale + bias, bias being the low part of scale, and an addend counts once.
//
// The same operation as gemm_nt_subgroup.wgsl, for adapters without subgroups of one known size:
// 8 × 8 invocations share a TILE × TILE tile, staged through workgroup memory in slabs of SLAB
// numbers along k; each invocation keeps 4 × 4 results in registers. A slab's sums join a compensated
// total (Kahan), so that rounding errors do not grow with k.
requires immediate_address_space;

// Header: DIFFERENCE: bool.

const TILE = 32u;
const SLAB = 32u;
const SIDE = 8u;
// One vec4 more than the slab holds, so that rows start in different banks.
const PITCH = SLAB / 4u + 1u;

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
  bias: f32,
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

var<workgroup> slabA: array<vec4f, TILE * PITCH>;
var<workgroup> slabB: array<vec4f, TILE * PITCH>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }

fn combine(x: vec4f, y: vec4f) -> f32 {
  if (DIFFERENCE) {
    let d = x - y;
    return dot(d, d);
  }
  return dot(x, y);
}

// The first 12 significant bits; the product of two such numbers is exact in float32.
fn head(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }

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

@compute @workgroup_size(SIDE, SIDE)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let row0 = ((p.flags >> 8u) + tile.y) * TILE;
  let col0 = tile.x * TILE;
  // The padding of a row belongs to the first tile of that row.
  if (tile.x == 0u && index < TILE && row0 + index < p.m) {
    for (var i = 0u; i < p.padding; i++) {
      out[p.offsetOut + (row0 + index) * p.strideOut + p.n + i] = 0.0;
      if (has(LOW)) { low[p.offsetOut + (row0 + index) * p.strideOut + p.n + i] = 0.0; }
    }
  }
  if (has(LOWER) && col0 > row0 + TILE - 1u) { return; }

  var total = array<array<f32, 4>, 4>();
  var sum = array<array<f32, 4>, 4>();
  let steps = (p.k + 3u) / 4u;
  for (var start = 0u; start < steps; start += SLAB / 4u) {
    workgroupBarrier();
    for (var i = index; i < TILE * SLAB / 4u; i += SIDE * SIDE) {
      let row = i / (SLAB / 4u);
      let step = i % (SLAB / 4u);
      let inside = start + step < steps;
      // Rows beyond the matrix repeat its last one: their results are never stored.
      let atA = (p.offsetA + min(row0 + row, p.m - 1u) * p.strideA) / 4u + start + step;
      let atB = (p.offsetB + min(col0 + row, p.n - 1u) * p.strideB) / 4u + start + step;
      slabA[row * PITCH + step] = select(vec4f(), a[atA], inside);
      slabB[row * PITCH + step] = select(vec4f(), b[atB], inside);
    }
    workgroupBarrier();
    for (var step = 0u; step < SLAB / 4u; step++) {
      var x: array<vec4f, 4>;
      var y: array<vec4f, 4>;
      for (var i = 0u; i < 4u; i++) {
        x[i] = slabA[(id.y + i * SIDE) * PITCH + step];
        y[i] = slabB[(id.x + i * SIDE) * PITCH + step];
      }
      for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) { sum[i][j] += combine(x[i], y[j]); }
      }
    }
    for (var i = 0u; i < 4u; i++) {
      for (var j = 0u; j < 4u; j++) {
        let t = opaque(total[i][j] + sum[i][j]);
        sum[i][j] -= opaque(t - total[i][j]);
        total[i][j] = t;
      }
    }
  }
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) { store(row0 + id.y + i * SIDE, col0 + id.x + j * SIDE, total[i][j], sum[i][j]); }
  }
}
