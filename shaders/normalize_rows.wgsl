// Divides every row by its length and reports the lengths; a row of zeros stays zero with length 0.
// One workgroup a row. With LENGTHS_ONLY `out` is left alone.
requires immediate_address_space;

// Header: LENGTHS_ONLY: bool.

const SIZE = 64u;

struct Params {
  rows: u32,
  stride: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> lengths: array<f32>;

var<workgroup> partial: array<f32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let start = group.x * p.stride / 4u;
  var sum = 0.0;
  for (var i = index; i < p.stride / 4u; i += SIZE) {
    let x = a[start + i];
    sum += dot(x, x);
  }
  partial[index] = sum;
  for (var half = SIZE / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] += partial[index + half]; }
  }
  workgroupBarrier();
  let length = sqrt(partial[0]);
  let factor = select(0.0, 1.0 / length, length > 0.0);
  for (var i = index; !LENGTHS_ONLY && i < p.stride / 4u; i += SIZE) { out[start + i] = a[start + i] * factor; }
  if (index == 0u) { lengths[group.x] = length; }
}
