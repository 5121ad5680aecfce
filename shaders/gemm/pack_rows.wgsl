// Rows of a matrix (rows × k) as a texture for gemm_nt_packed.wgsl. Texel (x, y) holds four numbers along k of one
// row: BLOCK rows side by side (x % BLOCK), then the next four numbers of all of them, `segment` times;
// what does not fit into a texture's width goes on in the next of the `folds` rows of texels of the block.
enable subgroups;
requires immediate_address_space;

// Header: LANES: u32.

struct Params {
  rows: u32,
  k: u32,
  stride: u32,
  offset: u32,
  segment: u32,
  folds: u32,
  // Steps that an invocation copies. No constant on purpose: the driver would unroll the loop to 86 KB of code, and fetching
  // that took a quarter of the time at n = 1024.
  group: u32,
}
var<immediate> p: Params;

// As in gemm_nt_packed.wgsl.
const BLOCK = 64u;

@group(0) @binding(0) var<storage, read> matrix: array<vec4f>;
// The texels row by row, segment · BLOCK of them a row; they are copied into a texture afterwards. A textureStore
// would do without the copy, but takes lavapipe half as long again, and of 16 lanes it carries out eight (Mesa 25.0).
@group(0) @binding(1) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  // Rows beyond the matrix repeat its last one: what comes of them is never stored.
  let index = group.y * LANES + lane;
  let row = (p.offset + min(index, p.rows - 1u) * p.stride) / 4u;
  let first = group.x * p.group;
  let count = min(p.group, (p.k + 3u) / 4u - first);
  let fold = first / p.segment;
  let at = ((index / BLOCK * p.folds + fold) * p.segment + first - fold * p.segment) * BLOCK + index % BLOCK;
  for (var step = 0u; step < count; step++) { packed[at + step * BLOCK] = matrix[row + first + step]; }
}
