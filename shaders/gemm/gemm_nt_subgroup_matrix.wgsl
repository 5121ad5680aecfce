// A Bᵀ on the matrix units of a GPU, by WGSL's experimental subgroup matrices: factors rounded to float16, sums in float32.
// Mixed precision, for those who ask for it.
//
// Four subgroups of 32 share a tile of 128 × 128; each has 64 × 64 of it in sixteen matrices of 16 × 16. A slab of 32 numbers
// along k is rounded on its way into workgroup memory, rows as they are, so that A's are matrices by rows and B's by
// columns.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

const TILE = 128u;
const SLAB = 32u;
// Rows in workgroup memory begin in different banks.
const PITCH = SLAB + 8u;
const INVOCATIONS = 128u;

var<workgroup> slabA: array<f16, TILE * PITCH>;
var<workgroup> slabB: array<f16, TILE * PITCH>;
var<workgroup> results: array<f32, 4u * 256u>;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

// 16 × 16 results of each subgroup from (row, col) on, eight a lane.
fn storeMatrix(sum: Sum, row: u32, col: u32, subgroup: u32, lane: u32) {
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&results, subgroup * 256u, sum, 16u);
  workgroupBarrier();
  var left = 0.0;
  for (var i = lane; i < 256u; i += 32u) { storeSum(row + i / 16u, col + i % 16u, results[subgroup * 256u + i], &left); }
}

@compute @workgroup_size(INVOCATIONS)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row0 = (p.firstRow + tile.y) * TILE;
  let col0 = tile.x * TILE;
  // The padding of a row belongs to the first tile of that row.
  if (tile.x == 0u) { storePadding(row0 + index); }
  if (has(LOWER) && col0 > row0 + TILE - 1u) { return; }
  let y = 64u * (subgroup / 2u);
  let x = 64u * (subgroup % 2u);
#for i in 0..4
#for j in 0..4
  var sum$i$j = Sum();
#end
#end
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
      let halvesA = vec4h(select(vec4f(), fromA, inside));
      let halvesB = vec4h(select(vec4f(), fromB, inside));
#for e in 0..4
      slabA[row * PITCH + 4u * step + $(e)u] = halvesA[$e];
#end
#for e in 0..4
      slabB[row * PITCH + 4u * step + $(e)u] = halvesB[$e];
#end
    }
    workgroupBarrier();
    for (var k = 0u; k < SLAB; k += 16u) {
#for i in 0..4
      let a$i = subgroupMatrixLoad<Left, row_major>(&slabA, (y + $(16*i)u) * PITCH + k, PITCH);
#end
#for i in 0..4
      let b$i = subgroupMatrixLoad<Right, col_major>(&slabB, (x + $(16*i)u) * PITCH + k, PITCH);
#end
#for i in 0..4
#for j in 0..4
      sum$i$j = subgroupMatrixMultiplyAccumulate(a$i, b$j, sum$i$j);
#end
#end
    }
  }
  let row = row0 + y;
  let col = col0 + x;
#for i in 0..4
#for j in 0..4
  storeMatrix(sum$i$j, row + $(16*i)u, col + $(16*j)u, subgroup, lane);
#end
#end
}
