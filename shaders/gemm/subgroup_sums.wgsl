// No kernel of its own: how gemm_nt_subgroup.wgsl stores sums. Four at a time the driver would compile for 4 s, not 2.
fn storeTile(row0: u32, col: u32, total: ptr<function, array<vec2f, ROWS>>, sum: ptr<function, array<vec2f, ROWS>>) {
  for (var i = 0u; i < ROWS; i++) {
    var x = (*sum)[i].x;
    var y = (*sum)[i].y;
    storeSum(row0 + i, col, (*total)[i].x, &x);
    storeSum(row0 + i, col + LANES, (*total)[i].y, &y);
  }
}
