// Rows of a matrix (rows × k) as a texture for gemm_nt_packed.wgsl. Texel (x, y) holds four numbers along k of one
// row: LANES rows side by side (x % LANES), then the next four numbers of all of them, `segment` times;
// what does not fit into a texture's width goes on in the next of the `folds` rows of texels of the block.
requires immediate_address_space;

// Header: LANES: u32.

struct Params {
  rows: u32,
  k: u32,
  stride: u32,
  offset: u32,
  segment: u32,
  folds: u32,
}
var<immediate> p: Params;

// Steps (four numbers along k) an invocation copies: a cache line's.
const STEPS = 16u;

@group(0) @binding(0) var<storage, read> matrix: array<vec4f>;
@group(0) @binding(1) var packed: texture_storage_2d<rgba32float, write>;

// Eight invocations, whatever LANES is: of a textureStore by 16 lanes lavapipe carries out the first eight (Mesa 25.0).
const SIDE = 8u;

@compute @workgroup_size(SIDE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let first = group.x * STEPS;
  let end = min(first + STEPS, (p.k + 3u) / 4u);
  let fold = first / p.segment;
  for (var lane = index; lane < LANES; lane += SIDE) {
    // Rows beyond the matrix repeat its last one: what comes of them is never stored.
    let row = (p.offset + min(group.y * LANES + lane, p.rows - 1u) * p.stride) / 4u;
    for (var step = first; step < end; step++) {
      let x = (step - fold * p.segment) * LANES + lane;
      textureStore(packed, vec2u(x, group.y * p.folds + fold), matrix[row + step]);
    }
  }
}
