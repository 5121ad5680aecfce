// Largest diagonal entry of a square matrix. Where the matrix is positive semi-definite that is its
// largest entry: |M_ab| ≤ √(M_aa M_bb). One workgroup.

const SIZE = 64u;

var<workgroup> partial: array<f32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  var best = a[0];
  for (var i = index; i < p.rows; i += SIZE) { best = max(best, a[i * p.stride + i]); }
  partial[index] = best;
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] = max(partial[index], partial[index + half]); }
  }
  if (index == 0u) { result[0] = partial[0]; }
}
