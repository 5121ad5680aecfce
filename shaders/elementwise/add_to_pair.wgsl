// (outHigh + outLow) = (high + low) + x, entry by entry, rounded to two float32 (about 48 bits).

#include "opaque.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= p.entries) { return; }
  let sum = opaque(high[i] + x[i]);
  let part = opaque(sum - high[i]);
  let rest = (high[i] - opaque(sum - part)) + (x[i] - part) + low[i];
  let total = opaque(sum + rest);
  outHigh[i] = total;
  outLow[i] = rest - opaque(total - sum);
}
