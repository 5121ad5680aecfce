// A = (A + Aᵀ) / 2 in place, n × n in two float32 (about 48 bits): an invocation has an entry below the diagonal, or on it, and
// its mirror image, which come out equal to the bit.

#include "opaque.wgsl"

const SIDE = 8u;

@compute @workgroup_size(SIDE, SIDE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = p.firstRow * SIDE + id.y;
  let col = id.x;
  if (row >= p.n || col > row) { return; }
  let at = row * p.stride + col;
  let mirrored = col * p.stride + row;
  let a = high[at];
  let b = high[mirrored];
  let sum = opaque(a + b);
  let part = opaque(sum - a);
  let rest = (a - opaque(sum - part)) + (b - part) + (low[at] + low[mirrored]);
  let total = opaque(sum + rest);
  let left = rest - opaque(total - sum);
  high[at] = 0.5 * total;
  high[mirrored] = 0.5 * total;
  low[at] = 0.5 * left;
  low[mirrored] = 0.5 * left;
}
