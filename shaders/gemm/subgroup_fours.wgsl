// No kernel of its own: how gemm_nt_subgroup.wgsl stores what store_kernel_values.wgsl or store_gram.wgsl makes of sums.
fn storeTile(row0: u32, col: u32, total: ptr<function, array<vec2f, ROWS>>, sum: ptr<function, array<vec2f, ROWS>>) {
  for (var i = 0u; i < ROWS; i += 4u) {
    let value = transpose(mat4x2f((*total)[i], (*total)[i + 1u], (*total)[i + 2u], (*total)[i + 3u]));
    let rest = transpose(mat4x2f((*sum)[i], (*sum)[i + 1u], (*sum)[i + 2u], (*sum)[i + 3u]));
    storeFour(row0 + i, col, value[0], rest[0]);
    storeFour(row0 + i, col + LANES, value[1], rest[1]);
  }
}
