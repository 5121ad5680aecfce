// From squared distances to kernel values k (kernel_value.wgsl), or to the weights of the kernel's gradient:
//   Laplace:   w = k / (L r), 0 where r = 0 (the kernel has no gradient there)
//   Gaussian:  w = k / L²
// `diagonal` is added where row and column agree (the ridge of a system).
// ∇_x k(x, z) = w · (z − x).
requires immediate_address_space;

// Before this text: kernel_value.wgsl. Header: KERNEL: u32 (of that text), WEIGHTS: bool.

struct Params {
  m: u32,
  n: u32,
  stride: u32,
  bandwidth: f32,
  diagonal: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> squared: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;

// Four columns an invocation: on software adapters a vec4 costs as many accesses as a number.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let slot = id.x;
  if (row >= p.m || slot >= p.stride / 4u) { return; }
  let cols = 4u * slot + vec4u(0u, 1u, 2u, 3u);
  let at = row * p.stride / 4u + slot;
  let square = squared[at];
  let scale = 1.0 / p.bandwidth;
  var value = kernelValue(square, scale);
  if (!WEIGHTS) {
    value += select(vec4f(), vec4f(p.diagonal), cols == vec4u(row));
  } else if (KERNEL == GAUSSIAN) {
    value *= scale * scale;
  } else {
    value = select(vec4f(), value * scale / sqrt(square), square > vec4f());
  }
  // Columns beyond the last are padding.
  out[at] = select(vec4f(), value, cols < vec4u(p.n));
}
