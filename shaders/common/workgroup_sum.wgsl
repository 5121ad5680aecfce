// For kernels whose workgroups have SIZE invocations, a power of two, and that declare `zero: 'zero'`: the compiler does not
// know p.zero, so it does not unroll the loop. With a barrier in each of its steps, that took lavapipe up to a second.

var<workgroup> partial: array<f32, SIZE>;

// The sum of the values of all invocations; invocation 0 alone may use it without a barrier.
fn workgroupSum(index: u32, value: f32) -> f32 {
  partial[index] = value;
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] += partial[index + half]; }
  }
  return partial[0];
}
