// Images whose channels are not a multiple of four: from pixels × channels, each pixel padded to `stride` numbers, to one
// row of pixels · channels numbers for each sample, padded to `rowStride`. BACK: the other way. Padding becomes zero.
#include "flat_index.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = flatIndex(group, groups, local);
  if (i >= p.count) { return; }
  var value = 0.0;
  if (BACK) {
    let channel = i % p.stride;
    let pixel = (i / p.stride) % p.pixels;
    let sample = i / (p.stride * p.pixels);
    if (channel < p.channels) { value = a[sample * p.rowStride + pixel * p.channels + channel]; }
  } else {
    let col = i % p.rowStride;
    let sample = i / p.rowStride;
    if (col < p.pixels * p.channels) {
      value = a[(sample * p.pixels + col / p.channels) * p.stride + col % p.channels];
    }
  }
  out[i] = value;
}
