// out = f(A, B), entry by entry, for m × n matrices. OPERATION chooses f:
//   0  A · scale
//   1  A − B with B one row (subtracts the row B from every row of A)
//   2  (A + Aᵀ) / 2, A square
//   3  max(A, 0), a NaN as it is
//   4  scale · cos(A + B) with B one row of phases
//   5  A / B₀₀, B a single number
//   6  A / √B₀₀
//   7  A + scale on the diagonal
//   8  A + scale · B
//   9  A − B with B one column (subtracts entry i of B, stored as one row, from row i of A)
//  10  A + B with B one row

// Arguments from here on have no digits left after the point, which is what a cosine is made of; they count as 0.
const FARTHEST = 16777216.0;

// WGSL's cos may err by 2⁻¹¹ and outside [−π, π] by anything, while Cauchy weights give arguments
// of thousands. Quadrants are removed in four parts of π/2 (Cody and Waite) with 12 bits each, times their number in two
// parts, so that every product is exact; the rest is Cephes' sinf and cosf: errors below 1e-7 of the cosine of the
// argument as it was rounded.
fn accurateCos(argument: vec4f) -> vec4f {
  let x = select(vec4f(), argument, abs(argument) < vec4f(FARTHEST));
  let q = round(x * 0.6366197723675814);
  let high = round(q / 4096.0) * 4096.0;
  let low = q - high;
  var r = fma(high, vec4f(-1.5703125), x);
  r = fma(low, vec4f(-1.5703125), r);
  r = fma(high, vec4f(-4.837512969970703125e-4), r);
  r = fma(low, vec4f(-4.837512969970703125e-4), r);
  r = fma(high, vec4f(-7.549533620476723e-8), r);
  r = fma(low, vec4f(-7.549533620476723e-8), r);
  r = fma(q, vec4f(-2.5632829192545614e-12), r);
  // Of a large argument q itself was rounded: what is left may be a quadrant more.
  let more = round(r * 0.6366197723675814);
  r = fma(more, vec4f(-1.5703125), r);
  r = fma(more, vec4f(-4.83826794896619e-4), r);
  let z = r * r;
  let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
  let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
  let quadrant = vec4u(vec4i(q) + vec4i(more)) & vec4u(3u);
  let value = select(c, s, (quadrant & vec4u(1u)) == vec4u(1u));
  return clamp(select(value, -value, (quadrant == vec4u(1u)) | (quadrant == vec4u(2u))), vec4f(-1.0), vec4f(1.0));
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
    case 5u: { value = x / b[0].x; }
    case 6u: { value = x / sqrt(b[0].x); }
    case 7u: { value = x + select(vec4f(), vec4f(p.scale), cols == vec4u(row)); }
    case 8u: { value = x + p.scale * b[row * p.strideB / 4u + slot]; }
    case 9u: { value = x - b[row / 4u][row % 4u]; }
    case 10u: { value = x + b[slot]; }
    default: { value = x * p.scale; }
  }
  // Columns beyond the last are padding.
  out[(p.offsetOut + row * p.strideOut) / 4u + slot] = select(vec4f(), value, cols < vec4u(p.n));
}
