// Q = P ∘ (α αᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)) with T = W ∘ (S αᵀ), so that n · AGOP = Xᵀ Q X.
// P = WᵀW and W are symmetric n × n; alpha and s + sLow hold α and S = W α transposed (outputs × n).
// q + qLow is P at first and Q at the end; the lower half is computed and mirrored.
//
// The terms cancel, so everything is double-float (two float32; products of 12-bit halves are exact).
requires immediate_address_space;

struct Params {
  n: u32,
  outputs: u32,
  strideW: u32,
  stride: u32,
  zero: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> alpha: array<f32>;
@group(0) @binding(2) var<storage, read> s: array<f32>;
@group(0) @binding(3) var<storage, read> sLow: array<f32>;
@group(0) @binding(4) var<storage, read_write> q: array<f32>;
@group(0) @binding(5) var<storage, read_write> qLow: array<f32>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }

// The first 12 significant bits; the product of two such numbers is exact in float32.
fn head(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }

// t + x with the error of the sum in the low part (Knuth's two-sum).
fn add(t: vec2f, x: f32) -> vec2f {
  let sum = opaque(t.x + x);
  let part = opaque(sum - t.x);
  return vec2f(sum, t.y + ((t.x - opaque(sum - part)) + (x - part)));
}

fn addProduct(t: vec2f, x: vec2f, z: vec2f) -> vec2f {
  let x1 = head(x.x);
  let x2 = x.x - x1;
  let z1 = head(z.x);
  let z2 = z.x - z1;
  var sum = add(t, x1 * z1);
  sum.y += x1 * z2 + x2 * z1 + x2 * z2 + (x.x * z.y + x.y * z.x);
  return sum;
}

fn renormalize(t: vec2f) -> vec2f {
  let sum = opaque(t.x + t.y);
  return vec2f(sum, t.y - opaque(sum - t.x));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let col = id.x;
  if (row >= p.n || col > row) { return; }
  var aa = vec2f();
  var sa = vec2f();
  var ss = vec2f();
  for (var c = 0u; c < p.outputs; c++) {
    let atRow = c * p.stride + row;
    let atCol = c * p.stride + col;
    let alphaRow = vec2f(alpha[atRow], 0.0);
    let alphaCol = vec2f(alpha[atCol], 0.0);
    let sRow = vec2f(s[atRow], sLow[atRow]);
    let sCol = vec2f(s[atCol], sLow[atCol]);
    aa = addProduct(aa, alphaRow, alphaCol);
    sa = addProduct(addProduct(sa, sRow, alphaCol), sCol, alphaRow);
    if (row == col) { ss = addProduct(ss, sRow, sRow); }
  }
  let at = row * p.strideW + col;
  var sum = addProduct(ss, vec2f(q[at], qLow[at]), renormalize(aa));
  sum = renormalize(addProduct(sum, vec2f(-w[at], 0.0), renormalize(sa)));
  q[at] = sum.x;
  qLow[at] = sum.y;
  q[col * p.strideW + row] = sum.x;
  qLow[col * p.strideW + row] = sum.y;
}
