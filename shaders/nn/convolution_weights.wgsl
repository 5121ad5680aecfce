// Gradient of a convolution by its weights, dW = dYᵀ · patches, without the patches (im2col.wgsl) in memory: every lane has
// four channels of one tap and goes through the pixels of all samples, 32 outputs at a time. What a subgroup needs of dY
// it loads once, a pixel a lane, and broadcasts; four pixels are added at a time, since the sums lie in memory.
//
// A workgroup for each 32 outputs and 4 · LANES columns: few for the first layers of a network. On a CPU that is enough.
enable subgroups;

// Pixels of which a subgroup has dY at a time, and after how many of such blocks sums go into totals.
const PIXELS = 16u;
const CHUNK = 8u;
const BLOCKS = max(1u, PIXELS / LANES);

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

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let column = tile.x * LANES + lane;
  let output0 = p.firstOutput + tile.y * 32u;
  let t = p.tapFirst + column / p.channels;
  let lane0 = Tap(t / p.size - p.pad, t % p.size - p.pad, column % p.channels);
  var at = Place(0u, 0u, 0u, 0u);
  // An array a channel, read at a variable place once, at the end: the driver leaves such arrays in memory, where so many sums
  // are anyway, and does not try to give them registers, for which it compiled for 11 s.
#for c in 0..4
  var total$c = array<f32, 32>();
  var sum$c = array<f32, 32>();
#end
  for (var pixel = 0u; pixel < p.pixels;) {
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
      #for q in 0..4
      x = mat4x4f(next(&at, lane0), next(&at, lane0), next(&at, lane0), next(&at, lane0));
      #for i in 0..8
      {
        let d0 = subgroupBroadcast(d[$(4*q)u / LANES][$i], $(4*q)u % LANES);
        let d1 = subgroupBroadcast(d[$(4*q+1)u / LANES][$i], $(4*q+1)u % LANES);
        let d2 = subgroupBroadcast(d[$(4*q+2)u / LANES][$i], $(4*q+2)u % LANES);
        let d3 = subgroupBroadcast(d[$(4*q+3)u / LANES][$i], $(4*q+3)u % LANES);
        #for o in 0..4
        {
          let term = x * vec4f(d0[$o], d1[$o], d2[$o], d3[$o]);
          #for c in 0..4
          sum$c[$(4*i+o)] += term[$c];
          #end
        }
        #end
      }
      #end
      #end
      pixel += PIXELS;
    }
#for i in 0..32
#for c in 0..4
    total$c[$i] += sum$c[$i];
    sum$c[$i] = 0.0;
#end
#end
  }
  if (column >= p.taps * p.channels) { return; }
  // The loop has no constant end on purpose; no sum is left.
  let outputs = min(32u, p.outputs - output0);
  for (var i = 0u; i < outputs; i++) {
    out[p.offsetOut + (output0 + i) * p.strideOut + column] =
      vec4f(total0[i] + sum0[i], total1[i] + sum1[i], total2[i] + sum2[i], total3[i] + sum3[i]);
  }
}
