// Maximum over square windows (size × size, stride, pad) of images, pixels × channels (NHWC). `winner`
// keeps the window position (row-major) of the first largest value, for the gradient. Pixels outside do not take part.
requires immediate_address_space;

struct Params {
  count: u32,
  height: u32,
  width: u32,
  channels: u32, // in vec4
  outHeight: u32,
  outWidth: u32,
  size: u32,
  stride: u32,
  pad: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> winner: array<vec4u>;

// Not a comparison of x with itself, which is not sure to tell a NaN.
fn isNan(x: vec4f) -> vec4<bool> { return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u); }

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= p.count) { return; }
  let slot = i % p.channels;
  let pixel = i / p.channels;
  let ox = pixel % p.outWidth;
  let oy = (pixel / p.outWidth) % p.outHeight;
  let sample = pixel / (p.outWidth * p.outHeight);
  var best = vec4f();
  var place = vec4u();
  var empty = true;
  for (var ky = 0u; ky < p.size; ky++) {
    for (var kx = 0u; kx < p.size; kx++) {
      let iy = oy * p.stride + ky - p.pad;
      let ix = ox * p.stride + kx - p.pad;
      if (iy >= p.height || ix >= p.width) { continue; }
      let value = x[((sample * p.height + iy) * p.width + ix) * p.channels + slot];
      // Nothing is larger than a NaN, which stays.
      let larger = (value > best) | isNan(value) | vec4<bool>(empty);
      best = select(best, value, larger);
      place = select(place, vec4u(ky * p.size + kx), larger);
      empty = false;
    }
  }
  out[i] = best;
  winner[i] = place;
}
