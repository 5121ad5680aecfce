// max_i Σ_j |A_ij|, a bound on the largest eigenvalue of a symmetric matrix. One workgroup; the
// result carries 0.1 % on top for the rounding of the sums.
requires immediate_address_space;

const SIZE = 64u;

struct Params {
  rows: u32,
  stride: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

var<workgroup> partial: array<f32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  var best = 0.0;
  for (var row = index; row < p.rows; row += SIZE) {
    var sum = vec4f();
    for (var i = 0u; i < p.stride / 4u; i++) { sum += abs(a[row * p.stride / 4u + i]); }
    best = max(best, dot(sum, vec4f(1.0)));
  }
  partial[index] = best;
  for (var half = SIZE / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] = max(partial[index], partial[index + half]); }
  }
  if (index == 0u) { result[0] = partial[0] * 1.001; }
}
