// Cholesky factor of one diagonal block, and the factor's inverse. One workgroup, one row an invocation.
//
// The block at (start, start) of A, size × size with size ≤ BLOCK, becomes L (its upper part Lᵀ);
// rows start … of `inverses` become L⁻¹, rows start … of `inversesT` its transpose. With the
// inverses, the panel below and the triangular solves are plain matrix products.
//
// Loops end at p.size and not at BLOCK: drivers unroll loops of constant length, and these three nested
// ones then took 20 s to compile on lavapipe.
//
// info[0] is the number of the first pivot (from 1) that was not positive and finite, 0 if all
// were; such a pivot is replaced by 1 so that later numbers stay finite, and the result is unusable.
requires immediate_address_space;

const BLOCK = 32u;

struct Params {
  start: u32,
  size: u32,
  stride: u32,
  strideInverse: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> inverses: array<f32>;
@group(0) @binding(2) var<storage, read_write> inversesT: array<f32>;
@group(0) @binding(3) var<storage, read_write> info: array<u32>;

var<workgroup> l: array<array<f32, BLOCK + 1>, BLOCK>;
var<workgroup> inverse: array<array<f32, BLOCK + 1>, BLOCK>;

// WGSL promises little about NaN, so the bits are tested: positive, finite, not zero.
fn usable(x: f32) -> bool {
  let bits = bitcast<u32>(x);
  return bits > 0u && bits < 0x7f800000u;
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(local_invocation_index) row: u32) {
  let size = p.size;
  for (var col = 0u; row < size && col < size; col++) {
    l[row][col] = a[(p.start + row) * p.stride + p.start + col];
    inverse[row][col] = 0.0;
  }
  for (var j = 0u; j < size; j++) {
    workgroupBarrier();
    var sum = 0.0;
    if (row >= j && row < size) {
      sum = l[row][j];
      for (var t = 0u; t < j; t++) { sum -= l[row][t] * l[j][t]; }
    }
    workgroupBarrier();
    if (row == j) {
      if (!usable(sum)) {
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
  if (row < size) {
    for (var c = 0u; c < size; c++) {
      a[(p.start + row) * p.stride + p.start + c] = select(l[c][row], l[row][c], c <= row);
    }
    for (var c = 0u; c < p.strideInverse; c++) {
      inverses[(p.start + row) * p.strideInverse + c] = select(0.0, inverse[row][min(c, size - 1u)], c < size);
      inversesT[(p.start + row) * p.strideInverse + c] = select(0.0, inverse[min(c, size - 1u)][row], c < size);
    }
  }
}
