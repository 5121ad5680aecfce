// Rows of a matrix (rows × k) as a texture for gemm_nt_packed.wgsl. Texel (x, y) holds four numbers along k of one
// row: BLOCK rows side by side (x % BLOCK), then the next four numbers of all of them, `segment` times;
// what does not fit into a texture's width goes on in the next of the `folds` rows of texels of the block.
//
// Row i begins at (i mod period) · stride + ⌊i / period⌋ · outer: so the pixels of images can be taken sample by sample.
//
// `packed` holds the texels row by row, segment · BLOCK of them a row; they are copied into a texture afterwards. A textureStore
// would do without the copy, but takes lavapipe half as long again, and of 16 lanes it carries out eight (Mesa 25.0).
// An invocation copies `steps` steps. That is no constant on purpose: the driver would unroll the loop to 86 KB of code, and
// fetching that took a quarter of the time at n = 1024.
enable subgroups;

// As in gemm_nt_packed.wgsl.
const BLOCK = 64u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  // Rows beyond the matrix repeat its last one: what comes of them is never stored.
  let index = group.y * LANES + lane;
  let own = min(index, p.rows - 1u);
  let outer = own / p.period;
  let row = (p.offset + (own - outer * p.period) * p.stride + outer * p.outer) / 4u;
  let first = group.x * p.steps;
  let count = min(p.steps, (p.k + 3u) / 4u - first);
  let fold = first / p.segment;
  let at = ((index / BLOCK * p.folds + fold) * p.segment + first - fold * p.segment) * BLOCK + index % BLOCK;
  for (var step = 0u; step < count; step++) { packed[at + step * BLOCK] = matrix[row + first + step]; }
}
