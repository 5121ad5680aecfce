// Cholesky factor of one diagonal block, and the factor's inverse: see potrf_factor.wgsl, which stands before this text.

@compute @workgroup_size(BLOCK)
fn main(@builtin(local_invocation_index) row: u32) {
  for (var q = 0u; row < p.size && q < (p.size + 3u) / 4u; q++) {
    let values = a[placeOf(row, q)];
    for (var e = 0u; e < 4u; e++) { l[row][4u * q + e] = values[e]; }
  }
  factorBlock(row);
}
