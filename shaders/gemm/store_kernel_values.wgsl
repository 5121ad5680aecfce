// No kernel of its own: kernel values of four squared distances in place of these; see store_sums.wgsl.
fn storeFour(row: u32, col: u32, value: vec4f, left: vec4f) {
  let values = kernelValue(value, p.inverseBandwidth);
#for e in 0..4
  storeValue(row + select(0u, $(e)u, DOWN), col + select($(e)u, 0u, DOWN), values[$e]);
#end
}

fn storeValue(row: u32, col: u32, value: f32) {
  if (isWanted(row, col)) { put(row, col, value, 0.0); }
}
