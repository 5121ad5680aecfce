// out = scale · A Bᵀ + bias · addend, or with DIFFERENCE the squared distances Σ_k (A_ik − B_jk)² or their kernel values;
// the same flags and KERNEL as gemm_nt_subgroup.wgsl, which see. For GPUs: 16 × 16 invocations share a tile of 128 × 64.
//
// - A slab of 16 numbers along k is staged in workgroup memory, transposed: an invocation loads four vec4 along k from
//   four rows and stores four vec4 along the rows, so that a step of the product reads three vec4 for 32 multiply-adds.
// - The next slab is on its way in registers while this one is multiplied, so a load's latency has 512 multiply-adds
//   of each invocation to hide behind, and one slab of workgroup memory (12 KiB) is enough.
// - 8 × 4 results an invocation, not 8 × 8: each takes two registers, a sum and its compensated total (Kahan; what the
//   total cannot hold is where the next sum begins).
// - Rows of a tile go to invocations in quads 64 apart, columns in quads: neighbours read neighbouring vec4.
// - What is staged is of the type Staged: vec4f, or vec4h, which halves workgroup memory and its traffic at the price of
//   factors rounded to 11 bits. Products and sums are float32 either way.
requires immediate_address_space;

// Before this text: kernel_value.wgsl, gemm_plain.wgsl or gemm_gram.wgsl, and alias Staged. Header: DIFFERENCE: bool, KERNEL: u32.

const ROWS = 128u;
const COLS = 64u;
const SLAB = 16u;
// Slabs, or with LOW half slabs, between foldings into the total.
const CHUNK = 4u;

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

var<workgroup> slabA: array<Staged, SLAB * ROWS / 4u>;
var<workgroup> slabB: array<Staged, SLAB * COLS / 4u>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }
fn opaque4(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) ^ vec4u(p.zero)); }

// The first 12 significant bits; the product of two such numbers is exact in float32.
fn head(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }

// value + left is the sum; padding of `low` is written with that of `out`.
fn store(row: u32, col: u32, value: f32, left: f32) {
  if (row < p.m && col < p.n && !(has(LOWER) && col > row)) {
    let at = p.offsetOut + row * p.strideOut + col;
    let mirrored = p.offsetOut + col * p.strideOut + row;
    let mirror = has(MIRROR) && col < row;
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
      if (mirror) {
        out[mirrored] = high;
        low[mirrored] = rest;
      }
    } else {
      var result = p.scale * value;
      if (has(ACCUMULATE)) { result += p.bias * out[at]; }
      if (has(ADD)) { result += p.bias * addend[p.offsetAddend + row * p.strideAddend + col]; }
      out[at] = result;
      if (mirror) { out[mirrored] = result; }
    }
  }
}

fn addProducts(sum: vec4f, x: f32, y: vec4f) -> vec4f {
  if (DIFFERENCE) {
    let d = x - y;
    return fma(d, d, sum);
  }
  return fma(vec4f(x), y, sum);
}

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let row0 = ((p.flags >> 8u) + tile.y) * ROWS;
  let col0 = tile.x * COLS;
  // The padding of a row belongs to the first tile of that row.
  if (tile.x == 0u && index < ROWS && row0 + index < p.m) {
    for (var i = 0u; i < p.padding; i++) {
      out[p.offsetOut + (row0 + index) * p.strideOut + p.n + i] = 0.0;
      if (has(LOW)) { low[p.offsetOut + (row0 + index) * p.strideOut + p.n + i] = 0.0; }
    }
  }
  if (has(LOWER) && col0 > row0 + ROWS - 1u) { return; }

  // Invocations 0 … 127 stage A and 128 … 191 stage B: four rows (quad) and four numbers along k (part) each.
  let stagesA = index < ROWS;
  let stagesB = !stagesA && index < ROWS + COLS;
  let item = select(index - ROWS, index, stagesA);
  let part = item % 4u;
  let quad = item / 4u;
  // Rows beyond the matrix repeat its last one: their results are never stored.
  var at: vec4u;
  for (var i = 0u; i < 4u; i++) {
    let row = 4u * quad + i;
    at[i] = select(
      (p.offsetB + min(col0 + row, p.n - 1u) * p.strideB) / 4u,
      (p.offsetA + min(row0 + row, p.m - 1u) * p.strideA) / 4u,
      stagesA,
    );
  }

  var sum = array<vec4f, 8>();
  var total = array<vec4f, 8>();
  let steps = (p.k + 3u) / 4u;
  let slabs = (steps + SLAB / 4u - 1u) / (SLAB / 4u);
  var next = array<vec4f, 4>();
  for (var slab = 0u; slab <= slabs; slab++) {
    let step = slab * (SLAB / 4u) + part;
    var loaded = array<vec4f, 4>();
    if (slab < slabs && step < steps) {
      for (var i = 0u; i < 4u; i++) {
        if (stagesA) { loaded[i] = a[at[i] + step]; }
        if (stagesB) { loaded[i] = b[at[i] + step]; }
      }
    }
    if (slab > 0u) {
      // `next` holds the slab before this one.
      workgroupBarrier();
      for (var i = 0u; i < 4u; i++) {
        let column = Staged(vec4f(next[0][i], next[1][i], next[2][i], next[3][i]));
        if (stagesA) { slabA[(4u * part + i) * (ROWS / 4u) + quad] = column; }
        if (stagesB) { slabB[(4u * part + i) * (COLS / 4u) + quad] = column; }
      }
      workgroupBarrier();
      for (var half = 0u; half < 2u; half++) {
        for (var i = 0u; i < SLAB / 2u; i++) {
          let k = half * (SLAB / 2u) + i;
          let y = vec4f(slabB[k * (COLS / 4u) + id.x]);
          let x0 = vec4f(slabA[k * (ROWS / 4u) + id.y]);
          let x1 = vec4f(slabA[k * (ROWS / 4u) + 16u + id.y]);
          sum[0] = addProducts(sum[0], x0.x, y);
          sum[1] = addProducts(sum[1], x0.y, y);
          sum[2] = addProducts(sum[2], x0.z, y);
          sum[3] = addProducts(sum[3], x0.w, y);
          sum[4] = addProducts(sum[4], x1.x, y);
          sum[5] = addProducts(sum[5], x1.y, y);
          sum[6] = addProducts(sum[6], x1.z, y);
          sum[7] = addProducts(sum[7], x1.w, y);
        }
        if (has(LOW) || (half == 1u && (slab % CHUNK == 0u || slab == slabs))) {
          for (var r = 0u; r < 8u; r++) {
            let t = opaque4(total[r] + sum[r]);
            sum[r] -= opaque4(t - total[r]);
            total[r] = t;
          }
        }
      }
    }
    next = loaded;
  }
  for (var r = 0u; r < 8u; r++) {
    let row = row0 + select(60u, 0u, r < 4u) + 4u * id.y + r;
    let col = col0 + 4u * id.x;
    if (GRAM) {
      storeGram(row, col, false, total[r], sum[r]);
      continue;
    }
    if (KERNEL != 0u) { total[r] = kernelValue(total[r], p.bias); }
    store(row, col, total[r].x, sum[r].x);
    store(row, col + 1u, total[r].y, sum[r].y);
    store(row, col + 2u, total[r].z, sum[r].z);
    store(row, col + 3u, total[r].w, sum[r].w);
  }
}
