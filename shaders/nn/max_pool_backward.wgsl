// Gradient of max_pool.wgsl: each input pixel gathers the gradients of the windows it won. `winner` is read at the
// index modulo `period`: several gradients in a row may share one forward pass.
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
  // Windows that the pixel is in: those that begin at most size − 1 before it.
  let endX = min(x / p.stride + 1u, p.outWidth);
  let endY = min(y / p.stride + 1u, p.outHeight);
  var sum = vec4f();
  for (var oy = firstWindow(y); oy < endY; oy++) {
    for (var ox = firstWindow(x); ox < endX; ox++) {
      let at = ((sample * p.outHeight + oy) * p.outWidth + ox) * p.channels + slot;
      let place = (y - oy * p.stride) * p.size + x - ox * p.stride;
      sum += select(vec4f(), dy[at], winner[at % p.period] == vec4u(place));
    }
  }
  dx[i] = sum;
}

fn firstWindow(at: u32) -> u32 {
  return select(0u, (at + p.stride - p.size) / p.stride, at + p.stride >= p.size);
}
