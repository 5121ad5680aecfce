// Philox4x32-10 (Salmon et al., SC 2011): element e of (layer, stream) is word e & 3 of the block
// with counter (e >> 2, layer, stream, 0) and key (seed low, seed high).
//
// SIGNED: out = scale · (2u − 1) with u = ((word >> 8) + ½) 2⁻²⁴, row-major over rows × cols.
// 2u − 1 is an odd integer below 2²⁴ times 2⁻²⁴, so it is exact. Otherwise out is the word itself.

// The 64-bit product as (high, low) word, from 16-bit halves.
fn product(a: u32, b: u32) -> vec2u {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let low = a0 * b0;
  let middle = a1 * b0 + (low >> 16u);
  let middle2 = a0 * b1 + (middle & 0xffffu);
  return vec2u(a1 * b1 + (middle >> 16u) + (middle2 >> 16u), a * b);
}

fn philox(block: u32) -> vec4u {
  var c = vec4u(block, p.layer, p.stream, 0u);
  var key = vec2u(p.seedLow, p.seedHigh);
  for (var round = 0u; round < 10u; round++) {
    let x = product(0xD2511F53u, c.x);
    let y = product(0xCD9E8D57u, c.z);
    c = vec4u(y.x ^ c.y ^ key.x, y.y, x.x ^ c.w ^ key.y, x.y);
    key += vec2u(0x9E3779B9u, 0xBB67AE85u);
  }
  return c;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = p.firstRow + id.y;
  let col = id.x;
  if (row >= p.rows || col >= p.stride) { return; }
  let at = row * p.stride + col;
  if (col >= p.cols) {
    out[at] = 0u;
    return;
  }
  let e = row * p.cols + col;
  let word = philox(e >> 2u)[e & 3u];
  if (SIGNED) {
    let odd = i32(2u * (word >> 8u) + 1u) - 16777216;
    out[at] = bitcast<u32>(p.scale * (f32(odd) * 5.9604644775390625e-8));
  } else {
    out[at] = word;
  }
}
