// The diagonal of a square matrix M = a + low as (high, low) pairs: the start of a pivoted Cholesky factorisation.
requires immediate_address_space;

struct Params {
  rows: u32,
  stride: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> low: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec2f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < p.rows) { out[id.x] = vec2f(a[id.x * p.stride + id.x], low[id.x * p.stride + id.x]); }
}
