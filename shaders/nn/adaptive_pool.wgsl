// Adaptive average pooling of images, pixels × channels (NHWC): output pixel (y, x) is the mean over the input rows
// ⌊y · height / outHeight⌋ … ⌈(y + 1) · height / outHeight⌉ − 1 and the columns likewise; such windows may overlap.
// BACKWARD: a holds the gradients of the output, and each input pixel gathers its share.
#include "flat_index.wgsl"

fn begin(at: u32, size: u32, outSize: u32) -> u32 { return at * size / outSize; }
fn end(at: u32, size: u32, outSize: u32) -> u32 { return ((at + 1u) * size + outSize - 1u) / outSize; }

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
  var sum = vec4f();
  if (BACKWARD) {
    let ix = pixel % p.width;
    let iy = (pixel / p.width) % p.height;
    let sample = pixel / (p.width * p.height);
    for (var y = begin(iy, p.outHeight, p.height); y < end(iy, p.outHeight, p.height); y++) {
      let y0 = begin(y, p.height, p.outHeight);
      let y1 = end(y, p.height, p.outHeight);
      if (iy < y0 || iy >= y1) { continue; }
      for (var x = begin(ix, p.outWidth, p.width); x < end(ix, p.outWidth, p.width); x++) {
        let x0 = begin(x, p.width, p.outWidth);
        let x1 = end(x, p.width, p.outWidth);
        if (ix < x0 || ix >= x1) { continue; }
        sum += a[((sample * p.outHeight + y) * p.outWidth + x) * p.channels + slot] / f32((y1 - y0) * (x1 - x0));
      }
    }
    out[i] = sum;
    return;
  }
  let ox = pixel % p.outWidth;
  let oy = (pixel / p.outWidth) % p.outHeight;
  let sample = pixel / (p.outWidth * p.outHeight);
  let y0 = begin(oy, p.height, p.outHeight);
  let y1 = end(oy, p.height, p.outHeight);
  let x0 = begin(ox, p.width, p.outWidth);
  let x1 = end(ox, p.width, p.outWidth);
  for (var y = y0; y < y1; y++) {
    for (var x = x0; x < x1; x++) {
      sum += a[((sample * p.height + y) * p.width + x) * p.channels + slot];
    }
  }
  out[i] = sum / f32((y1 - y0) * (x1 - x0));
}
