// Columns of a matrix (k × rows) as the texture that pack_rows.wgsl makes of the rows of its transpose.
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

// Steps (four numbers along k) an invocation copies.
const STEPS = 16u;

@group(0) @binding(0) var<storage, read> matrix: array<f32>;
@group(0) @binding(1) var packed: texture_storage_2d<rgba32float, write>;

// Eight invocations, whatever LANES is: of a textureStore by 16 lanes lavapipe carries out the first eight (Mesa 25.0).
const SIDE = 8u;

@compute @workgroup_size(SIDE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let first = group.x * STEPS;
  let end = min(first + STEPS, (p.k + 3u) / 4u);
  let fold = first / p.segment;
  for (var step = first; step < end; step++) {
    for (var lane = index; lane < LANES; lane += SIDE) {
      // Columns beyond the matrix repeat its last one: what comes of them is never stored.
      let column = p.offset + min(group.y * LANES + lane, p.rows - 1u);
      let k = 4u * step + vec4u(0u, 1u, 2u, 3u);
      let at = column + min(k, vec4u(p.k - 1u)) * p.stride;
      let texel = vec4f(matrix[at.x], matrix[at.y], matrix[at.z], matrix[at.w]);
      let x = (step - fold * p.segment) * LANES + lane;
      textureStore(packed, vec2u(x, group.y * p.folds + fold), select(vec4f(), texel, k < vec4u(p.k)));
    }
  }
}
