// Row l · outputs + c of `out` (classes · outputs × n) is row c of α where the column is a row of class l, and 0 elsewhere. Four
// columns an invocation.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= p.width) { return; }
  let group = id.y / p.outputs;
  let columns = 4u * id.x + vec4u(0u, 1u, 2u, 3u);
  let inside = (columns >= vec4u(starts[group])) & (columns < vec4u(starts[group + 1u]));
  out[id.y * p.width + id.x] = select(vec4f(), alpha[(id.y % p.outputs) * p.width + id.x], inside);
}
