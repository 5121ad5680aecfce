// Gradients of the predictor f(x) = Σ_j α_j k(x, x_j) at its own centres, for CLASSES outputs c:
//   G_ic = Σ_j W_ij α_jc (x_j − x_i), the W of kernel_values.wgsl.
// Stored transposed: column r · outputs + c of `out` (d rows) is G_ic for i = firstRow + r · rowStep.
//
// The same operation as jacobian_subgroup.wgsl, for adapters without subgroups of one known size:
// coefficients of SIZE centres are staged through workgroup memory, each invocation owns a vec4 of d.
requires immediate_address_space;

// Header: CLASSES: u32.

const SIZE = 64u;

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

var<workgroup> coefficients: array<array<f32, CLASSES>, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let width = p.stride / 4u;
  let slot = min(group.x * SIZE + index, width - 1u);
  let i = p.firstRow + group.y * p.rowStep;
  let own = rows[i * width + slot];
  var total = array<vec4f, CLASSES>();
  for (var j0 = 0u; j0 < p.n; j0 += SIZE) {
    let j = j0 + index;
    workgroupBarrier();
    if (j < p.n) {
      let weight = w[i * p.strideW + j];
      for (var c = 0u; c < CLASSES; c++) {
        coefficients[index][c] = weight * alpha[(p.firstOutput + c) * p.strideAlpha + j];
      }
    }
    workgroupBarrier();
    // Explicit: without a value, the array kept the last chunk's sums on lavapipe.
    var sum = array<vec4f, CLASSES>();
    for (var t = 0u; t < min(SIZE, p.n - j0); t++) {
      let x = rows[(j0 + t) * width + slot] - own;
      for (var c = 0u; c < CLASSES; c++) { sum[c] += coefficients[t][c] * x; }
    }
    for (var c = 0u; c < CLASSES; c++) { total[c] += sum[c]; }
  }
  if (group.x * SIZE + index >= width) { return; }
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
