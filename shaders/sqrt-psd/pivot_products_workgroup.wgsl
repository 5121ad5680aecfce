// The same as pivot_products.wgsl for GPUs: a row's products with the four pivots' rows are a sum that PARTS invocations share,
// since there are too few rows to keep a GPU busy, and neighbours read neighbouring vec4.
requires immediate_address_space;

// Invocations that share a row, and rows of a workgroup.
const PARTS = 16u;
const ROWS = 4u;

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
@group(0) @binding(4) var<storage, read_write> products: array<f32>;

// Of each invocation its sums with the four pivots, high and low.
var<workgroup> sums: array<array<vec2f, 4>, PARTS * ROWS>;

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

// The four partial sums as one.
fn together(sum: Sum) -> vec2f {
  var s = Sum(vec4f(sum.high.x), vec4f(sum.low.x + sum.low.y + sum.low.z + sum.low.w));
  s = add(s, vec4f(sum.high.y));
  s = add(s, vec4f(sum.high.z));
  s = add(s, vec4f(sum.high.w));
  return vec2f(s.high.x, s.low.x);
}

@compute @workgroup_size(PARTS * ROWS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let part = index % PARTS;
  let place = p.firstRow + group.x * ROWS + index / PARTS;
  // Rows beyond the last repeat it, and are not stored.
  let row = min(place, p.rows - 1u);
  let width = p.stride / 4u;
  let own = row * width;
  // Fewer than four pivots: the last row stands in, and nobody looks at what comes of it.
  let pivots = min(vec4u(state[4], state[5], state[6], state[7]), vec4u(p.rows - 1u)) * width;
  var sum0 = Sum(vec4f(), vec4f());
  var sum1 = sum0;
  var sum2 = sum0;
  var sum3 = sum0;
  // Columns from state[0] to the end of their vec4 are zero. Nothing is left to do once state[1] says so.
  let steps = select((state[0] + 3u) / 4u, 0u, state[1] == 1u);
  for (var i = part; i < steps; i += PARTS) {
    let x = l[own + i];
    sum0 = addProduct(sum0, x, l[pivots.x + i]);
    sum1 = addProduct(sum1, x, l[pivots.y + i]);
    sum2 = addProduct(sum2, x, l[pivots.z + i]);
    sum3 = addProduct(sum3, x, l[pivots.w + i]);
  }
  sums[index] = array<vec2f, 4>(together(sum0), together(sum1), together(sum2), together(sum3));
  workgroupBarrier();
  // The first four invocations of a row take a pivot each. M is symmetric: its rows are read.
  if (part >= 4u || place >= p.rows || state[1] == 1u) { return; }
  let at = min(state[4u + part], p.rows - 1u) * p.strideM + row;
  var s = Sum(vec4f(m[at]), vec4f(mLow[at]));
  for (var i = 0u; i < PARTS; i++) {
    let sum = sums[index - part + i][part];
    s = add(s, vec4f(-sum.x));
    s.low -= vec4f(sum.y);
  }
  let high = opaque(s.high + s.low);
  let low = s.low - opaque(high - s.high);
  // As pivot_columns.wgsl reads them: of each row the high parts, then the low ones.
  products[8u * row + part] = high.x;
  products[8u * row + 4u + part] = low.x;
}
