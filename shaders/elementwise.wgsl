// out = f(A, B), entry by entry, for m × n matrices. OPERATION chooses f:
//   0  A · scale
//   1  A − B with B one row (subtracts the row B from every row of A)
//   2  (A + Aᵀ) / 2, A square
//   3  max(A, 0), a NaN as it is
//   4  scale · cos(A + B) with B one row of phases
//   5  scale · (A − B₀) / B₁ with rows B₀ = mean, B₁ = deviation; 0 where the deviation is 0
//   6  A / B₀₀, B a single number
//   7  A / √B₀₀
//   8  A + scale on the diagonal
//   9  A + scale · B
//  10  A − B with B one column (subtracts entry i of B, stored as one row, from row i of A)
requires immediate_address_space;

// Header: OPERATION: u32.

struct Params {
  m: u32,
  n: u32,
  strideA: u32,
  strideB: u32,
  strideOut: u32,
  offsetA: u32,
  offsetOut: u32,
  padding: u32,
  scale: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

// WGSL's cos may err by 2⁻¹¹ and outside [−π, π] by anything, while Cauchy weights give arguments
// of thousands. Quadrants are removed in three parts of π/2 (Cody and Waite), the rest is
// Cephes' sinf and cosf: errors below 1e-7 for |x| < 8192, growing as x's own rounding beyond.
fn accurateCos(x: vec4f) -> vec4f {
  let q = round(x * 0.6366197723675814);
  var r = fma(q, vec4f(-1.5703125), x);
  r = fma(q, vec4f(-4.837512969970703125e-4), r);
  r = fma(q, vec4f(-7.549789948768648e-8), r);
  let z = r * r;
  let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
  let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
  let quadrant = vec4u(vec4i(q)) & vec4u(3u);
  let value = select(c, s, (quadrant & vec4u(1u)) == vec4u(1u));
  return select(value, -value, (quadrant == vec4u(1u)) | (quadrant == vec4u(2u)));
}

// Entry (row, col) of A.
fn entry(row: u32, col: u32) -> f32 {
  let at = p.offsetA + row * p.strideA + col;
  return a[at / 4u][at % 4u];
}

// Not a comparison of x with itself, which is not sure to tell a NaN.
fn isNan(x: vec4f) -> vec4<bool> { return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u); }

// Four columns an invocation: on software adapters a vec4 costs as many accesses as a number.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let slot = id.x;
  if (row >= p.m || 4u * slot >= p.n + p.padding) { return; }
  let cols = 4u * slot + vec4u(0u, 1u, 2u, 3u);
  let x = a[(p.offsetA + row * p.strideA) / 4u + slot];
  var value: vec4f;
  switch (OPERATION) {
    case 1u: { value = x - b[slot]; }
    case 2u: { value = 0.5 * (x + vec4f(entry(cols.x, row), entry(min(cols.y, p.n - 1u), row), entry(min(cols.z, p.n - 1u), row), entry(min(cols.w, p.n - 1u), row))); }
    case 3u: { value = select(max(x, vec4f()), x, isNan(x)); }
    case 4u: { value = p.scale * accurateCos(x + b[slot]); }
    case 5u: {
      let deviation = b[p.strideB / 4u + slot];
      value = select(vec4f(), p.scale * (x - b[slot]) / deviation, deviation > vec4f());
    }
    case 6u: { value = x / b[0].x; }
    case 7u: { value = x / sqrt(b[0].x); }
    case 8u: { value = x + select(vec4f(), vec4f(p.scale), cols == vec4u(row)); }
    case 9u: { value = x + p.scale * b[row * p.strideB / 4u + slot]; }
    case 10u: { value = x - b[row / 4u][row % 4u]; }
    default: { value = x * p.scale; }
  }
  // Columns beyond the last are padding.
  out[(p.offsetOut + row * p.strideOut) / 4u + slot] = select(vec4f(), value, cols < vec4u(p.n));
}
