// The upper half of a square matrix becomes the transpose of the lower one, in place. An invocation turns a 4 × 4 block below
// the diagonal; the 4 × 4 blocks on the diagonal stay as they are.

const TILE = 8u; // blocks

fn rowOf(row: u32, col: u32) -> vec4f {
  // Rows beyond the last become the zeros of the padding.
  if (row >= p.n) { return vec4f(); }
  return a[row * p.stride + col];
}

@compute @workgroup_size(TILE, TILE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let col = id.x;
  let row = id.y;
  if (col >= row || 4u * row >= p.n) { return; }
  let block = transpose(mat4x4f(
    rowOf(4u * row, col), rowOf(4u * row + 1u, col), rowOf(4u * row + 2u, col), rowOf(4u * row + 3u, col),
  ));
  for (var i = 0u; i < 4u; i++) { a[(4u * col + i) * p.stride + row] = block[i]; }
}
