// R = Y − A (K + ridge I), transposed layout: A = alpha + alphaLow, Y, R are outputs × n; K is the n × n kernel matrix of
// squared distances. CLASSES outputs from firstOutput on. One workgroup a row of K.
//
// K may come in tiles: this is what one of them (m × n) takes off the columns of R that belong to its rows.
// The first of a row of tiles starts from Y (flag 1), later ones from residual + residualLow; the tile on the
// diagonal (flag 2) takes off the ridge as well.
//
// Everything is double-float (two float32, about 48 bits; products of 12-bit halves are exact), and
// so are the kernel values: a float32 sum could not tell a residual of 1e-6 from its own rounding,
// and K rounded to float32 moves α by 2e-6 at a condition number of 6e3, float32 distances by 1e-6:
// either was the largest error of a whole layer. Hence K from squared distances `squared + low`.
requires immediate_address_space;

// Header: GAUSSIAN: bool, CLASSES: u32.

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
  firstRow: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> squared: array<f32>;
@group(0) @binding(1) var<storage, read> alpha: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> low: array<f32>;
@group(0) @binding(4) var<storage, read_write> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> residualLow: array<f32>;
@group(0) @binding(6) var<storage, read> alphaLow: array<f32>;

var<workgroup> partial: array<vec2f, SIZE>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }

// The first 12 significant bits; the product of two such numbers is exact in float32.
fn head(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }

// s + x with the error of the sum in the low part (Knuth's two-sum).
fn add(s: vec2f, x: f32) -> vec2f {
  let sum = opaque(s.x + x);
  let part = opaque(sum - s.x);
  return vec2f(sum, s.y + ((s.x - opaque(sum - part)) + (x - part)));
}

// s + x z; x z is the sum of four products of halves.
fn addProduct(s: vec2f, x: f32, z: f32) -> vec2f {
  let x1 = head(x);
  let x2 = x - x1;
  let z1 = head(z);
  let z2 = z - z1;
  var t = add(s, x1 * z1);
  t.y += x1 * z2 + x2 * z1 + x2 * z2;
  return t;
}

// High and low part summed again, so that the low part is below the high part's last bit.
fn renormalize(s: vec2f) -> vec2f {
  let sum = opaque(s.x + s.y);
  return vec2f(sum, s.y - opaque(sum - s.x));
}

fn times(a: vec2f, b: vec2f) -> vec2f {
  var t = addProduct(vec2f(), a.x, b.x);
  t.y += a.x * b.y + a.y * b.x;
  return renormalize(t);
}

// exp(x) for x ≤ 0 with a relative error of about 1e-9: x = q ln 2 + r, then 1 + r + r²/2 in
// double-float and the rest of the series, at most 0.008, in float32.
fn exponential(x: vec2f) -> vec2f {
  if (x.x < -87.0) { return vec2f(); }
  let q = round(x.x * 1.44269504088896341);
  var r = vec2f(x.x - q * 0.693359375, 0.0);
  r = addProduct(r, q, 2.1219253540039062e-4);
  r.y += q * 1.9046542121259336e-9 + x.y;
  r = renormalize(r);
  let z = r.x;
  var tail = 2.48015873e-5;
  tail = fma(tail, z, 1.98412698e-4);
  tail = fma(tail, z, 1.38888889e-3);
  tail = fma(tail, z, 8.33333333e-3);
  tail = fma(tail, z, 4.16666667e-2);
  tail = fma(tail, z, 1.66666667e-1);
  tail *= z * z * z;
  let square = 0.5 * times(r, r);
  var s = add(vec2f(1.0, 0.0), r.x);
  s = add(s, square.x);
  s = add(s, tail);
  s.y += r.y + square.y;
  return renormalize(s) * bitcast<f32>((i32(q) + 127) << 23u);
}

fn kernelValue(square: f32, rest: f32) -> vec2f {
  let rate = vec2f(p.rateHigh, p.rateLow);
  if (GAUSSIAN) { return exponential(-times(vec2f(square, rest), rate)); }
  if (square == 0.0) { return vec2f(1.0, 0.0); }
  // One Newton step gives the digits of the root that float32 lacks.
  let root = sqrt(square);
  let missing = addProduct(vec2f(square, rest), -root, root);
  return exponential(-times(vec2f(root, (missing.x + missing.y) / (2.0 * root)), rate));
}

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = p.firstRow + group.x;
  var sums = array<vec2f, CLASSES>();
  for (var j = index; j < p.n; j += SIZE) {
    let k = kernelValue(squared[row * p.strideK + j], low[row * p.strideK + j]);
    for (var c = 0u; c < CLASSES; c++) {
      let at = (p.firstOutput + c) * p.strideAlpha + j;
      let a = alpha[at];
      var s = addProduct(sums[c], k.x, a);
      s.y += k.y * a + k.x * alphaLow[at];
      sums[c] = s;
    }
  }
  for (var c = 0u; c < CLASSES; c++) {
    workgroupBarrier();
    partial[index] = sums[c];
    for (var half = SIZE / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (index < half) {
        var both = add(partial[index], partial[index + half].x);
        both.y += partial[index + half].y;
        partial[index] = both;
      }
    }
    if (index == 0u) {
      let output = p.firstOutput + c;
      let at = output * p.stride + row;
      var s = partial[0];
      if ((p.flags & 2u) != 0u) {
        let own = output * p.strideAlpha + row;
        s = addProduct(s, p.ridgeHigh, alpha[own]);
        s.y += p.ridgeLow * alpha[own] + p.ridgeHigh * alphaLow[own];
      }
      if ((p.flags & 1u) != 0u) {
        s = add(s, -y[at]);
      } else {
        s = add(s, -residual[at]);
        s.y -= residualLow[at];
      }
      s = renormalize(s);
      residual[at] = -s.x;
      residualLow[at] = -s.y;
      if (row == 0u) {
        for (var i = p.m; i < p.stride; i++) {
          residual[output * p.stride + i] = 0.0;
          residualLow[output * p.stride + i] = 0.0;
        }
      }
    }
  }
}
