// The upper half of a square matrix becomes the transpose of the lower one, in place. An invocation turns a 4 × 4 block below
// the diagonal; the 4 × 4 blocks on the diagonal stay as they are.
requires immediate_address_space;

const TILE = 8u; // blocks

struct Params {
  n: u32,
  stride: u32, // in vec4, as the offset
  offset: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> a: array<vec4f>;

fn rowOf(row: u32, col: u32) -> vec4f {
  // Rows beyond the last become the zeros of the padding.
  if (row >= p.n) { return vec4f(); }
  return a[p.offset + row * p.stride + col];
}

@compute @workgroup_size(TILE, TILE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let col = id.x;
  let row = id.y;
  if (col >= row || 4u * row >= p.n) { return; }
  let block = transpose(mat4x4f(
    rowOf(4u * row, col), rowOf(4u * row + 1u, col), rowOf(4u * row + 2u, col), rowOf(4u * row + 3u, col),
  ));
  for (var i = 0u; i < 4u; i++) { a[p.offset + (4u * col + i) * p.stride + row] = block[i]; }
}
