// Gradients of the predictor f(x) = Σ_j α_j k(x, x_j) at its own centres, for CLASSES outputs c:
//   G_ic = Σ_j W_ij α_jc (x_j − x_i), the W of kernel_values.wgsl.
// Stored transposed: column r · outputs + c of `out` (d rows) is G_ic for i = firstRow + r · rowStep.
//
// The differences are taken before they are summed. Expanding them into (Wα)_i x_i and a matrix
// product would cancel in collapsed layers, where W is huge and x_j − x_i tiny; this way every term
// is as accurate as its factors, and a difference serves all CLASSES outputs, so it costs 1/CLASSES
// more than the product.
//
// One subgroup a (row i, 4·LANES numbers of d): each lane owns a vec4 of d, holds the coefficients of
// one j, and gets the other lanes' by subgroupBroadcast. Its lane must be a constant expression,
// hence the written-out steps.
enable subgroups;
requires immediate_address_space;

// Header: LANES: u32, CLASSES: u32.

// Steps written out. 16 would save a tenth of the time and triple that of compiling on lavapipe (14 s).
const CHUNK = min(LANES, 8u);

struct Params {
  n: u32,
  stride: u32,
  strideW: u32,
  strideAlpha: u32,
  strideOut: u32,
  firstRow: u32,
  rowCount: u32,
  outputs: u32,
  firstOutput: u32,
  d: u32,
  rowStep: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> rows: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> alpha: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let width = p.stride / 4u;
  // Lanes beyond d repeat its last vec4: their results are never stored.
  let slot = min(group.x * LANES + lane, width - 1u);
  let i = p.firstRow + group.y * p.rowStep;
  let own = rows[i * width + slot];
  var total = array<vec4f, CLASSES>();
  for (var j0 = 0u; j0 < p.n; j0 += CHUNK) {
    // Centres beyond the last one get coefficient 0 and repeat the last row.
    let j = min(j0 + (lane % CHUNK), p.n - 1u);
    let weight = select(0.0, w[i * p.strideW + j], j0 + (lane % CHUNK) < p.n);
    var coefficient: array<f32, CLASSES>;
    for (var c = 0u; c < CLASSES; c++) { coefficient[c] = weight * alpha[(p.firstOutput + c) * p.strideAlpha + j]; }
    // Explicit: without a value, the array kept the last chunk's sums on lavapipe.
    var sum = array<vec4f, CLASSES>();
    let at = j0 * width + slot;
    let last = p.n - 1u - j0;
    if (CHUNK > 0u) {
      let x = rows[at + min(0u, last) * width] - own;
      for (var c = 0u; c < CLASSES; c++) { sum[c] += subgroupBroadcast(coefficient[c], 0u) * x; }
    }
    if (CHUNK > 1u) {
      let x = rows[at + min(1u, last) * width] - own;
      for (var c = 0u; c < CLASSES; c++) { sum[c] += subgroupBroadcast(coefficient[c], 1u) * x; }
    }
    if (CHUNK > 2u) {
      let x = rows[at + min(2u, last) * width] - own;
      for (var c = 0u; c < CLASSES; c++) { sum[c] += subgroupBroadcast(coefficient[c], 2u) * x; }
    }
    if (CHUNK > 3u) {
      let x = rows[at + min(3u, last) * width] - own;
      for (var c = 0u; c < CLASSES; c++) { sum[c] += subgroupBroadcast(coefficient[c], 3u) * x; }
    }
    if (CHUNK > 4u) {
      let x = rows[at + min(4u, last) * width] - own;
      for (var c = 0u; c < CLASSES; c++) { sum[c] += subgroupBroadcast(coefficient[c], 4u) * x; }
    }
    if (CHUNK > 5u) {
      let x = rows[at + min(5u, last) * width] - own;
      for (var c = 0u; c < CLASSES; c++) { sum[c] += subgroupBroadcast(coefficient[c], 5u) * x; }
    }
    if (CHUNK > 6u) {
      let x = rows[at + min(6u, last) * width] - own;
      for (var c = 0u; c < CLASSES; c++) { sum[c] += subgroupBroadcast(coefficient[c], 6u) * x; }
    }
    if (CHUNK > 7u) {
      let x = rows[at + min(7u, last) * width] - own;
      for (var c = 0u; c < CLASSES; c++) { sum[c] += subgroupBroadcast(coefficient[c], 7u) * x; }
    }
    for (var c = 0u; c < CLASSES; c++) { total[c] += sum[c]; }
  }
  if (group.x * LANES + lane >= width) { return; }
  for (var c = 0u; c < CLASSES; c++) {
    let col = group.y * p.outputs + p.firstOutput + c;
    for (var part = 0u; part < 4u; part++) {
      let row = slot * 4u + part;
      if (row < p.d) { out[row * p.strideOut + col] = total[c][part]; }
    }
  }
  // The columns beyond the last gradient are the padding of `out`.
  if (group.y == p.rowCount - 1u && p.firstOutput + CLASSES == p.outputs) {
    for (var col = p.rowCount * p.outputs; col < p.strideOut; col++) {
      for (var part = 0u; part < 4u; part++) {
        if (slot * 4u + part < p.d) { out[(slot * 4u + part) * p.strideOut + col] = 0.0; }
      }
    }
  }
}
