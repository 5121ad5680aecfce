// Q = P ∘ (α αᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)) with T = W ∘ (S αᵀ), so that n · AGOP = Xᵀ Q X.
// P = WᵀW and W are symmetric n × n; of all three this is one tile, m × n, of the lower triangle. For its rows and for
// its columns `rows` and `cols` hold α, S = W α and what float32 lacks of S, transposed, one below the other
// (3 · outputs × m, 3 · outputs × n). q + qLow is P at first and Q at the end. Of a tile on the diagonal the lower half
// is computed and mirrored.
//
// The terms cancel, so everything is double-float (two float32; products of 12-bit halves are exact).
requires immediate_address_space;

// Header: DIAGONAL: bool.

struct Params {
  m: u32,
  n: u32,
  outputs: u32,
  strideW: u32,
  strideRows: u32,
  strideCols: u32,
  zero: u32,
  firstRow: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read> cols: array<f32>;
@group(0) @binding(3) var<storage, read_write> q: array<f32>;
@group(0) @binding(4) var<storage, read_write> qLow: array<f32>;

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
  let row = p.firstRow + id.y;
  let col = id.x;
  if (row >= p.m || col >= p.n || (DIAGONAL && col > row)) { return; }
  let own = DIAGONAL && row == col;
  let lowRows = p.outputs * p.strideRows;
  let lowCols = p.outputs * p.strideCols;
  var aa = vec2f();
  var sa = vec2f();
  var ss = vec2f();
  for (var c = 0u; c < p.outputs; c++) {
    let atRow = c * p.strideRows + row;
    let atCol = c * p.strideCols + col;
    let alphaRow = vec2f(rows[atRow], 0.0);
    let alphaCol = vec2f(cols[atCol], 0.0);
    let sRow = vec2f(rows[lowRows + atRow], rows[2u * lowRows + atRow]);
    let sCol = vec2f(cols[lowCols + atCol], cols[2u * lowCols + atCol]);
    aa = addProduct(aa, alphaRow, alphaCol);
    sa = addProduct(addProduct(sa, sRow, alphaCol), sCol, alphaRow);
    if (own) { ss = addProduct(ss, sRow, sRow); }
  }
  let at = row * p.strideW + col;
  var sum = addProduct(ss, vec2f(q[at], qLow[at]), renormalize(aa));
  sum = renormalize(addProduct(sum, vec2f(-w[at], 0.0), renormalize(sa)));
  q[at] = sum.x;
  qLow[at] = sum.y;
  if (DIAGONAL) {
    q[col * p.strideW + row] = sum.x;
    qLow[col * p.strideW + row] = sum.y;
  }
}
