// out = scale · A Bᵀ + bias · addend on the matrix units of a GPU, by WGSL's experimental subgroup matrices: factors rounded to
// float16, sums in float32. The same flags as gemm_nt_subgroup.wgsl, which see, but for LOW. Mixed precision, for those who
// ask for it.
//
// Four subgroups of 32 share a tile of 128 × 128; each has 64 × 64 of it in sixteen matrices of 16 × 16. A slab of 32 numbers
// along k is rounded on its way into workgroup memory, rows as they are, so that A's are matrices by rows and B's by
// columns.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
requires immediate_address_space;

const TILE = 128u;
const SLAB = 32u;
// Rows in workgroup memory begin in different banks.
const PITCH = SLAB + 8u;
const INVOCATIONS = 128u;

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

// Bits of `flags`.
const LOWER = 1u; // only entries on or below the diagonal
const MIRROR = 2u; // copied to the other side of it
const ACCUMULATE = 4u; // the addend is `out`
const ADD = 8u; // the addend is `addend`

fn has(flag: u32) -> bool { return (p.flags & flag) != 0u; }

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read> addend: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
// Of the kernels that have a low part: not read here.
@group(0) @binding(4) var<storage, read_write> low: array<f32>;

var<workgroup> slabA: array<f16, TILE * PITCH>;
var<workgroup> slabB: array<f16, TILE * PITCH>;
var<workgroup> results: array<f32, 4u * 256u>;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

fn stageA(at: u32, values: vec4f) {
  let halves = vec4h(values);
  slabA[at] = halves.x;
  slabA[at + 1u] = halves.y;
  slabA[at + 2u] = halves.z;
  slabA[at + 3u] = halves.w;
}

fn stageB(at: u32, values: vec4f) {
  let halves = vec4h(values);
  slabB[at] = halves.x;
  slabB[at + 1u] = halves.y;
  slabB[at + 2u] = halves.z;
  slabB[at + 3u] = halves.w;
}

fn store(row: u32, col: u32, value: f32) {
  if (row < p.m && col < p.n && !(has(LOWER) && col > row)) {
    let at = p.offsetOut + row * p.strideOut + col;
    var result = p.scale * value;
    if (has(ACCUMULATE)) { result += p.bias * out[at]; }
    if (has(ADD)) { result += p.bias * addend[p.offsetAddend + row * p.strideAddend + col]; }
    out[at] = result;
    if (has(MIRROR) && col < row) { out[p.offsetOut + col * p.strideOut + row] = result; }
  }
}

// 16 × 16 results of each subgroup from (row, col) on, eight a lane.
fn storeMatrix(sum: Sum, row: u32, col: u32, subgroup: u32, lane: u32) {
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&results, subgroup * 256u, sum, 16u);
  workgroupBarrier();
  for (var i = lane; i < 256u; i += 32u) { store(row + i / 16u, col + i % 16u, results[subgroup * 256u + i]); }
}

