// ‖s x_i − μ_g(i)‖² for each row i of group g(i), where rows starts[g] … starts[g + 1] − 1 form group g, s =
// inverseScale(scale[0]), and the means are of s x. One workgroup a row.
requires immediate_address_space;

#include "inverse_scale.wgsl"

const SIZE = 64u;

struct Params {
  groups: u32,
  stride: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> means: array<vec4f>;
@group(0) @binding(3) var<storage, read> scale: array<u32>;
@group(0) @binding(4) var<storage, read_write> scatter: array<f32>;

var<workgroup> partial: array<f32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = workgroup.x;
  var group = 0u;
  while (group + 1u < p.groups && starts[group + 1u] <= row) { group++; }
  let width = p.stride / 4u;
  let factor = inverseScale(scale[0]);
  var sum = 0.0;
  for (var i = index; i < width; i += SIZE) {
    let d = factor * a[row * width + i] - means[group * width + i];
    sum += dot(d, d);
  }
  partial[index] = sum;
  for (var half = SIZE / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (index < half) { partial[index] += partial[index + half]; }
  }
  if (index == 0u) { scatter[row] = partial[0]; }
}
