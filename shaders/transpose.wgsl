// out = Aᵀ for A: m × n; a TILE × TILE tile passes through workgroup memory so that both the
// reads and the writes of neighbouring invocations are neighbours.
requires immediate_address_space;

const TILE = 16u;

struct Params {
  m: u32,
  n: u32,
  strideA: u32,
  strideOut: u32,
  offsetA: u32,
  offsetOut: u32,
  padding: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

var<workgroup> tile: array<array<f32, TILE + 1>, TILE>;

@compute @workgroup_size(TILE, TILE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u) {
  let row = group.y * TILE + id.y;
  let col = group.x * TILE + id.x;
  // Rows and columns beyond A become the zeros of the padding.
  var value = 0.0;
  if (row < p.m && col < p.n) { value = a[p.offsetA + row * p.strideA + col]; }
  tile[id.y][id.x] = value;
  workgroupBarrier();
  let outRow = group.x * TILE + id.y;
  let outCol = group.y * TILE + id.x;
  if (outRow < p.n && outCol < p.m + p.padding) {
    out[p.offsetOut + outRow * p.strideOut + outCol] = tile[id.x][id.y];
  }
}
