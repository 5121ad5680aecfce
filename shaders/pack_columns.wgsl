// Columns of a matrix (k × rows) as the texture that pack_rows.wgsl makes of the rows of its transpose.
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
  // Steps (four numbers along k) that a workgroup copies. No constant, as in pack_rows.wgsl.
  group: u32,
}
var<immediate> p: Params;

// Four columns are a quad: an invocation loads four vec4 of it, one below the other, and turns them into four texels.
const QUADS = LANES / 4u;

@group(0) @binding(0) var<storage, read> matrix: array<vec4f>;
// The texels row by row, segment · LANES of them a row; they are copied into a texture afterwards. A textureStore
// would do without the copy, but takes lavapipe half as long again, and of 16 lanes it carries out eight (Mesa 25.0).
@group(0) @binding(1) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let quad = lane % QUADS;
  // Columns beyond the matrix repeat its last quad: what comes of them is never stored.
  let column = (p.offset + min(group.y * LANES + 4u * quad, p.rows - 1u)) / 4u;
  let width = p.stride / 4u;
  let first = group.x * p.group;
  let steps = (p.k + 3u) / 4u;
  let fold = first / p.segment;
  let at = ((group.y * p.folds + fold) * p.segment + first - fold * p.segment) * LANES + 4u * quad;
  for (var step = lane / QUADS; step < p.group && first + step < steps; step += LANES / QUADS) {
    let k = 4u * (first + step);
    let last = p.k - 1u;
    let a = matrix[column + k * width];
    let b = select(vec4f(), matrix[column + min(k + 1u, last) * width], k + 1u <= last);
    let c = select(vec4f(), matrix[column + min(k + 2u, last) * width], k + 2u <= last);
    let d = select(vec4f(), matrix[column + min(k + 3u, last) * width], k + 3u <= last);
    packed[at + step * LANES] = vec4f(a.x, b.x, c.x, d.x);
    packed[at + step * LANES + 1u] = vec4f(a.y, b.y, c.y, d.y);
    packed[at + step * LANES + 2u] = vec4f(a.z, b.z, c.z, d.z);
    packed[at + step * LANES + 3u] = vec4f(a.w, b.w, c.w, d.w);
  }
}
