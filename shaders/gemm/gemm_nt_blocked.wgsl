// A Bᵀ, or with DIFFERENCE the squared distances Σ_k (A_ik − B_jk)², stored as gemm_nt_subgroup.wgsl does. For GPUs: SIDE × SIDE
// invocations share a tile of 8 SIDE rows and columns, 128 or 64.
//
// - A slab of 16 numbers along k is staged in workgroup memory, transposed: an invocation loads four vec4 along k from
//   four rows and stores four vec4 along the rows, so that a step of the product reads four vec4 for 64 multiply-adds.
// - The next slab is on its way in registers while this one is multiplied.
// - The 16 steps stand one by one in the text, not in a loop: on an H100 35 TFLOP/s against 31 (n = 4096).
// - Nothing that is indexed is kept in registers: results are matrices whose columns are named. An array with a variable
//   index, if only in the last loop over the results, lies in memory all the time; the product then reached 2 TFLOP/s.
// - Sums are added up in totals every 64 terms, so that the error of a long sum is that of short ones; where `low` is stored every 16.
//   With COMPENSATED what a total cannot hold is where the next sum begins (Kahan): for long sums, since it takes a tenth
//   of the speed (29 TFLOP/s, not 32).
// - Rows of a tile go to invocations in quads 4 SIDE apart, and so do columns: neighbours read neighbouring vec4.
// - What is staged is of the type Staged: vec4f, or vec4h, which halves workgroup memory and its traffic at the price of
//   factors rounded to 11 bits. Products and sums are float32 either way.
//
// COMPENSATED is set where `low` is stored. UNROLLED: not on lavapipe, which takes 25 s to compile that text.
#include "opaque.wgsl"

const QUADS = 2u * SIDE;
const TILE = 4u * QUADS;
const SLAB = 16u;
// Slabs between additions to the totals.
const CHUNK = 4u;

// Entries that are stored together are in neighbouring columns.
const DOWN = false;

// A dimension each for k, a constant, and for the quad, which stays the same in all steps: Dawn keeps every index within its
// dimension, and so no step has to.
var<workgroup> slabA: array<array<Staged, QUADS>, SLAB>;
var<workgroup> slabB: array<array<Staged, QUADS>, SLAB>;

fn addProducts(sum: vec4f, x: f32, y: vec4f) -> vec4f {
  if (DIFFERENCE) {
    let d = x - y;
    return fma(d, d, sum);
  }
  return fma(vec4f(x), y, sum);
}

// Four rows of four columns; a column of the matrix is a row of the result.
fn addOuter(sum: mat4x4f, x: vec4f, y: vec4f) -> mat4x4f {
  return mat4x4f(
    addProducts(sum[0], x.x, y),
    addProducts(sum[1], x.y, y),
    addProducts(sum[2], x.z, y),
    addProducts(sum[3], x.w, y),
  );
}

// What an invocation sums: quads of rows y and SIDE + y, quads of columns x and SIDE + x.
struct Results {
  upperLeft: mat4x4f,
  lowerLeft: mat4x4f,
  upperRight: mat4x4f,
  lowerRight: mat4x4f,
}

fn step(sum: ptr<function, Results>, y: u32, x: u32, k: u32) {
  let a0 = vec4f(slabA[k][y]);
  let a1 = vec4f(slabA[k][SIDE + y]);
  let b0 = vec4f(slabB[k][x]);
  let b1 = vec4f(slabB[k][SIDE + x]);
  (*sum).upperLeft = addOuter((*sum).upperLeft, a0, b0);
  (*sum).lowerLeft = addOuter((*sum).lowerLeft, a1, b0);
  (*sum).upperRight = addOuter((*sum).upperRight, a0, b1);
  (*sum).lowerRight = addOuter((*sum).lowerRight, a1, b1);
}

fn eightSteps(sum: ptr<function, Results>, y: u32, x: u32, k: u32) {
#for i in 0..8
  step(sum, y, x, k + $(i)u);
#end
}

fn opaque4x4(x: mat4x4f) -> mat4x4f { return mat4x4f(opaque4(x[0]), opaque4(x[1]), opaque4(x[2]), opaque4(x[3])); }

fn foldBlock(total: ptr<function, mat4x4f>, sum: ptr<function, mat4x4f>) {
  if (!COMPENSATED) {
    *total += *sum;
    *sum = mat4x4f();
    return;
  }
  let t = opaque4x4(*total + *sum);
  *sum -= opaque4x4(t - *total);
  *total = t;
}

fn fold(total: ptr<function, Results>, sum: ptr<function, Results>) {
  foldBlock(&(*total).upperLeft, &(*sum).upperLeft);
  foldBlock(&(*total).lowerLeft, &(*sum).lowerLeft);
  foldBlock(&(*total).upperRight, &(*sum).upperRight);
  foldBlock(&(*total).lowerRight, &(*sum).lowerRight);
}

