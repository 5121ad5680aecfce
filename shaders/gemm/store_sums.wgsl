// No kernel of its own: four sums at a time, for products that can store something else in their place; see
// store_kernel_values.wgsl and store_gram.wgsl. They lie below each other where DOWN, else side by side, from (row, col) on;
// value + left is what the product summed.
fn storeFour(row: u32, col: u32, value: vec4f, left: vec4f) {
#for e in 0..4
  var left$e = left[$e];
  storeSum(row + select(0u, $(e)u, DOWN), col + select($(e)u, 0u, DOWN), value[$e], &left$e);
#end
}