@compute @workgroup_size(INVOCATIONS)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row0 = ((p.flags >> 8u) + tile.y) * TILE;
  let col0 = tile.x * TILE;
  // The padding of a row belongs to the first tile of that row.
  if (tile.x == 0u && row0 + index < p.m) {
    for (var i = 0u; i < p.padding; i++) { out[p.offsetOut + (row0 + index) * p.strideOut + p.n + i] = 0.0; }
  }
  if (has(LOWER) && col0 > row0 + TILE - 1u) { return; }
  let y = 64u * (subgroup / 2u);
  let x = 64u * (subgroup % 2u);
  var sum00 = Sum();
  var sum01 = Sum();
  var sum02 = Sum();
  var sum03 = Sum();
  var sum10 = Sum();
  var sum11 = Sum();
  var sum12 = Sum();
  var sum13 = Sum();
  var sum20 = Sum();
  var sum21 = Sum();
  var sum22 = Sum();
  var sum23 = Sum();
  var sum30 = Sum();
  var sum31 = Sum();
  var sum32 = Sum();
  var sum33 = Sum();
  let steps = (p.k + 3u) / 4u;
  for (var start = 0u; start < steps; start += SLAB / 4u) {
    workgroupBarrier();
    // So many times whatever the invocation, so that the driver can unroll it and have all loads on their way at once: on an
    // H100 a trial that was unrolled reached 111 TFLOP/s (n = 4096), a loop from `index` on 29 (n = 2048).
    for (var round = 0u; round < TILE * SLAB / 4u / INVOCATIONS; round++) {
      let i = index + round * INVOCATIONS;
      let row = i / (SLAB / 4u);
      let step = i % (SLAB / 4u);
      // Rows beyond the matrix repeat its last one: their results are never stored.
      let at = min(start + step, steps - 1u);
      let inside = start + step < steps;
      let fromA = a[(p.offsetA + min(row0 + row, p.m - 1u) * p.strideA) / 4u + at];
      let fromB = b[(p.offsetB + min(col0 + row, p.n - 1u) * p.strideB) / 4u + at];
      stageA(row * PITCH + 4u * step, select(vec4f(), fromA, inside));
      stageB(row * PITCH + 4u * step, select(vec4f(), fromB, inside));
    }
    workgroupBarrier();
    for (var k = 0u; k < SLAB; k += 16u) {
      let a0 = subgroupMatrixLoad<Left, row_major>(&slabA, (y + 0u) * PITCH + k, PITCH);
      let a1 = subgroupMatrixLoad<Left, row_major>(&slabA, (y + 16u) * PITCH + k, PITCH);
      let a2 = subgroupMatrixLoad<Left, row_major>(&slabA, (y + 32u) * PITCH + k, PITCH);
      let a3 = subgroupMatrixLoad<Left, row_major>(&slabA, (y + 48u) * PITCH + k, PITCH);
      let b0 = subgroupMatrixLoad<Right, col_major>(&slabB, (x + 0u) * PITCH + k, PITCH);
      let b1 = subgroupMatrixLoad<Right, col_major>(&slabB, (x + 16u) * PITCH + k, PITCH);
      let b2 = subgroupMatrixLoad<Right, col_major>(&slabB, (x + 32u) * PITCH + k, PITCH);
      let b3 = subgroupMatrixLoad<Right, col_major>(&slabB, (x + 48u) * PITCH + k, PITCH);
      sum00 = subgroupMatrixMultiplyAccumulate(a0, b0, sum00);
      sum01 = subgroupMatrixMultiplyAccumulate(a0, b1, sum01);
      sum02 = subgroupMatrixMultiplyAccumulate(a0, b2, sum02);
      sum03 = subgroupMatrixMultiplyAccumulate(a0, b3, sum03);
      sum10 = subgroupMatrixMultiplyAccumulate(a1, b0, sum10);
      sum11 = subgroupMatrixMultiplyAccumulate(a1, b1, sum11);
      sum12 = subgroupMatrixMultiplyAccumulate(a1, b2, sum12);
      sum13 = subgroupMatrixMultiplyAccumulate(a1, b3, sum13);
      sum20 = subgroupMatrixMultiplyAccumulate(a2, b0, sum20);
      sum21 = subgroupMatrixMultiplyAccumulate(a2, b1, sum21);
      sum22 = subgroupMatrixMultiplyAccumulate(a2, b2, sum22);
      sum23 = subgroupMatrixMultiplyAccumulate(a2, b3, sum23);
      sum30 = subgroupMatrixMultiplyAccumulate(a3, b0, sum30);
      sum31 = subgroupMatrixMultiplyAccumulate(a3, b1, sum31);
      sum32 = subgroupMatrixMultiplyAccumulate(a3, b2, sum32);
      sum33 = subgroupMatrixMultiplyAccumulate(a3, b3, sum33);
    }
  }
  let row = row0 + y;
  let col = col0 + x;
  storeMatrix(sum00, row + 0u, col + 0u, subgroup, lane);
  storeMatrix(sum01, row + 0u, col + 16u, subgroup, lane);
  storeMatrix(sum02, row + 0u, col + 32u, subgroup, lane);
  storeMatrix(sum03, row + 0u, col + 48u, subgroup, lane);
  storeMatrix(sum10, row + 16u, col + 0u, subgroup, lane);
  storeMatrix(sum11, row + 16u, col + 16u, subgroup, lane);
  storeMatrix(sum12, row + 16u, col + 32u, subgroup, lane);
  storeMatrix(sum13, row + 16u, col + 48u, subgroup, lane);
  storeMatrix(sum20, row + 32u, col + 0u, subgroup, lane);
  storeMatrix(sum21, row + 32u, col + 16u, subgroup, lane);
  storeMatrix(sum22, row + 32u, col + 32u, subgroup, lane);
  storeMatrix(sum23, row + 32u, col + 48u, subgroup, lane);
  storeMatrix(sum30, row + 48u, col + 0u, subgroup, lane);
  storeMatrix(sum31, row + 48u, col + 16u, subgroup, lane);
  storeMatrix(sum32, row + 48u, col + 32u, subgroup, lane);
  storeMatrix(sum33, row + 48u, col + 48u, subgroup, lane);
}