// Row r (of sixteen, those of a block side by side). A variable index would move the results from registers to memory.
fn rowOf(results: Results, r: u32) -> vec4f {
  var block = results.upperLeft;
  if (r / 4u == 1u) { block = results.lowerLeft; }
  if (r / 4u == 2u) { block = results.upperRight; }
  if (r / 4u == 3u) { block = results.lowerRight; }
  let e = vec4u(r % 4u);
  return select(
    select(block[0], block[1], e == vec4u(1u)),
    select(block[2], block[3], e == vec4u(3u)),
    e >= vec4u(2u),
  );
}

fn columnsOf(matrix: ptr<storage, array<vec4f>, read>, at: vec4u) -> mat4x4f {
  return transpose(mat4x4f((*matrix)[at.x], (*matrix)[at.y], (*matrix)[at.z], (*matrix)[at.w]));
}

@compute @workgroup_size(SIDE, SIDE)
fn main(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) index: u32) {
  let row0 = (p.firstRow + tile.y) * TILE;
  let col0 = tile.x * TILE;
  // The padding of a row belongs to the first tile of that row.
  if (tile.x == 0u) {
    for (var row = index; row < TILE; row += SIDE * SIDE) { storePadding(row0 + row); }
  }
  if (has(LOWER) && col0 > row0 + TILE - 1u) { return; }

  // An invocation stages four rows (quad) and four numbers along k (part) of A and as many of B; in the large tile the first
  // half of the invocations does the one and the second half the other. Eight neighbours have the same part, so that what
  // they write lies side by side; the next eight have the next part of the same rows.
  let both = SIDE < 16u;
  let stagesA = both || index < SIDE * SIDE / 2u;
  let stagesB = both || !stagesA;
  let item = index % (QUADS * SLAB / 4u);
  let part = (item / 8u) % 4u;
  let quad = 8u * (item / 32u) + item % 8u;
  let rows = 4u * quad + vec4u(0u, 1u, 2u, 3u);
  // Rows beyond the matrix repeat its last one: their results are never stored.
  let atA = (p.offsetA + min(row0 + rows, vec4u(p.m - 1u)) * p.strideA) / 4u;
  let atB = (p.offsetB + min(col0 + rows, vec4u(p.n - 1u)) * p.strideB) / 4u;
  // 32 neighbours (a subgroup, on most GPUs) multiply four quads of rows with eight quads of columns.
  let y = 4u * (index / (4u * SIDE)) + (index / 8u) % 4u;
  let x = 8u * ((index / 32u) % (SIDE / 8u)) + index % 8u;

  var sum: Results;
  var total: Results;
  let steps = (p.k + 3u) / 4u;
  let slabs = (steps + SLAB / 4u - 1u) / (SLAB / 4u);
  var nextA: mat4x4f;
  var nextB: mat4x4f;
  for (var slab = 0u; slab <= slabs; slab++) {
    let place = slab * (SLAB / 4u) + part;
    if (slab > 0u) {
      // What was loaded is the slab before this one; beyond the end of the sum it counts as zero.
      if (place - SLAB / 4u >= steps) {
        nextA = mat4x4f();
        nextB = mat4x4f();
      }
      workgroupBarrier();
      if (stagesA) {
#for r in 0..4
        slabA[4u * part + $(r)u][quad] = Staged(nextA[$r]);
#end
      }
      if (stagesB) {
#for r in 0..4
        slabB[4u * part + $(r)u][quad] = Staged(nextB[$r]);
#end
      }
      workgroupBarrier();
    }
    // After the last slab once more its end, for nobody: a branch around the loads cost 3 %.
    if (stagesA) { nextA = columnsOf(&a, atA + min(place, steps - 1u)); }
    if (stagesB) { nextB = columnsOf(&b, atB + min(place, steps - 1u)); }
    if (slab > 0u) {
      if (UNROLLED) {
        eightSteps(&sum, y, x, 0u);
        eightSteps(&sum, y, x, 8u);
      } else {
        for (var k = 0u; k < SLAB; k++) { step(&sum, y, x, k); }
      }
      if (storesLow() || slab % CHUNK == 0u) { fold(&total, &sum); }
    }
  }
  fold(&total, &sum);
  for (var r = 0u; r < 16u; r++) {
    let row = row0 + 4u * (SIDE * ((r / 4u) % 2u) + y) + r % 4u;
    let col = col0 + 4u * (SIDE * (r / 8u) + x);
    storeFour(row, col, rowOf(total, r), rowOf(sum, r));
  }
}
