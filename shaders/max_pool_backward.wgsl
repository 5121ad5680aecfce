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
  let slot = i % p.channels;
  let pixel = i / p.channels;
  let ix = pixel % p.width;
  let iy = (pixel / p.width) % p.height;
  let sample = pixel / (p.width * p.height);
  var sum = vec4f();
  for (var ky = 0u; ky < p.size; ky++) {
    for (var kx = 0u; kx < p.size; kx++) {
      let y = iy + p.pad - ky;
      let x = ix + p.pad - kx;
      if (y >= 0x80000000u || x >= 0x80000000u || y % p.stride != 0u || x % p.stride != 0u) { continue; }
      let oy = y / p.stride;
      let ox = x / p.stride;
      if (oy >= p.outHeight || ox >= p.outWidth) { continue; }
      let at = ((sample * p.outHeight + oy) * p.outWidth + ox) * p.channels + slot;
      sum += select(vec4f(), dy[at], winner[at % p.period] == vec4u(ky * p.size + kx));
    }
  }
  dx[i] = sum;
}
