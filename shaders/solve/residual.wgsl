// R = Y − A (K + ridge I), transposed layout: A = alpha + alphaLow, Y, R are outputs × n; K is the n × n kernel matrix of
// squared distances. CLASSES outputs from firstOutput on.
//
// K may come in tiles: this is what one of them (m × n) takes off the columns of R that belong to its rows.
// The first of a row of tiles starts from Y (flag 1), later ones from residual + residualLow; the tile on the
// diagonal (flag 2) takes off the ridge as well.
//
// Everything is double-float (two float32, about 48 bits; products of 12-bit halves are exact), and
// so are the kernel values: a float32 sum could not tell a residual of 1e-6 from its own rounding,
// and K rounded to float32 moves α by 2e-6 at a condition number of 6e3, float32 distances by 1e-6:
// either was the largest error of a whole layer. Hence K from squared distances `squared + low`.
//
// A workgroup takes four rows at a time, the components of its vectors: what is loaded of alpha, most of all loads,
// serves four of them.
requires immediate_address_space;

// Header: GAUSSIAN: bool, CLASSES: u32 (1 to 10).

const SIZE = 32u;

struct Params {
  m: u32,
  n: u32,
  strideK: u32,
  // Of alpha, which belongs to the columns of the tile.
  strideAlpha: u32,
  // Of Y and R.
  stride: u32,
  firstOutput: u32,
  // Laplace: 1/L, Gaussian: 1/(2L²), as high and low part.
  rateHigh: f32,
  rateLow: f32,
  ridgeHigh: f32,
  ridgeLow: f32,
  flags: u32,
  zero: u32,
  // Of this dispatch, in workgroups.
  first: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> squared: array<f32>;
@group(0) @binding(1) var<storage, read> alpha: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> low: array<f32>;
@group(0) @binding(4) var<storage, read_write> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> residualLow: array<f32>;
@group(0) @binding(6) var<storage, read> alphaLow: array<f32>;

// Four numbers high + low.
struct Pair {
  high: vec4f,
  low: vec4f,
}

var<workgroup> partial: array<array<Pair, SIZE>, CLASSES>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) ^ vec4u(p.zero)); }

// The first 12 significant bits; the product of two such numbers is exact in float32.
fn head(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) & vec4u(0xfffff000u)); }

// s + x with the error of the sum in the low part (Knuth's two-sum).
fn add(s: Pair, x: vec4f) -> Pair {
  let sum = opaque(s.high + x);
  let part = opaque(sum - s.high);
  return Pair(sum, s.low + ((s.high - opaque(sum - part)) + (x - part)));
}

fn plus(a: Pair, b: Pair) -> Pair {
  let sum = add(a, b.high);
  return Pair(sum.high, sum.low + b.low);
}

// s + x z; x z is the sum of four products of halves.
fn addProduct(s: Pair, x: vec4f, z: vec4f) -> Pair {
  let x1 = head(x);
  let x2 = x - x1;
  let z1 = head(z);
  let z2 = z - z1;
  var t = add(s, x1 * z1);
  t.low += x1 * z2 + x2 * z1 + x2 * z2;
  return t;
}

// High and low part summed again, so that the low part is below the high part's last bit.
fn renormalize(s: Pair) -> Pair {
  let sum = opaque(s.high + s.low);
  return Pair(sum, s.low - opaque(sum - s.high));
}

fn times(a: Pair, b: Pair) -> Pair {
  var t = addProduct(Pair(), a.high, b.high);
  t.low += a.high * b.low + a.low * b.high;
  return renormalize(t);
}

// exp(−x) for x ≥ 0 with a relative error of about 1e-9: −x = q ln 2 + r, then 1 + r + r²/2 in
// double-float and the rest of the series, at most 0.008, in float32.
fn exponential(x: Pair) -> Pair {
  let vanishes = x.high > vec4f(87.0);
  let high = -min(x.high, vec4f(87.0));
  let q = round(high * 1.44269504088896341);
  var r = Pair(high - q * 0.693359375, vec4f());
  r = addProduct(r, q, vec4f(2.1219253540039062e-4));
  // Where the value vanishes the low part may be of any size, and infinity times 0 would be NaN.
  r.low += q * 1.9046542121259336e-9 - select(x.low, vec4f(), vanishes);
  r = renormalize(r);
  let z = r.high;
  var tail = vec4f(2.48015873e-5);
  tail = fma(tail, z, vec4f(1.98412698e-4));
  tail = fma(tail, z, vec4f(1.38888889e-3));
  tail = fma(tail, z, vec4f(8.33333333e-3));
  tail = fma(tail, z, vec4f(4.16666667e-2));
  tail = fma(tail, z, vec4f(1.66666667e-1));
  tail *= z * z * z;
  let square = times(r, r);
  var s = add(Pair(vec4f(1.0), vec4f()), z);
  s = add(s, 0.5 * square.high);
  s = add(s, tail);
  s.low += r.low + 0.5 * square.low;
  s = renormalize(s);
  let scale = select(bitcast<vec4f>((vec4i(q) + vec4i(127)) << vec4u(23u)), vec4f(), vanishes);
  return Pair(s.high * scale, s.low * scale);
}

