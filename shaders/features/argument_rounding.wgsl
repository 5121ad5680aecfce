// How far rounding may move arguments of a cosine: sums (1 × m) has for each row of A (m × n) the sum of min(1, |a| · 2⁻²²),
// a few units of an argument's last digit, which is all of a cosine where that digit is before the point. One workgroup a
// row.
requires immediate_address_space;

const SIZE = 64u;
const UNIT = 2.384185791015625e-7;

struct Params {
  cols: u32,
  stride: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

var<workgroup> partial: array<f32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  var sum = 0.0;
  for (var col = index; col < p.cols; col += SIZE) {
    let rounding = abs(a[group.x * p.stride + col]) * UNIT;
    // A NaN is not below 1, either.
    sum += select(1.0, rounding, rounding < 1.0);
  }
  partial[index] = sum;
  for (var half = SIZE / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] += partial[index + half]; }
  }
  if (index == 0u) { sums[group.x] = partial[0]; }
}
