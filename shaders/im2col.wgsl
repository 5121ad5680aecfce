// The patches that a convolution looks at, one row for each output pixel: out[pixel][tap][channel] is the input at
// (oy · stride + ky − pad, ox · stride + kx − pad), zero outside. Images are pixels × channels (NHWC), channels padded
// by zeros to whole vec4, so that each access is one vec4 on both sides.
// Only taps tapFirst … tapFirst + taps − 1 (row-major over the kernel) and samples from sampleFirst on.
//
// TRANSPOSED: out[tap][channel][pixel], for the gradient of the weights, which sums over pixels. An invocation then
// moves a 4 × 4 block; pixels beyond the last become the zeros of the padding.
requires immediate_address_space;

// Header: TRANSPOSED: bool.

struct Params {
  count: u32,
  pixels: u32,
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

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;

fn patchOf(pixel: u32, tap: u32, slot: u32) -> vec4f {
  let ox = pixel % p.outWidth;
  let oy = (pixel / p.outWidth) % p.outHeight;
  let sample = p.sampleFirst + pixel / (p.outWidth * p.outHeight);
  let t = p.tapFirst + tap;
  // Below zero wraps around and fails the comparison.
  let iy = oy * p.stride + t / p.kernelWidth - p.pad;
  let ix = ox * p.stride + t % p.kernelWidth - p.pad;
  if (pixel >= p.pixels || iy >= p.height || ix >= p.width) { return vec4f(); }
  return x[((sample * p.height + iy) * p.width + ix) * p.channels + slot];
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= p.count) { return; }
  if (TRANSPOSED) {
    let quads = (p.pixels + 3u) / 4u;
    let pixel = 4u * (i % quads);
    let row = i / quads;
    let tap = row / p.channels;
    let slot = row % p.channels;
    let m = transpose(mat4x4f(
      patchOf(pixel, tap, slot), patchOf(pixel + 1u, tap, slot), patchOf(pixel + 2u, tap, slot), patchOf(pixel + 3u, tap, slot),
    ));
    let at = 4u * row * quads + i % quads;
    out[at] = m[0];
    out[at + quads] = m[1];
    out[at + 2u * quads] = m[2];
    out[at + 3u * quads] = m[3];
  } else {
    let slot = i % p.channels;
    let tap = (i / p.channels) % p.taps;
    out[i] = patchOf(i / (p.channels * p.taps), tap, slot);
  }
}
