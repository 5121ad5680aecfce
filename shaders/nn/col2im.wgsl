// The transpose of im2col: each input pixel gathers its share of the gradients of the patches it was part of. A gather
// and not a scatter, so no atomics and one order of summation on every device.
// cols[pixel][tap][channel] holds the output pixels of samples sampleFirst … sampleFirst + samples − 1.
#include "flat_index.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = flatIndex(group, groups, local);
  if (i >= p.count) { return; }
  let pixel = i / p.channels;
  let slot = i - pixel * p.channels;
  let line = pixel / p.width;
  let sample = line / p.height;
  let x = pixel - line * p.width + p.pad;
  let y = line - sample * p.height + p.pad;
  // Patches that the pixel is in: those that begin at most size − 1 before it.
  let endX = min(x / p.stride + 1u, p.outWidth);
  let endY = min(y / p.stride + 1u, p.outHeight);
  var sum = vec4f();
  for (var oy = firstPatch(y); oy < endY; oy++) {
    for (var ox = firstPatch(x); ox < endX; ox++) {
      // Below the first tap it wraps around and fails the comparison.
      let tap = (y - oy * p.stride) * p.size + x - ox * p.stride - p.tapFirst;
      if (tap >= p.taps) { continue; }
      sum += cols[(((sample * p.outHeight + oy) * p.outWidth + ox) * p.taps + tap) * p.channels + slot];
    }
  }
  dx[p.sampleFirst * p.height * p.width * p.channels + i] = sum;
}

fn firstPatch(at: u32) -> u32 {
  return select(0u, (at + p.stride - p.size) / p.stride, at + p.stride >= p.size);
}
