// From squared distances to kernel values, or to the weights of the kernel's gradient:
//   Laplace:   k = exp(−r/L),        w = k / (L r), 0 where r = 0 (the kernel has no gradient there)
//   Gaussian:  k = exp(−r²/(2L²)),   w = k / L²
// `diagonal` is added where row and column agree (the ridge of a system).
// ∇_x k(x, z) = w · (z − x).
requires immediate_address_space;

// Header: GAUSSIAN: bool, WEIGHTS: bool.

struct Params {
  m: u32,
  n: u32,
  stride: u32,
  bandwidth: f32,
  diagonal: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> squared: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

// exp(x) for x ≤ 0 to within an ulp or two on every adapter; WGSL's own may err by 3 + 2|x| ulp.
// x = q ln 2 + r, a polynomial for exp(r) (Cephes' expf), and 2^q put into the exponent bits.
fn accurateExp(x: f32) -> f32 {
  if (x < -87.0) { return 0.0; }
  let q = round(x * 1.44269504088896341);
  var r = fma(q, -0.693359375, x);
  r = fma(q, 2.12194440e-4, r);
  var y = 1.9875691500e-4;
  y = fma(y, r, 1.3981999507e-3);
  y = fma(y, r, 8.3334519073e-3);
  y = fma(y, r, 4.1665795894e-2);
  y = fma(y, r, 1.6666665459e-1);
  y = fma(y, r, 5.0000001201e-1);
  y = fma(y * r, r, r) + 1.0;
  return y * bitcast<f32>((i32(q) + 127) << 23u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let col = id.x;
  if (row >= p.m || col >= p.stride) { return; }
  let at = row * p.stride + col;
  if (col >= p.n) {
    out[at] = 0.0;
    return;
  }
  let square = squared[at];
  let scale = 1.0 / p.bandwidth;
  if (GAUSSIAN) {
    let k = accurateExp(-0.5 * square * scale * scale);
    out[at] = select(k, k * scale * scale, WEIGHTS) + select(0.0, p.diagonal, row == col);
  } else {
    let r = sqrt(square);
    let k = accurateExp(-r * scale);
    if (WEIGHTS) {
      out[at] = select(0.0, k * scale / r, square > 0.0);
    } else {
      out[at] = k + select(0.0, p.diagonal, row == col);
    }
  }
}
