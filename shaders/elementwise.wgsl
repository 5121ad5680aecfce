// out = f(A, B), entry by entry, for m × n matrices. OPERATION chooses f:
//   0  A · scale
//   1  A − B with B one row (subtracts the row B from every row of A)
//   2  (A + Aᵀ) / 2, A square
//   3  max(A, 0)
//   4  scale · cos(A + B) with B one row of phases
//   5  scale · (A − B₀) / B₁ with rows B₀ = mean, B₁ = deviation; 0 where the deviation is 0
//   6  A / B₀₀, B a single number
//   7  A / √B₀₀
//   8  A + scale on the diagonal
//   9  A + scale · B
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

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// WGSL's cos may err by 2⁻¹¹ and outside [−π, π] by anything, while Cauchy weights give arguments
// of thousands. Quadrants are removed in three parts of π/2 (Cody and Waite), the rest is
// Cephes' sinf and cosf: errors below 1e-7 for |x| < 8192, growing as x's own rounding beyond.
fn accurateCos(x: f32) -> f32 {
  let q = round(x * 0.6366197723675814);
  var r = fma(q, -1.5703125, x);
  r = fma(q, -4.837512969970703125e-4, r);
  r = fma(q, -7.549789948768648e-8, r);
  let z = r * r;
  let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
  let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
  let quadrant = u32(i32(q)) & 3u;
  var value = select(c, s, (quadrant & 1u) == 1u);
  if (quadrant == 1u || quadrant == 2u) { value = -value; }
  return value;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let col = id.x;
  if (row >= p.m || col >= p.n + p.padding) { return; }
  var value = 0.0;
  if (col < p.n) {
    let x = a[p.offsetA + row * p.strideA + col];
    switch (OPERATION) {
      case 1u: { value = x - b[col]; }
      case 2u: { value = 0.5 * (x + a[p.offsetA + col * p.strideA + row]); }
      case 3u: { value = max(x, 0.0); }
      case 4u: { value = p.scale * accurateCos(x + b[col]); }
      case 5u: {
        let deviation = b[p.strideB + col];
        if (deviation > 0.0) { value = p.scale * (x - b[col]) / deviation; }
      }
      case 6u: { value = x / b[0]; }
      case 7u: { value = x / sqrt(b[0]); }
      case 8u: { value = x + select(0.0, p.scale, row == col); }
      case 9u: { value = x + p.scale * b[row * p.strideB + col]; }
      default: { value = x * p.scale; }
    }
  }
  out[p.offsetOut + row * p.strideOut + col] = value;
}
