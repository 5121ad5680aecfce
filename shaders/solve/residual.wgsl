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

// Before this text: the kernel's, double_float4.wgsl and kernel_value.wgsl. Header: CLASSES: u32 (1 to 10).

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
  // What kernelExponent4 takes, as high and low part.
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

var<workgroup> partial: array<array<Pair4, SIZE>, CLASSES>;

fn kernelValues(square: vec4f, rest: vec4f) -> Pair4 {
  return exponential4(kernelExponent4(Pair4(square, rest), Pair4(vec4f(p.rateHigh), vec4f(p.rateLow))));
}

// sum + k · (alpha + alphaLow) of an output in column j.
fn take(sum: Pair4, k: Pair4, output: u32, j: u32) -> Pair4 {
  let at = (p.firstOutput + output) * p.strideAlpha + j;
  let a = vec4f(alpha[at]);
  var s = addProduct4(sum, k.high, a);
  s.low += k.low * a + k.high * alphaLow[at];
  return s;
}

fn store(output: u32, row: u32, high: f32, rest: f32) {
  let at = output * p.stride + row;
  var s = Pair4(vec4f(high), vec4f(rest));
  if ((p.flags & 2u) != 0u) {
    let own = output * p.strideAlpha + row;
    s = addProduct4(s, vec4f(p.ridgeHigh), vec4f(alpha[own]));
    s.low += vec4f(p.ridgeLow * alpha[own] + p.ridgeHigh * alphaLow[own]);
  }
  if ((p.flags & 1u) != 0u) {
    s = add4(s, vec4f(-y[at]));
  } else {
    s = add4(s, vec4f(-residual[at]));
    s.low -= vec4f(residualLow[at]);
  }
  s = renormalize4(s);
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
  var s0: Pair4;
  var s1: Pair4;
  var s2: Pair4;
  var s3: Pair4;
  var s4: Pair4;
  var s5: Pair4;
  var s6: Pair4;
  var s7: Pair4;
  var s8: Pair4;
  var s9: Pair4;
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
      for (var c = 0u; c < CLASSES; c++) { partial[c][index] = plus4(partial[c][index], partial[c][index + half]); }
    }
  }
  workgroupBarrier();
  // A number each: of the four components the first counts.
  for (var e = index; e < 4u * CLASSES; e += SIZE) {
    let row = 4u * (p.first + group.x) + e % 4u;
    if (row < p.m) { store(p.firstOutput + e / 4u, row, partial[e / 4u][0].high[e % 4u], partial[e / 4u][0].low[e % 4u]); }
  }
}
