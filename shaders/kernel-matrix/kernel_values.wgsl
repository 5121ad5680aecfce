// From squared distances r² to kernel values k, or to weights w of the kernel's gradient (see `RadialKernel.weightUnit`).
// `nearest` is a distance, 0 where kernel values are not small: relative to that of the nearest rows they are within
// float32 whatever the bandwidth is. At r = 0 a Laplace kernel has no gradient and a Gaussian's is 0: there w = 0, so that
// nothing of a row's own weight is left to cancel.
// EXCESS: k − 1 in place of k, to its own last digit, for bandwidths so large that k is near 1 throughout.
// `diagonal` is added to kernel values where row and column agree (the ridge of a system).
// Before this text: the kernel's, and kernel_value.wgsl. WEIGHTS, EXCESS: bool.

// exp(−x) − 1 for 0 ≤ x ≤ 1/8: its series, whose first omitted term is 1e-10 of it there.
fn excess(x: vec4f) -> vec4f {
  return -x * (1.0 - x * (1.0 / 2.0) * (1.0 - x * (1.0 / 3.0) * (1.0 - x * (1.0 / 4.0) * (1.0 - x * (1.0 / 5.0) * (1.0 - x * (1.0 / 6.0))))));
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
  if (EXCESS) {
    value = excess(kernelExponent(square, scale));
  } else if (!WEIGHTS) {
    value = kernelValue(square, scale) + select(vec4f(), vec4f(p.diagonal), cols == vec4u(row));
  } else {
    value = kernelWeight(square, p.nearest, scale);
    value = select(vec4f(), value, square > vec4f());
  }
  // Columns beyond the last are padding.
  out[at] = select(vec4f(), value, cols < vec4u(p.n));
}
