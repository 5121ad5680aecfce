// Columns of a matrix (k × rows) as the texture that pack_rows.wgsl makes of the rows of its transpose.
//
// A workgroup goes along 16 rows of the matrix, LANES columns at a time: down the columns instead, every
// cache line was on another page, where nothing is fetched ahead, and packing took two to three times as long.
// It copies `parts` times LANES columns. That is no constant, as in pack_rows.wgsl.
enable subgroups;

// Four columns are a quad: an invocation loads four vec4 of it, one below the other, and turns them into four texels.
const QUADS = LANES / 4u;
// As in gemm_nt_packed.wgsl.
const BLOCK = 64u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let quad = lane % QUADS;
  let step = group.x * (LANES / QUADS) + lane / QUADS;
  let k = 4u * step;
  if (k >= p.k) { return; }
  let width = p.stride / 4u;
  // Terms beyond k are zeros, loaded from the last row.
  let after = p.k - 1u - k;
  let rowA = p.offset / 4u + k * width;
  let rowB = rowA + min(1u, after) * width;
  let rowC = rowA + min(2u, after) * width;
  let rowD = rowA + min(3u, after) * width;
  // Columns beyond the matrix repeat its last quad: what comes of them is never stored.
  let last = (p.rows - 1u) / 4u;
  let end = min((group.y + 1u) * p.parts, last / QUADS + 1u);
  let fold = step / p.segment;
  for (var part = group.y * p.parts; part < end; part++) {
    let first = part * QUADS + quad;
    let a = matrix[rowA + min(first, last)];
    let b = select(vec4f(), matrix[rowB + min(first, last)], after >= 1u);
    let c = select(vec4f(), matrix[rowC + min(first, last)], after >= 2u);
    let d = select(vec4f(), matrix[rowD + min(first, last)], after >= 3u);
    let block = 4u * first / BLOCK;
    let at = ((block * p.folds + fold) * p.segment + step - fold * p.segment) * BLOCK + 4u * first % BLOCK;
    packed[at] = vec4f(a.x, b.x, c.x, d.x);
    packed[at + 1u] = vec4f(a.y, b.y, c.y, d.y);
    packed[at + 2u] = vec4f(a.z, b.z, c.z, d.z);
    packed[at + 3u] = vec4f(a.w, b.w, c.w, d.w);
  }
}
