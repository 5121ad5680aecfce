// A Bᵀ, or with DIFFERENCE the squared distances Σ_k (A_ik − B_jk)², stored by store_sums.wgsl, store_kernel_values.wgsl or
// store_gram.wgsl.
//
// A: m × k, B: n × k, the result: m × n, row-major, strides multiples of 4, padding zero.
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
#include "opaque.wgsl"

const ROWS = 32u;
const BLOCKS = max(1u, ROWS / LANES);
const CHUNK = 64u;
// Where the low part is wanted: it is to be better than float32's own rounding of the result.
const SHORT_CHUNK = 8u;

// Entries that are stored together are in neighbouring rows.
const DOWN = true;

fn combine(x: vec4f, y0: vec4f, y1: vec4f) -> vec2f {
  if (DIFFERENCE) {
    let d0 = x - y0;
    let d1 = x - y1;
    return vec2f(dot(d0, d0), dot(d1, d1));
  }
  return vec2f(dot(x, y0), dot(x, y1));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(num_workgroups) tiles: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row0 = (p.firstRow + select(tile.y, folded(tile.y, tiles.y), has(LOWER))) * ROWS;
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
  let chunk = select(CHUNK, SHORT_CHUNK, storesLow()) / 4u;
  for (var start = 0u; start < steps; start += chunk) {
    let end = min(steps, start + chunk);
    for (var step = start; step < end; step++) {
      let y0 = b[atB0 + step];
      let y1 = b[atB1 + step];
      var x: array<vec4f, BLOCKS>;
      for (var q = 0u; q < BLOCKS; q++) { x[q] = a[atA[q] + step]; }
#for i in 0..32
      sum[$i] += combine(subgroupBroadcast(x[$(i)u / LANES], $(i)u % LANES), y0, y1);
#end
    }
    for (var i = 0u; i < ROWS; i++) {
      let t = opaque2(total[i] + sum[i]);
      sum[i] -= opaque2(t - total[i]);
      total[i] = t;
    }
  }
  storeTile(row0, col0 + lane, &total, &sum);
}
