// A Bᵀ, or with DIFFERENCE the squared distances Σ_k (A_ik − B_jk)². A and B come as textures from pack_rows.wgsl or
// pack_columns.wgsl: of them `segment` steps (vec4 along k) are in a row, and `folds` rows hold a block of matrix rows.
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
// - Sums and totals are arrays, one a column, that are read at a variable place once, where the results are stored: the driver
//   then leaves them in memory, where 256 sums are anyway, and does not try to give them registers, for which it compiled
//   for 14 s, not 3. (Vectors in an array with a variable index it mixes up.)
// Measured at n = 1024 on two cores (lavapipe, 16 lanes): 48 rows from sampled textures with totals every 64 terms took
// 33 ms; with storage textures 32, with 64 rows besides 28, with totals every 128 terms 25, every 256 terms 23. 80 rows
// are slower again, and so are two steps at a time: the loop outgrows the instruction cache.
enable subgroups;
requires readonly_and_readwrite_storage_textures;
#include "compensated.wgsl"

const ROWS = 64u;
// Matrix rows whose texels lie side by side.
const BLOCK = 64u;
// Terms of a sum before it is added to its compensated total; at random numbers, k = 1024, 64 terms give a relative error
// of 9.7e-8, 256 terms 1.6e-7.
const CHUNK = 256u;
// Where the low part is wanted: it is to be better than float32's own rounding of the result.
const SHORT_CHUNK = 16u;

fn product(x: vec4f, y: vec4f) -> f32 {
  if (DIFFERENCE) {
    let d = x - y;
    return dot(d, d);
  }
  return dot(x, y);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) tile: vec3u,
  @builtin(num_workgroups) tiles: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row0 = (p.firstRow + select(tile.y, folded(tile.y, tiles.y), has(LOWER))) * ROWS;
  let col0 = tile.x * 4u * LANES;
  // The padding of a row belongs to the first tile of that row.
  if (tile.x == 0u) {
    for (var row = lane; row < ROWS; row += LANES) { storePadding(row0 + row); }
  }
  if (has(LOWER) && col0 > row0 + ROWS - 1u) { return; }

  let blockA = row0 / BLOCK * p.folds;
  let blockB = col0 / BLOCK * p.folds;
  let colB = col0 % BLOCK + lane;
#for c in 0..4
  var total$c = array<f32, ROWS>();
  var sum$c = array<f32, ROWS>();
#end
  let steps = (p.k + 3u) / 4u;
  let chunk = select(CHUNK, SHORT_CHUNK, storesLow()) / 4u;
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
#for i in 0..64
      let x$i = subgroupBroadcast(rows[$(i)u / LANES], $(i)u % LANES);
#for c in 0..4
      sum$c[$i] += product(x$i, y$c);
#end
#end
    }
#for i in 0..64
    {
      let t = plus(
        vec4f(total0[$i], total1[$i], total2[$i], total3[$i]),
        vec4f(sum0[$i], sum1[$i], sum2[$i], sum3[$i]),
      );
#for c in 0..4
      total$c[$i] = t.total[$c];
      sum$c[$i] = t.rest[$c];
#end
    }
#end
  }
  // The loop has no constant end on purpose: unrolled, it would be most of the code.
  let rows = min(ROWS, p.m - row0);
  for (var i = 0u; i < rows; i++) {
#for c in 0..4
    storeSum(row0 + i, col0 + $(c)u * LANES + lane, total$c[i], &sum$c[i]);
#end
  }
}
