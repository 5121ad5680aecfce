// No kernel of its own: Cholesky factor of one diagonal block, and the factor's inverse, for potrf_block.wgsl and
// potrf_block_subgroup.wgsl, whose texts it is put before. One workgroup, one row an invocation.
//
// The block at (start, start) of A, size × size with size ≤ BLOCK, becomes L (its upper part Lᵀ);
// rows start … of `inverses` become L⁻¹, rows start … of `inversesT` its transpose. With the
// inverses, the panel below and the triangular solves are matrix products.
//
// Loops end at p.size and not at BLOCK: drivers unroll loops of constant length, and these three nested
// ones then took 20 s to compile on lavapipe.
//
// info[0] is the number of the first pivot (from 1) that was not positive and finite, 0 if all
// were; such a pivot is replaced by 1 so that later numbers stay finite, and the result is unusable.

#include "positive.wgsl"

const BLOCK = 32u;

var<workgroup> l: array<array<f32, BLOCK + 1>, BLOCK>;
var<workgroup> inverse: array<array<f32, BLOCK + 1>, BLOCK>;

// Of four numbers, those before the end of the block; what follows is padding.
fn beforeEnd(values: vec4f, q: u32) -> vec4f {
  return select(vec4f(), values, 4u * q + vec4u(0u, 1u, 2u, 3u) < vec4u(p.size));
}

// The place of four numbers of a row of the block.
fn placeOf(row: u32, q: u32) -> u32 { return ((p.start + row) * p.stride + p.start) / 4u + q; }

// Factors the block whose row `row` stands in l[row], and stores all.
fn factorBlock(row: u32) {
  let size = p.size;
  let quads = (size + 3u) / 4u;
  for (var col = 0u; row < size && col < size; col++) { inverse[row][col] = 0.0; }
  for (var j = 0u; j < size; j++) {
    workgroupBarrier();
    var sum = 0.0;
    if (row >= j && row < size) {
      sum = l[row][j];
      for (var t = 0u; t < j; t++) { sum -= l[row][t] * l[j][t]; }
    }
    workgroupBarrier();
    if (row == j) {
      if (!isPositive(sum)) {
        if (info[0] == 0u) { info[0] = p.start + j + 1u; }
        sum = 1.0;
      }
      l[j][j] = sqrt(sum);
    }
    workgroupBarrier();
    if (row > j && row < size) { l[row][j] = sum / l[j][j]; }
  }
  workgroupBarrier();
  // Column `row` of L⁻¹ by forward substitution of a unit vector: columns do not depend on each other.
  let col = row;
  for (var i = col; i < size; i++) {
    var sum = select(0.0, 1.0, i == col);
    for (var t = col; t < i; t++) { sum -= l[i][t] * inverse[t][col]; }
    inverse[i][col] = sum / l[i][i];
  }
  workgroupBarrier();
  if (row >= size) { return; }
  for (var q = 0u; q < quads; q++) {
    var values: vec4f;
    for (var e = 0u; e < 4u; e++) {
      let col = min(4u * q + e, size - 1u);
      values[e] = select(l[col][row], l[row][col], col <= row);
    }
    a[placeOf(row, q)] = beforeEnd(values, q);
  }
  // The strips are as wide as a whole block.
  for (var q = 0u; q < p.strideInverse / 4u; q++) {
    var values: vec4f;
    var turned: vec4f;
    for (var e = 0u; e < 4u; e++) {
      let col = min(4u * q + e, size - 1u);
      values[e] = inverse[row][col];
      turned[e] = inverse[col][row];
    }
    let at = (p.start + row) * p.strideInverse / 4u + q;
    inverses[at] = beforeEnd(values, q);
    inversesT[at] = beforeEnd(turned, q);
  }
}
