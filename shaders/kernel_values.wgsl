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

@group(0) @binding(0) var<storage, read> squared: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;

// exp(x) for x ≤ 0 to within an ulp or two on every adapter; WGSL's own may err by 3 + 2|x| ulp.
// x = q ln 2 + r, a polynomial for exp(r) (Cephes' expf), and 2^q put into the exponent bits.
fn accurateExp(x: vec4f) -> vec4f {
  let q = round(max(x, vec4f(-88.0)) * 1.44269504088896341);
  var r = fma(q, vec4f(-0.693359375), x);
  r = fma(q, vec4f(2.12194440e-4), r);
  var y = vec4f(1.9875691500e-4);
  y = fma(y, r, vec4f(1.3981999507e-3));
  y = fma(y, r, vec4f(8.3334519073e-3));
  y = fma(y, r, vec4f(4.1665795894e-2));
  y = fma(y, r, vec4f(1.6666665459e-1));
  y = fma(y, r, vec4f(5.0000001201e-1));
  y = fma(y * r, r, r) + 1.0;
  let value = y * bitcast<vec4f>((vec4i(q) + 127) << vec4u(23u));
  return select(value, vec4f(), x < vec4f(-87.0));
}

// Four columns an invocation: on software adapters a vec4 costs as many accesses as a number.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let slot = id.x;
  if (row >= p.m || slot >= p.stride / 4u) { return; }
  let cols = 4u * slot + vec4u(0u, 1u, 2u, 3u);
  let at = row * p.stride / 4u + slot;
  let square = squared[at];
  let scale = 1.0 / p.bandwidth;
  var value: vec4f;
  if (GAUSSIAN) {
    value = accurateExp(-0.5 * square * scale * scale);
    if (WEIGHTS) { value *= scale * scale; }
  } else {
    let r = sqrt(square);
    value = accurateExp(-r * scale);
    if (WEIGHTS) { value = select(vec4f(), value * scale / r, square > vec4f()); }
  }
  if (!WEIGHTS) { value += select(vec4f(), vec4f(p.diagonal), cols == vec4u(row)); }
  // Columns beyond the last are padding.
  out[at] = select(vec4f(), value, cols < vec4u(p.n));
}
