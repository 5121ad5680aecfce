// Step i of the bidiagonalisation: parts (parts × cols) of Xᵀ u, each of `partRows` rows, from columns i on. Neighbours read
// neighbouring columns. See row_reflector.wgsl.

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = p.step;
  let k = i / 4u + id.x;
  if (k >= p.width) { return; }
  let first = i + 1u + id.y * p.partRows;
  var sum = vec4f();
  let end = min(first + p.partRows, p.rows);
  var row = first;
  for (; row + 4u <= end; row += 4u) {
#for r in 0..4
    sum += a[(row + $(r)u) * p.width + k] * lefts[i * p.strideLefts + row + $(r)u];
#end
  }
  for (; row < end; row++) { sum += a[row * p.width + k] * lefts[i * p.strideLefts + row]; }
  parts[id.y * p.width + k] = sum;
}
