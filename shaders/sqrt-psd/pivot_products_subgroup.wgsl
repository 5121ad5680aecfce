// The same as pivot_products.wgsl for adapters whose subgroups have one known size. Four steps of the four pivots' rows are
// sixteen vec4: each lane loads one and passes it on, where a load of its own would be a gather for every lane on lavapipe.
enable subgroups;
requires immediate_address_space;

// Header: LANES: u32.

// vec4 of the pivots' rows that a lane loads for four steps.
const LOADS = select(16u / LANES, 1u, LANES >= 16u);

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

fn addProduct(s: Sum, x1: vec4f, x2: vec4f, z: vec4f) -> Sum {
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

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  if (state[1] == 1u) { return; }
  // Lanes beyond the last row repeat it, and store nothing.
  let place = p.firstRow + group.x * LANES + lane;
  let row = min(place, p.rows - 1u);
  let width = p.stride / 4u;
  let own = row * width;
  var at: array<u32, LOADS>;
  for (var q = 0u; q < LOADS; q++) {
    let item = (q * LANES + lane) % 16u;
    // Fewer than four pivots: the last row stands in, and nobody looks at what comes of it.
    at[q] = min(state[4u + item / 4u], p.rows - 1u) * width + item % 4u;
  }
  var sum0 = Sum(vec4f(), vec4f());
  var sum1 = sum0;
  var sum2 = sum0;
  var sum3 = sum0;
  // Columns from state[0] to the end of their vec4 are zero; vec4 beyond may hold anything.
  let steps = (state[0] + 3u) / 4u;
  for (var i = 0u; i < steps; i += 4u) {
    var z: array<vec4f, LOADS>;
    for (var q = 0u; q < LOADS; q++) {
      let step = i + (q * LANES + lane) % 4u;
      z[q] = select(vec4f(), l[at[q] + i], step < steps);
    }
    {
      let x = select(vec4f(), l[own + min(i + 0u, steps - 1u)], i + 0u < steps);
      let x1 = head(x);
      let x2 = x - x1;
      sum0 = addProduct(sum0, x1, x2, subgroupBroadcast(z[0u / LANES % LOADS], 0u % LANES));
      sum1 = addProduct(sum1, x1, x2, subgroupBroadcast(z[4u / LANES % LOADS], 4u % LANES));
      sum2 = addProduct(sum2, x1, x2, subgroupBroadcast(z[8u / LANES % LOADS], 8u % LANES));
      sum3 = addProduct(sum3, x1, x2, subgroupBroadcast(z[12u / LANES % LOADS], 12u % LANES));
    }
    {
      let x = select(vec4f(), l[own + min(i + 1u, steps - 1u)], i + 1u < steps);
      let x1 = head(x);
      let x2 = x - x1;
      sum0 = addProduct(sum0, x1, x2, subgroupBroadcast(z[1u / LANES % LOADS], 1u % LANES));
      sum1 = addProduct(sum1, x1, x2, subgroupBroadcast(z[5u / LANES % LOADS], 5u % LANES));
      sum2 = addProduct(sum2, x1, x2, subgroupBroadcast(z[9u / LANES % LOADS], 9u % LANES));
      sum3 = addProduct(sum3, x1, x2, subgroupBroadcast(z[13u / LANES % LOADS], 13u % LANES));
    }
    {
      let x = select(vec4f(), l[own + min(i + 2u, steps - 1u)], i + 2u < steps);
      let x1 = head(x);
      let x2 = x - x1;
      sum0 = addProduct(sum0, x1, x2, subgroupBroadcast(z[2u / LANES % LOADS], 2u % LANES));
      sum1 = addProduct(sum1, x1, x2, subgroupBroadcast(z[6u / LANES % LOADS], 6u % LANES));
      sum2 = addProduct(sum2, x1, x2, subgroupBroadcast(z[10u / LANES % LOADS], 10u % LANES));
      sum3 = addProduct(sum3, x1, x2, subgroupBroadcast(z[14u / LANES % LOADS], 14u % LANES));
    }
    {
      let x = select(vec4f(), l[own + min(i + 3u, steps - 1u)], i + 3u < steps);
      let x1 = head(x);
      let x2 = x - x1;
      sum0 = addProduct(sum0, x1, x2, subgroupBroadcast(z[3u / LANES % LOADS], 3u % LANES));
      sum1 = addProduct(sum1, x1, x2, subgroupBroadcast(z[7u / LANES % LOADS], 7u % LANES));
      sum2 = addProduct(sum2, x1, x2, subgroupBroadcast(z[11u / LANES % LOADS], 11u % LANES));
      sum3 = addProduct(sum3, x1, x2, subgroupBroadcast(z[15u / LANES % LOADS], 15u % LANES));
    }
  }
  let a = rest(row, state[4], sum0);
  let b = rest(row, state[5], sum1);
  let c = rest(row, state[6], sum2);
  let d = rest(row, state[7], sum3);
  if (place < p.rows) {
    products[2u * row] = vec4f(a.x, b.x, c.x, d.x);
    products[2u * row + 1u] = vec4f(a.y, b.y, c.y, d.y);
  }
}
