// Batch normalisation over the rows of a matrix (rows × width vec4), affine = rows weight, bias:
//   0  out = weight · (x − mean) · inverse + bias, statistics = rows mean, inverse
//   1  the same with statistics = rows running mean, running variance
//   2  gradient of 0 by x: weight · inverse · (dy − (Σ dy + x̂ Σ dy x̂) / rows), sums = Σ dy, Σ dy x̂
//   3  gradient of 1 by x: weight / √(variance + epsilon) · dy
//
// An invocation goes down ROWS rows of one vec4 column: what all rows share costs as much to load as an entry.
requires immediate_address_space;

const ROWS = 8u;

// Header: OPERATION: u32.

struct Params {
  count: u32,
  width: u32,
  rows: u32,
  epsilon: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> statistics: array<vec4f>;
@group(0) @binding(3) var<storage, read> weight: array<vec4f>;
// 0, 1: bias; 2: Σ dy.
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read> products: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= p.count) { return; }
  let first = i / p.width;
  let slot = i - first * p.width;
  let mean = statistics[slot];
  var inverse = statistics[p.width + slot];
  if (OPERATION == 1u || OPERATION == 3u) { inverse = 1.0 / sqrt(inverse + p.epsilon); }
  let factor = weight[slot] * inverse;
  let shift = bias[slot];
  let product = products[slot];
  let last = min((first + 1u) * ROWS, p.rows);
  for (var row = first * ROWS; row < last; row++) {
    let at = row * p.width + slot;
    switch (OPERATION) {
      case 2u: {
        let normal = (x[at] - mean) * inverse;
        out[at] = factor * (dy[at] - (shift + normal * product) / f32(p.rows));
      }
      case 3u: { out[at] = factor * dy[at]; }
      default: { out[at] = factor * (x[at] - mean) + shift; }
    }
  }
}
