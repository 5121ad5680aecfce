// Q = P ∘ (α αᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)) with T = W ∘ (S αᵀ), so that n · AGOP = Xᵀ Q X.
// P = WᵀW and W are symmetric n × n; alpha and s hold α and S = W α transposed (outputs × n).
// Q is symmetric: its lower half is computed and mirrored. It may replace P.
requires immediate_address_space;

struct Params {
  n: u32,
  outputs: u32,
  strideW: u32,
  stride: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> alpha: array<f32>;
@group(0) @binding(2) var<storage, read> s: array<f32>;
@group(0) @binding(3) var<storage, read_write> q: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let col = id.x;
  if (row >= p.n || col > row) { return; }
  var aa = 0.0;
  var sa = 0.0;
  var ss = 0.0;
  for (var c = 0u; c < p.outputs; c++) {
    let alphaRow = alpha[c * p.stride + row];
    let alphaCol = alpha[c * p.stride + col];
    let sRow = s[c * p.stride + row];
    let sCol = s[c * p.stride + col];
    aa += alphaRow * alphaCol;
    sa += sRow * alphaCol + sCol * alphaRow;
    ss += sRow * sCol;
  }
  let at = row * p.strideW + col;
  let value = q[at] * aa - w[at] * sa + select(0.0, ss, row == col);
  q[at] = value;
  q[col * p.strideW + row] = value;
}
