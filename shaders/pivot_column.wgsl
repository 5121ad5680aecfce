// Column `step` of a pivoted Cholesky factorisation m + mLow = M ≈ L Lᵀ (left-looking), and the
// diagonal that remains after it. One invocation a row. After the last pivot the columns are zero.
//
// Products are exact and sums carry a second float (double-float): a small eigenvalue of M survives
// only if the factor's error stays well below M's own rounding. With float32 sums the square root of
// a CIFAR-10 layer's AGOP was off by 7e-6, with these by 2e-7.
requires immediate_address_space;

struct Params {
  rows: u32,
  step: u32,
  strideM: u32,
  stride: u32,
  zero: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> m: array<f32>;
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> l: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> remaining: array<vec2f>;
@group(0) @binding(4) var<storage, read> mLow: array<f32>;

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

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= p.rows) { return; }
  let width = p.stride / 4u;
  let own = row * width;
  let part = p.step % 4u;
  if (state[2] == 1u) {
    if (part == 0u) { l[own + p.step / 4u] = vec4f(); }
    return;
  }
  let pivotRow = state[0] * width;
  var sum = Sum(vec4f(), vec4f());
  for (var i = 0u; i < p.step / 4u; i++) { sum = addProduct(sum, l[own + i], l[pivotRow + i]); }
  // The columns of the unfinished vec4 beyond `step` may hold anything.
  let mask = vec4f(vec4u(0u, 1u, 2u, 3u) < vec4u(part));
  let last = select(vec4f(), l[own + p.step / 4u], mask > vec4f());
  let lastPivot = select(vec4f(), l[pivotRow + p.step / 4u], mask > vec4f());
  sum = addProduct(sum, last, lastPivot);

  var s = Sum(vec4f(m[row * p.strideM + state[0]], 0.0, 0.0, 0.0), vec4f(mLow[row * p.strideM + state[0]], 0.0, 0.0, 0.0));
  s = add(s, vec4f(-sum.high.x, 0.0, 0.0, 0.0));
  s = add(s, vec4f(-sum.high.y, 0.0, 0.0, 0.0));
  s = add(s, vec4f(-sum.high.z, 0.0, 0.0, 0.0));
  s = add(s, vec4f(-sum.high.w, 0.0, 0.0, 0.0));
  let value = s.high.x + (s.low.x - dot(sum.low, vec4f(1.0)));

  let pivot = bitcast<f32>(state[4]);
  // The pivot's own entry is the root, not a quotient that would round once more.
  let root = sqrt(pivot);
  let entry = select(value / root, root, row == state[0]);
  var column = last;
  column[part] = entry;
  // Writes columns of this vec4 only: other invocations read the pivot row's earlier ones, unchanged.
  l[own + p.step / 4u] = column;

  let before = remaining[row];
  var d = Sum(vec4f(before.x, 0.0, 0.0, 0.0), vec4f(before.y, 0.0, 0.0, 0.0));
  let e1 = head(vec4f(entry, 0.0, 0.0, 0.0));
  let e2 = vec4f(entry, 0.0, 0.0, 0.0) - e1;
  d = add(d, -e1 * e1);
  d.low += -2.0 * e1 * e2 - e2 * e2;
  let high = opaque(d.high + d.low);
  var left = vec2f(high.x, d.low.x - opaque(high - d.high).x);
  if (row == state[0]) { left = vec2f(-1.0, 0.0); }
  remaining[row] = left;
}
