// A pair of rows is a workgroup's work. See jacobi_rotation.wgsl, which stands before this text.

var<workgroup> partial: array<vec4f, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let rows = rowsOf(group.x);
  partial[index] = vec4f(products(rows, index), 0.0);
  workgroupBarrier();
  // Each invocation adds them all up: on lavapipe a tree's five barriers took as long as the rest of the kernel.
  var total = vec4f();
  for (var k = 0u; k < SIZE; k++) { total += partial[k]; }
  rotate(group.x, rows, total.xyz, index);
}
