// Adds the partial sums of column_sums.wgsl (2 · chunks rows of width vec4).
//   0  statistics = rows mean, 1/√(variance + epsilon); running mean and variance (n − 1) move towards them by `momentum`
//   1  first = the first sums, second = the second sums
requires immediate_address_space;

// Header: OPERATION: u32.

struct Params {
  width: u32,
  chunks: u32,
  rows: u32,
  epsilon: f32,
  momentum: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> partial: array<vec4f>;
// 0: the matrix, of which the first row is the origin of the sums.
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
// 0: statistics (2 × width); 1: second sums.
@group(0) @binding(2) var<storage, read_write> second: array<vec4f>;
// 0: running mean and variance (2 × width); 1: first sums.
@group(0) @binding(3) var<storage, read_write> first: array<vec4f>;

// Not a comparison of x with itself, which is not sure to tell a NaN.
fn isNan(x: vec4f) -> vec4<bool> { return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u); }

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  if (slot >= p.width) { return; }
  var s = vec4f();
  var t = vec4f();
  for (var chunk = 0u; chunk < p.chunks; chunk++) {
    s += partial[2u * chunk * p.width + slot];
    t += partial[(2u * chunk + 1u) * p.width + slot];
  }
  if (OPERATION == 1u) {
    first[slot] = s;
    second[slot] = t;
    return;
  }
  let n = f32(p.rows);
  let shift = s / n;
  let mean = a[slot] + shift;
  let rest = t / n - shift * shift;
  // Rounding may leave less than 0. Squares beyond float32 leave a NaN, of which max may make 0.
  let variance = select(max(rest, vec4f()), rest, isNan(rest));
  second[slot] = mean;
  second[p.width + slot] = 1.0 / sqrt(variance + p.epsilon);
  first[slot] += p.momentum * (mean - first[slot]);
  first[p.width + slot] += p.momentum * (variance * (n / max(n - 1.0, 1.0)) - first[p.width + slot]);
}
