// squares[firstBlock + r] = the sum of the squared entries of block r on the diagonal of A, blocks of SIZE × SIZE. One workgroup a
// block.

const INVOCATIONS = 32u;

var<workgroup> partial: array<f32, INVOCATIONS>;

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let first = group.x * SIZE;
  var sum = 0.0;
  for (var entry = index; entry < SIZE * SIZE; entry += INVOCATIONS) {
    let value = a[(first + entry / SIZE) * p.stride + first + entry % SIZE];
    sum += value * value;
  }
  partial[index] = sum;
  for (var half = INVOCATIONS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] += partial[index + half]; }
  }
  if (index == 0u) { squares[p.firstBlock + group.x] = partial[0]; }
}
