// Gradient of max_pool.wgsl: each input pixel gathers the gradients of the windows it won. `winner` is read at the
// index modulo `period`: several gradients in a row may share one forward pass.
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
  period: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> winner: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
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
