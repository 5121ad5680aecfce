// Maximum over square windows (size × size, stride, pad) of images, pixels × channels (NHWC). `winner`
// keeps the window position (row-major) of the first largest value, for the gradient. Pixels outside do not take part.
#include "flat_index.wgsl"
#include "is_nan.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = flatIndex(group, groups, local);
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
