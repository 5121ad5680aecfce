// Row r of `out` is row ids[r] of A. Four columns an invocation.
requires immediate_address_space;

struct Params {
  rows: u32,
  stride: u32,
  offset: u32,
  strideOut: u32,
  offsetOut: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let row = id.y;
  if (row >= p.rows || slot >= p.strideOut / 4u) { return; }
  out[(p.offsetOut + row * p.strideOut) / 4u + slot] = a[(p.offset + ids[row] * p.stride) / 4u + slot];
}
