// For kernels whose workgroups have SIZE invocations, a power of two.

var<workgroup> partial: array<f32, SIZE>;

// The sum of the values of all invocations; invocation 0 alone may use it without a barrier.
fn workgroupSum(index: u32, value: f32) -> f32 {
  partial[index] = value;
  for (var half = SIZE / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] += partial[index + half]; }
  }
  return partial[0];
}
