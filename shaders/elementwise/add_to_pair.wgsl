// (outHigh + outLow) = (high + low) + x, entry by entry, rounded to two float32 (about 48 bits).
requires immediate_address_space;

struct Params {
  entries: u32,
  zero: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> high: array<f32>;
@group(0) @binding(1) var<storage, read> low: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> outHigh: array<f32>;
@group(0) @binding(4) var<storage, read_write> outLow: array<f32>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }

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
