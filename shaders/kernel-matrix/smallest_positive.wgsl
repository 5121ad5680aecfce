// The smallest entry above 0 of an m × n matrix: `result` becomes the smaller of itself and that, as bits, which are in the
// order of the numbers. One workgroup a row.
const SIZE = 64u;

var<workgroup> partial: array<u32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  var best = 0xffffffffu;
  for (var col = index; col < p.cols; col += SIZE) {
    let x = a[group.x * p.stride + col];
    if (x > 0.0) { best = min(best, bitcast<u32>(x)); }
  }
  partial[index] = best;
  for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] = min(partial[index], partial[index + half]); }
  }
  if (index == 0u) { atomicMin(&result[0], partial[0]); }
}
