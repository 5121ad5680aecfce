// A Bᵀ, or with DIFFERENCE the squared distances Σ_k (A_ik − B_jk)².
//
// The same operation as gemm_nt_subgroup.wgsl, for adapters without subgroups of one known size:
// 8 × 8 invocations share a TILE × TILE tile, staged through workgroup memory in slabs of SLAB
// numbers along k; each invocation keeps 4 × 4 results in registers. A slab's sums join a compensated
// total (Kahan), so that rounding errors do not grow with k.
#include "opaque.wgsl"

const TILE = 32u;
const SLAB = 32u;
const SIDE = 8u;
// One vec4 more than the slab holds, so that rows start in different banks.
const PITCH = SLAB / 4u + 1u;

var<workgroup> slabA: array<vec4f, TILE * PITCH>;
var<workgroup> slabB: array<vec4f, TILE * PITCH>;

fn combine(x: vec4f, y: vec4f) -> f32 {
  if (DIFFERENCE) {
    let d = x - y;
    return dot(d, d);
  }
  return dot(x, y);
}

@compute @workgroup_size(SIDE, SIDE)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let row0 = (p.firstRow + tile.y) * TILE;
  let col0 = tile.x * TILE;
  // The padding of a row belongs to the first tile of that row.
  if (tile.x == 0u && index < TILE) { storePadding(row0 + index); }
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
    for (var j = 0u; j < 4u; j++) { storeSum(row0 + id.y + i * SIDE, col0 + id.x + j * SIDE, total[i][j], &sum[i][j]); }
  }
}
