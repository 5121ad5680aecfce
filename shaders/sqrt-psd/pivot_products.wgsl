// What remains of the columns of M = m + mLow at the pivots that pivot_select.wgsl chose, after the columns of L so far:
// M_ic − Σ_k L_ik L_ck for all rows i and the four c. One invocation a row.
// products: of each row two vec4, the high parts for the four pivots, then the low parts.
//
// Products are exact and sums carry a second float (double-float): a small eigenvalue of M survives
// only if the factor's error stays well below M's own rounding. With float32 sums the square root of
// a CIFAR-10 layer's AGOP was off by 7e-6, with these by 2e-7.
requires immediate_address_space;

struct Params {
  rows: u32,
  strideM: u32,
  stride: u32,
  zero: u32,
  firstRow: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> m: array<f32>;
@group(0) @binding(1) var<storage, read> mLow: array<f32>;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read> l: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> products: array<vec4f>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) ^ vec4u(p.zero)); }

// The first 12 significant bits; the product of two such numbers is exact in float32.
fn head(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) & vec4u(0xfffff000u)); }

struct Sum {
  high: vec4f,
  low: vec4f,
}

// s + x with the error of the sum kept in the low part (Knuth's two-sum).
fn add(s: Sum, x: vec4f) -> Sum {
  let sum = opaque(s.high + x);
  let part = opaque(sum - s.high);
  return Sum(sum, s.low + ((s.high - opaque(sum - part)) + (x - part)));
}

fn addProduct(s: Sum, x: vec4f, z: vec4f) -> Sum {
  let x1 = head(x);
  let x2 = x - x1;
  let z1 = head(z);
  let z2 = z - z1;
  var t = add(s, x1 * z1);
  t.low += x1 * z2 + x2 * z1 + x2 * z2;
  return t;
}

// M_row,column less the four partial sums, the low part small against the high part. M is symmetric: its rows are read,
// which lie side by side for neighbours.
fn rest(row: u32, column: u32, sum: Sum) -> vec2f {
  let at = min(column, p.rows - 1u) * p.strideM + row;
  var s = Sum(vec4f(m[at], 0.0, 0.0, 0.0), vec4f(mLow[at], 0.0, 0.0, 0.0));
  s = add(s, vec4f(-sum.high.x, 0.0, 0.0, 0.0));
  s = add(s, vec4f(-sum.high.y, 0.0, 0.0, 0.0));
  s = add(s, vec4f(-sum.high.z, 0.0, 0.0, 0.0));
  s = add(s, vec4f(-sum.high.w, 0.0, 0.0, 0.0));
  let low = s.low.x - (sum.low.x + sum.low.y + sum.low.z + sum.low.w);
  let high = opaque(vec4f(s.high.x + low)).x;
  return vec2f(high, low - opaque(vec4f(high - s.high.x)).x);
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = p.firstRow + id.x;
  if (row >= p.rows || state[1] == 1u) { return; }
  let width = p.stride / 4u;
  let own = row * width;
  // Fewer than four pivots: the last row stands in, and nobody looks at what comes of it.
  let pivots = min(vec4u(state[4], state[5], state[6], state[7]), vec4u(p.rows - 1u)) * width;
  var sum0 = Sum(vec4f(), vec4f());
  var sum1 = sum0;
  var sum2 = sum0;
  var sum3 = sum0;
  // Columns from state[0] to the end of their vec4 are zero.
  let steps = (state[0] + 3u) / 4u;
  for (var i = 0u; i < steps; i++) {
    let x = l[own + i];
    sum0 = addProduct(sum0, x, l[pivots.x + i]);
    sum1 = addProduct(sum1, x, l[pivots.y + i]);
    sum2 = addProduct(sum2, x, l[pivots.z + i]);
    sum3 = addProduct(sum3, x, l[pivots.w + i]);
  }
  let a = rest(row, state[4], sum0);
  let b = rest(row, state[5], sum1);
  let c = rest(row, state[6], sum2);
  let d = rest(row, state[7], sum3);
  products[2u * row] = vec4f(a.x, b.x, c.x, d.x);
  products[2u * row + 1u] = vec4f(a.y, b.y, c.y, d.y);
}
