// See pivot_sums.wgsl, which stands before this text. One invocation a row.

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = p.firstRow + id.x;
  if (row >= p.rows || state.finished == 1u) { return; }
  let width = p.stride / 4u;
  let own = row * width;
#for c in 0..4
  let pivot$c = existing(state.rows[$c]) * width;
  var sum$c = Pair4();
#end
  // Columns from state.columns to the end of their vec4 are zero.
  let steps = (state.columns + 3u) / 4u;
  for (var i = 0u; i < steps; i++) {
    let x = l[own + i];
#for c in 0..4
    sum$c = addProduct4(sum$c, x, l[pivot$c + i]);
#end
  }
  store(row, sum0, sum1, sum2, sum3);
}
