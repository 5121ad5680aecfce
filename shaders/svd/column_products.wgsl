// Step i of the bidiagonalisation: parts (parts × cols) of Xᵀ u, each of `partRows` rows, from columns i on. Neighbours read
// neighbouring columns. See row_reflector.wgsl.

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = p.step;
  let k = i / 4u + id.x;
  if (k >= p.width) { return; }
  let first = i + 1u + id.y * p.partRows;
  var sum = vec4f();
  for (var row = first; row < min(first + p.partRows, p.rows); row++) {
    sum += a[row * p.width + k] * lefts[i * p.strideLefts + row];
  }
  parts[id.y * p.width + k] = sum;
}
