// out (1 × n): the sum of the squares of each column of A (m × n). One workgroup four columns; the squares of m/64 rows are
// added by each of its invocations.
const SIZE = 64u;

var<workgroup> partial: array<vec4f, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  var sum = vec4f();
  for (var row = index; row < p.m; row += SIZE) {
    let value = a[row * p.stride / 4u + group.x];
    sum += value * value;
  }
  partial[index] = sum;
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] += partial[index + half]; }
  }
  if (index == 0u) { out[group.x] = partial[0]; }
}
