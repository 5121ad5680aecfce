// Gradient of a convolution by its weights, dW = dYᵀ · patches, without the patches (im2col.wgsl) in memory: every lane has
// four channels of one tap and goes through the pixels of all samples, 32 outputs at a time. What a subgroup needs of dY
// it loads once, a pixel a lane, and broadcasts; four pixels are added at a time, since the sums lie in memory.
//
// A workgroup for each 32 outputs and 4 · LANES columns: few for the first layers of a network. On a CPU that is enough.
enable subgroups;
requires immediate_address_space;

// Header: LANES: u32.

// Pixels of which a subgroup has dY at a time, and after how many of such blocks sums go into totals.
const PIXELS = 16u;
const CHUNK = 8u;
const BLOCKS = max(1u, PIXELS / LANES);

struct Params {
  pixels: u32,
  outputs: u32,
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
  strideY: u32, // this and what follows in vec4
  offsetOut: u32,
  strideOut: u32,
  firstOutput: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> image: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

// A pixel of the result: where its patch begins in the image (below zero wrapped around), and how to go on.
struct Place {
  pixel: u32,
  ox: u32,
  oy: u32,
  sample: u32,
}

// What a lane sees of a pixel: row and column of its tap, and its channels.
struct Tap {
  row: u32,
  column: u32,
  slot: u32,
}

// The lane's four channels at a place, which moves on to the next pixel.
fn next(place: ptr<function, Place>, tap: Tap) -> vec4f {
  let at = *place;
  let iy = at.oy * p.stride + tap.row;
  let ix = at.ox * p.stride + tap.column;
  let inside = iy < p.height && ix < p.width && at.pixel < p.pixels;
  let value = image[select(0u, ((at.sample * p.height + iy) * p.width + ix) * p.channels + tap.slot, inside)];
  let lineEnds = at.ox + 1u == p.outWidth;
  let imageEnds = lineEnds && at.oy + 1u == p.outHeight;
  (*place).pixel = at.pixel + 1u;
  (*place).ox = select(at.ox + 1u, 0u, lineEnds);
  (*place).oy = select(at.oy + select(0u, 1u, lineEnds), 0u, imageEnds);
  (*place).sample = at.sample + select(0u, 1u, imageEnds);
  return select(vec4f(), value, inside);
}

// Four outputs, from `first` on, and four pixels.
fn add(sum: ptr<function, array<vec4f, 32>>, first: u32, x: mat4x4f, d0: vec4f, d1: vec4f, d2: vec4f, d3: vec4f) {
  (*sum)[first] += x * vec4f(d0.x, d1.x, d2.x, d3.x);
  (*sum)[first + 1u] += x * vec4f(d0.y, d1.y, d2.y, d3.y);
  (*sum)[first + 2u] += x * vec4f(d0.z, d1.z, d2.z, d3.z);
  (*sum)[first + 3u] += x * vec4f(d0.w, d1.w, d2.w, d3.w);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let column = tile.x * LANES + lane;
  let output0 = p.firstOutput + tile.y * 32u;
  let t = p.tapFirst + column / p.channels;
  let lane0 = Tap(t / p.kernelWidth - p.pad, t % p.kernelWidth - p.pad, column % p.channels);
  var at = Place(0u, 0u, 0u, 0u);
  var total = array<vec4f, 32>();
  for (var pixel = 0u; pixel < p.pixels;) {
    var sum = array<vec4f, 32>();
    for (var step = 0u; step < CHUNK && pixel < p.pixels; step++) {
      var d = array<array<vec4f, 8>, BLOCKS>();
      for (var b = 0u; b < BLOCKS; b++) {
        let own = pixel + b * LANES + lane % PIXELS;
        let row = min(own, p.pixels - 1u) * p.strideY;
        for (var i = 0u; i < 8u; i++) {
          let y = output0 / 4u + i;
          d[b][i] = select(vec4f(), dy[row + min(y, p.strideY - 1u)], own < p.pixels && y < p.strideY);
        }
      }
      var x = mat4x4f();
      x = mat4x4f(next(&at, lane0), next(&at, lane0), next(&at, lane0), next(&at, lane0));
      add(&sum, 0u, x, subgroupBroadcast(d[0u / LANES][0], 0u % LANES), subgroupBroadcast(d[1u / LANES][0], 1u % LANES), subgroupBroadcast(d[2u / LANES][0], 2u % LANES), subgroupBroadcast(d[3u / LANES][0], 3u % LANES));
      add(&sum, 4u, x, subgroupBroadcast(d[0u / LANES][1], 0u % LANES), subgroupBroadcast(d[1u / LANES][1], 1u % LANES), subgroupBroadcast(d[2u / LANES][1], 2u % LANES), subgroupBroadcast(d[3u / LANES][1], 3u % LANES));
      add(&sum, 8u, x, subgroupBroadcast(d[0u / LANES][2], 0u % LANES), subgroupBroadcast(d[1u / LANES][2], 1u % LANES), subgroupBroadcast(d[2u / LANES][2], 2u % LANES), subgroupBroadcast(d[3u / LANES][2], 3u % LANES));
      add(&sum, 12u, x, subgroupBroadcast(d[0u / LANES][3], 0u % LANES), subgroupBroadcast(d[1u / LANES][3], 1u % LANES), subgroupBroadcast(d[2u / LANES][3], 2u % LANES), subgroupBroadcast(d[3u / LANES][3], 3u % LANES));
      add(&sum, 16u, x, subgroupBroadcast(d[0u / LANES][4], 0u % LANES), subgroupBroadcast(d[1u / LANES][4], 1u % LANES), subgroupBroadcast(d[2u / LANES][4], 2u % LANES), subgroupBroadcast(d[3u / LANES][4], 3u % LANES));
      add(&sum, 20u, x, subgroupBroadcast(d[0u / LANES][5], 0u % LANES), subgroupBroadcast(d[1u / LANES][5], 1u % LANES), subgroupBroadcast(d[2u / LANES][5], 2u % LANES), subgroupBroadcast(d[3u / LANES][5], 3u % LANES));
      add(&sum, 24u, x, subgroupBroadcast(d[0u / LANES][6], 0u % LANES), subgroupBroadcast(d[1u / LANES][6], 1u % LANES), subgroupBroadcast(d[2u / LANES][6], 2u % LANES), subgroupBroadcast(d[3u / LANES][6], 3u % LANES));
      add(&sum, 28u, x, subgroupBroadcast(d[0u / LANES][7], 0u % LANES), subgroupBroadcast(d[1u / LANES][7], 1u % LANES), subgroupBroadcast(d[2u / LANES][7], 2u % LANES), subgroupBroadcast(d[3u / LANES][7], 3u % LANES));
      x = mat4x4f(next(&at, lane0), next(&at, lane0), next(&at, lane0), next(&at, lane0));
      add(&sum, 0u, x, subgroupBroadcast(d[4u / LANES][0], 4u % LANES), subgroupBroadcast(d[5u / LANES][0], 5u % LANES), subgroupBroadcast(d[6u / LANES][0], 6u % LANES), subgroupBroadcast(d[7u / LANES][0], 7u % LANES));
      add(&sum, 4u, x, subgroupBroadcast(d[4u / LANES][1], 4u % LANES), subgroupBroadcast(d[5u / LANES][1], 5u % LANES), subgroupBroadcast(d[6u / LANES][1], 6u % LANES), subgroupBroadcast(d[7u / LANES][1], 7u % LANES));
      add(&sum, 8u, x, subgroupBroadcast(d[4u / LANES][2], 4u % LANES), subgroupBroadcast(d[5u / LANES][2], 5u % LANES), subgroupBroadcast(d[6u / LANES][2], 6u % LANES), subgroupBroadcast(d[7u / LANES][2], 7u % LANES));
      add(&sum, 12u, x, subgroupBroadcast(d[4u / LANES][3], 4u % LANES), subgroupBroadcast(d[5u / LANES][3], 5u % LANES), subgroupBroadcast(d[6u / LANES][3], 6u % LANES), subgroupBroadcast(d[7u / LANES][3], 7u % LANES));
      add(&sum, 16u, x, subgroupBroadcast(d[4u / LANES][4], 4u % LANES), subgroupBroadcast(d[5u / LANES][4], 5u % LANES), subgroupBroadcast(d[6u / LANES][4], 6u % LANES), subgroupBroadcast(d[7u / LANES][4], 7u % LANES));
      add(&sum, 20u, x, subgroupBroadcast(d[4u / LANES][5], 4u % LANES), subgroupBroadcast(d[5u / LANES][5], 5u % LANES), subgroupBroadcast(d[6u / LANES][5], 6u % LANES), subgroupBroadcast(d[7u / LANES][5], 7u % LANES));
      add(&sum, 24u, x, subgroupBroadcast(d[4u / LANES][6], 4u % LANES), subgroupBroadcast(d[5u / LANES][6], 5u % LANES), subgroupBroadcast(d[6u / LANES][6], 6u % LANES), subgroupBroadcast(d[7u / LANES][6], 7u % LANES));
      add(&sum, 28u, x, subgroupBroadcast(d[4u / LANES][7], 4u % LANES), subgroupBroadcast(d[5u / LANES][7], 5u % LANES), subgroupBroadcast(d[6u / LANES][7], 6u % LANES), subgroupBroadcast(d[7u / LANES][7], 7u % LANES));
      x = mat4x4f(next(&at, lane0), next(&at, lane0), next(&at, lane0), next(&at, lane0));
      add(&sum, 0u, x, subgroupBroadcast(d[8u / LANES][0], 8u % LANES), subgroupBroadcast(d[9u / LANES][0], 9u % LANES), subgroupBroadcast(d[10u / LANES][0], 10u % LANES), subgroupBroadcast(d[11u / LANES][0], 11u % LANES));
      add(&sum, 4u, x, subgroupBroadcast(d[8u / LANES][1], 8u % LANES), subgroupBroadcast(d[9u / LANES][1], 9u % LANES), subgroupBroadcast(d[10u / LANES][1], 10u % LANES), subgroupBroadcast(d[11u / LANES][1], 11u % LANES));
      add(&sum, 8u, x, subgroupBroadcast(d[8u / LANES][2], 8u % LANES), subgroupBroadcast(d[9u / LANES][2], 9u % LANES), subgroupBroadcast(d[10u / LANES][2], 10u % LANES), subgroupBroadcast(d[11u / LANES][2], 11u % LANES));
      add(&sum, 12u, x, subgroupBroadcast(d[8u / LANES][3], 8u % LANES), subgroupBroadcast(d[9u / LANES][3], 9u % LANES), subgroupBroadcast(d[10u / LANES][3], 10u % LANES), subgroupBroadcast(d[11u / LANES][3], 11u % LANES));
      add(&sum, 16u, x, subgroupBroadcast(d[8u / LANES][4], 8u % LANES), subgroupBroadcast(d[9u / LANES][4], 9u % LANES), subgroupBroadcast(d[10u / LANES][4], 10u % LANES), subgroupBroadcast(d[11u / LANES][4], 11u % LANES));
      add(&sum, 20u, x, subgroupBroadcast(d[8u / LANES][5], 8u % LANES), subgroupBroadcast(d[9u / LANES][5], 9u % LANES), subgroupBroadcast(d[10u / LANES][5], 10u % LANES), subgroupBroadcast(d[11u / LANES][5], 11u % LANES));
      add(&sum, 24u, x, subgroupBroadcast(d[8u / LANES][6], 8u % LANES), subgroupBroadcast(d[9u / LANES][6], 9u % LANES), subgroupBroadcast(d[10u / LANES][6], 10u % LANES), subgroupBroadcast(d[11u / LANES][6], 11u % LANES));
      add(&sum, 28u, x, subgroupBroadcast(d[8u / LANES][7], 8u % LANES), subgroupBroadcast(d[9u / LANES][7], 9u % LANES), subgroupBroadcast(d[10u / LANES][7], 10u % LANES), subgroupBroadcast(d[11u / LANES][7], 11u % LANES));
      x = mat4x4f(next(&at, lane0), next(&at, lane0), next(&at, lane0), next(&at, lane0));
      add(&sum, 0u, x, subgroupBroadcast(d[12u / LANES][0], 12u % LANES), subgroupBroadcast(d[13u / LANES][0], 13u % LANES), subgroupBroadcast(d[14u / LANES][0], 14u % LANES), subgroupBroadcast(d[15u / LANES][0], 15u % LANES));
      add(&sum, 4u, x, subgroupBroadcast(d[12u / LANES][1], 12u % LANES), subgroupBroadcast(d[13u / LANES][1], 13u % LANES), subgroupBroadcast(d[14u / LANES][1], 14u % LANES), subgroupBroadcast(d[15u / LANES][1], 15u % LANES));
      add(&sum, 8u, x, subgroupBroadcast(d[12u / LANES][2], 12u % LANES), subgroupBroadcast(d[13u / LANES][2], 13u % LANES), subgroupBroadcast(d[14u / LANES][2], 14u % LANES), subgroupBroadcast(d[15u / LANES][2], 15u % LANES));
      add(&sum, 12u, x, subgroupBroadcast(d[12u / LANES][3], 12u % LANES), subgroupBroadcast(d[13u / LANES][3], 13u % LANES), subgroupBroadcast(d[14u / LANES][3], 14u % LANES), subgroupBroadcast(d[15u / LANES][3], 15u % LANES));
      add(&sum, 16u, x, subgroupBroadcast(d[12u / LANES][4], 12u % LANES), subgroupBroadcast(d[13u / LANES][4], 13u % LANES), subgroupBroadcast(d[14u / LANES][4], 14u % LANES), subgroupBroadcast(d[15u / LANES][4], 15u % LANES));
      add(&sum, 20u, x, subgroupBroadcast(d[12u / LANES][5], 12u % LANES), subgroupBroadcast(d[13u / LANES][5], 13u % LANES), subgroupBroadcast(d[14u / LANES][5], 14u % LANES), subgroupBroadcast(d[15u / LANES][5], 15u % LANES));
      add(&sum, 24u, x, subgroupBroadcast(d[12u / LANES][6], 12u % LANES), subgroupBroadcast(d[13u / LANES][6], 13u % LANES), subgroupBroadcast(d[14u / LANES][6], 14u % LANES), subgroupBroadcast(d[15u / LANES][6], 15u % LANES));
      add(&sum, 28u, x, subgroupBroadcast(d[12u / LANES][7], 12u % LANES), subgroupBroadcast(d[13u / LANES][7], 13u % LANES), subgroupBroadcast(d[14u / LANES][7], 14u % LANES), subgroupBroadcast(d[15u / LANES][7], 15u % LANES));
      pixel += PIXELS;
    }
    for (var i = 0u; i < 32u; i++) { total[i] += sum[i]; }
  }
  if (column >= p.taps * p.channels) { return; }
  for (var i = 0u; i < 32u; i++) {
    if (output0 + i < p.outputs) { out[p.offsetOut + (output0 + i) * p.strideOut + column] = total[i]; }
  }
}
