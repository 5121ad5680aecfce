// The transpose of im2col: each input pixel gathers its share of the gradients of the patches it was part of. A gather
// and not a scatter, so no atomics and one order of summation on every device.
// cols[pixel][tap][channel] holds the output pixels of samples sampleFirst … sampleFirst + samples − 1.
requires immediate_address_space;

struct Params {
  count: u32,
  height: u32,
  width: u32,
  channels: u32, // in vec4
  outHeight: u32,
  outWidth: u32,
  kernelWidth: u32,
  stride: u32,
  pad: u32,
  tapFirst: u32,
  taps: u32,
  sampleFirst: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> cols: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> dx: array<vec4f>;

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
  for (var tap = 0u; tap < p.taps; tap++) {
    let t = p.tapFirst + tap;
    // Below zero wraps around and fails the comparison: outHeight · stride is far below 2³¹.
    let y = iy + p.pad - t / p.kernelWidth;
    let x = ix + p.pad - t % p.kernelWidth;
    if (y % p.stride != 0u || x % p.stride != 0u) { continue; }
    let oy = y / p.stride;
    let ox = x / p.stride;
    if (y >= 0x80000000u || x >= 0x80000000u || oy >= p.outHeight || ox >= p.outWidth) { continue; }
    sum += cols[(((sample * p.outHeight + oy) * p.outWidth + ox) * p.taps + tap) * p.channels + slot];
  }
  dx[p.sampleFirst * p.height * p.width * p.channels + i] = sum;
}
