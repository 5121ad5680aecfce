// squares[r] = the sum of the squared entries of block r on the diagonal of A, blocks of SIZE × SIZE.
requires immediate_address_space;

// Header: SIZE: u32.

struct Params {
  blocks: u32,
  stride: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> squares: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= p.blocks) { return; }
  let first = id.x * SIZE;
  var sum = 0.0;
  for (var i = 0u; i < SIZE; i++) {
    for (var j = 0u; j < SIZE; j++) {
      let value = a[(first + i) * p.stride + first + j];
      sum += value * value;
    }
  }
  squares[id.x] = sum;
}
