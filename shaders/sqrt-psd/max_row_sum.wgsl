// max_i Σ_j |A_ij|, a bound on the largest eigenvalue of a symmetric matrix. One invocation a row; the
// result carries 0.1 % on top for the rounding of the sums, and begins as 0: it is kept as its bits, which for numbers that are
// not negative are in the same order, a NaN above all.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= p.rows) { return; }
  var sum = vec4f();
  for (var i = 0u; i < p.stride / 4u; i++) { sum += abs(a[row * p.stride / 4u + i]); }
  atomicMax(&result, bitcast<u32>(dot(sum, vec4f(1.0)) * 1.001));
}
