// The same as jacobi_round.wgsl for adapters whose subgroups have one known size: a pair of rows is one subgroup's work,
// with no barrier, and takes half the time on lavapipe (0.37 s a sweep of a 512 × 512 matrix). To keep the rows in
// registers between the products and the rotation was no faster there.
enable subgroups;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) index: u32) {
  let rows = rowsOf(group.x);
  let sums = products(rows, index);
  let total = vec3f(subgroupAdd(sums.x), subgroupAdd(sums.y), subgroupAdd(sums.z));
  rotate(group.x, rows, total, index);
}
