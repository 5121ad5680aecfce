// The patches that a convolution looks at, one row for each output pixel: out[pixel][tap][channel] is the input at
// (oy · stride + ky − pad, ox · stride + kx − pad), zero outside. Images are pixels × channels (NHWC), channels padded
// by zeros to whole vec4, so that each access is one vec4 on both sides.
// Only taps tapFirst … tapFirst + taps − 1 (row-major over the kernel) and samples from sampleFirst on.
//
// TRANSPOSED: out[tap][channel][pixel], for the gradient of the weights, which sums over pixels. An invocation then
// moves a 4 × 4 block; pixels beyond the last become the zeros of the padding.
#include "flat_index.wgsl"

// Column, row and sample of an output pixel.
fn placeOf(pixel: u32) -> vec3u {
  let line = pixel / p.outWidth;
  let sample = line / p.outHeight;
  return vec3u(pixel - line * p.outWidth, line - sample * p.outHeight, sample);
}

// Row and column of a tap.
fn offsetOf(tap: u32) -> vec2u {
  let row = (p.tapFirst + tap) / p.size;
  return vec2u(row, p.tapFirst + tap - row * p.size);
}

fn patchOf(place: vec3u, exists: bool, tap: vec2u, slot: u32) -> vec4f {
  // Below zero wraps around and fails the comparison.
  let iy = place.y * p.stride + tap.x - p.pad;
  let ix = place.x * p.stride + tap.y - p.pad;
  if (!exists || iy >= p.height || ix >= p.width) { return vec4f(); }
  return x[(((p.sampleFirst + place.z) * p.height + iy) * p.width + ix) * p.channels + slot];
}

fn blockOf(pixel: u32, tap: vec2u, slot: u32) -> mat4x4f {
  let place = placeOf(pixel);
  // Divisions are what this costs on a CPU: four pixels of one line need those of the first only.
  if (p.outWidth % 4u == 0u) {
    let next = vec3u(1u, 0u, 0u);
    let exists = pixel < p.pixels;
    return transpose(mat4x4f(
      patchOf(place, exists, tap, slot), patchOf(place + next, exists, tap, slot),
      patchOf(place + 2u * next, exists, tap, slot), patchOf(place + 3u * next, exists, tap, slot),
    ));
  }
  return transpose(mat4x4f(
    patchOf(place, pixel < p.pixels, tap, slot),
    patchOf(placeOf(pixel + 1u), pixel + 1u < p.pixels, tap, slot),
    patchOf(placeOf(pixel + 2u), pixel + 2u < p.pixels, tap, slot),
    patchOf(placeOf(pixel + 3u), pixel + 3u < p.pixels, tap, slot),
  ));
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = flatIndex(group, groups, local);
  if (i >= p.count) { return; }
  if (TRANSPOSED) {
    let quads = (p.pixels + 3u) / 4u;
    let row = i / quads;
    let quad = i - row * quads;
    let tap = row / p.channels;
    let m = blockOf(4u * quad, offsetOf(tap), row - tap * p.channels);
    let at = 4u * row * quads + quad;
    out[at] = m[0];
    out[at + quads] = m[1];
    out[at + 2u * quads] = m[2];
    out[at + 3u * quads] = m[3];
  } else {
    let at = i / p.channels;
    let pixel = at / p.taps;
    out[i] = patchOf(placeOf(pixel), pixel < p.pixels, offsetOf(at - pixel * p.taps), i - at * p.channels);
  }
}
