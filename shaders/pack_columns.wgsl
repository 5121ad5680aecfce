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
// The texels row by row, segment · LANES of them a row; they are copied into a texture afterwards. A textureStore
// would do without the copy, but takes lavapipe half as long again, and of 16 lanes it carries out eight (Mesa 25.0).
@group(0) @binding(1) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Columns beyond the matrix repeat its last one: what comes of them is never stored.
  let column = p.offset + min(group.y * LANES + lane, p.rows - 1u);
  let first = group.x * STEPS;
  let count = min(STEPS, (p.k + 3u) / 4u - first);
  let fold = first / p.segment;
  let at = ((group.y * p.folds + fold) * p.segment + first - fold * p.segment) * LANES + lane;
  for (var step = 0u; step < count; step++) {
    let k = 4u * (first + step) + vec4u(0u, 1u, 2u, 3u);
    let source = column + min(k, vec4u(p.k - 1u)) * p.stride;
    let texel = vec4f(matrix[source.x], matrix[source.y], matrix[source.z], matrix[source.w]);
    packed[at + step * LANES] = select(vec4f(), texel, k < vec4u(p.k));
  }
}