fn kernelValues(square: vec4f, rest: vec4f) -> Pair {
  let rate = Pair(vec4f(p.rateHigh), vec4f(p.rateLow));
  if (GAUSSIAN) { return exponential(times(Pair(square, rest), rate)); }
  let same = square == vec4f();
  // One Newton step gives the digits of the root that float32 lacks.
  let root = sqrt(select(square, vec4f(1.0), same));
  let missing = addProduct(Pair(square, rest), -root, root);
  let k = exponential(times(Pair(root, (missing.high + missing.low) / (2.0 * root)), rate));
  return Pair(select(k.high, vec4f(1.0), same), select(k.low, vec4f(), same));
}

// sum + k · (alpha + alphaLow) of an output in column j.
fn take(sum: Pair, k: Pair, output: u32, j: u32) -> Pair {
  let at = (p.firstOutput + output) * p.strideAlpha + j;
  let a = vec4f(alpha[at]);
  var s = addProduct(sum, k.high, a);
  s.low += k.low * a + k.high * alphaLow[at];
  return s;
}

fn store(output: u32, row: u32, high: f32, rest: f32) {
  let at = output * p.stride + row;
  var s = Pair(vec4f(high), vec4f(rest));
  if ((p.flags & 2u) != 0u) {
    let own = output * p.strideAlpha + row;
    s = addProduct(s, vec4f(p.ridgeHigh), vec4f(alpha[own]));
    s.low += vec4f(p.ridgeLow * alpha[own] + p.ridgeHigh * alphaLow[own]);
  }
  if ((p.flags & 1u) != 0u) {
    s = add(s, vec4f(-y[at]));
  } else {
    s = add(s, vec4f(-residual[at]));
    s.low -= vec4f(residualLow[at]);
  }
  s = renormalize(s);
  residual[at] = -s.high.x;
  residualLow[at] = -s.low.x;
  if (row == 0u) {
    for (var i = p.m; i < p.stride; i++) {
      residual[output * p.stride + i] = 0.0;
      residualLow[output * p.stride + i] = 0.0;
    }
  }
}

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  // Beyond the last row its repetition, which is not stored.
  let rows = min(4u * (p.first + group.x) + vec4u(0u, 1u, 2u, 3u), vec4u(p.m - 1u));
  // One by one, as an array with a variable index would lie in memory.
  var s0: Pair;
  var s1: Pair;
  var s2: Pair;
  var s3: Pair;
  var s4: Pair;
  var s5: Pair;
  var s6: Pair;
  var s7: Pair;
  var s8: Pair;
  var s9: Pair;
  for (var j = index; j < p.n; j += SIZE) {
    let at = rows * p.strideK + j;
    let k = kernelValues(
      vec4f(squared[at.x], squared[at.y], squared[at.z], squared[at.w]),
      vec4f(low[at.x], low[at.y], low[at.z], low[at.w]),
    );
    s0 = take(s0, k, 0u, j);
    if (CLASSES > 1u) { s1 = take(s1, k, 1u, j); }
    if (CLASSES > 2u) { s2 = take(s2, k, 2u, j); }
    if (CLASSES > 3u) { s3 = take(s3, k, 3u, j); }
    if (CLASSES > 4u) { s4 = take(s4, k, 4u, j); }
    if (CLASSES > 5u) { s5 = take(s5, k, 5u, j); }
    if (CLASSES > 6u) { s6 = take(s6, k, 6u, j); }
    if (CLASSES > 7u) { s7 = take(s7, k, 7u, j); }
    if (CLASSES > 8u) { s8 = take(s8, k, 8u, j); }
    if (CLASSES > 9u) { s9 = take(s9, k, 9u, j); }
  }
  // An index beyond CLASSES would not compile, whether or not its line is reached.
  partial[0][index] = s0;
  if (CLASSES > 1u) { partial[min(1u, CLASSES - 1u)][index] = s1; }
  if (CLASSES > 2u) { partial[min(2u, CLASSES - 1u)][index] = s2; }
  if (CLASSES > 3u) { partial[min(3u, CLASSES - 1u)][index] = s3; }
  if (CLASSES > 4u) { partial[min(4u, CLASSES - 1u)][index] = s4; }
  if (CLASSES > 5u) { partial[min(5u, CLASSES - 1u)][index] = s5; }
  if (CLASSES > 6u) { partial[min(6u, CLASSES - 1u)][index] = s6; }
  if (CLASSES > 7u) { partial[min(7u, CLASSES - 1u)][index] = s7; }
  if (CLASSES > 8u) { partial[min(8u, CLASSES - 1u)][index] = s8; }
  if (CLASSES > 9u) { partial[min(9u, CLASSES - 1u)][index] = s9; }
  for (var half = SIZE / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) {
      for (var c = 0u; c < CLASSES; c++) { partial[c][index] = plus(partial[c][index], partial[c][index + half]); }
    }
  }
  workgroupBarrier();
  // A number each: of the four components the first counts.
  for (var e = index; e < 4u * CLASSES; e += SIZE) {
    let row = 4u * (p.first + group.x) + e % 4u;
    if (row < p.m) { store(p.firstOutput + e / 4u, row, partial[e / 4u][0].high[e % 4u], partial[e / 4u][0].low[e % 4u]); }
  }
}
