// Mean of each group of consecutive rows: row g of `means` is the mean of rows starts[g] … starts[g + 1] − 1.
// One invocation a (group, column); sums of distances to the group's first row, compensated (Kahan):
// in collapsed layers the rows of a class differ only in their last digits.
// With SCALED it is the mean of the rows times inverseScale(scale[0]) (inverse_scale.wgsl, which stands before this), so that
// no sum overflows.
requires immediate_address_space;

// Header: SCALED: bool.

struct Params {
  groups: u32,
  cols: u32,
  stride: u32,
  strideOut: u32,
  zero: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> scale: array<u32>;
@group(0) @binding(3) var<storage, read_write> means: array<f32>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let group = id.y;
  let col = id.x;
  if (group >= p.groups || col >= p.strideOut) { return; }
  var factor = 1.0;
  if (SCALED) { factor = inverseScale(scale[0]); }
  var mean = 0.0;
  if (col < p.cols) {
    let begin = starts[group];
    let end = starts[group + 1u];
    let first = factor * a[begin * p.stride + col];
    var sum = 0.0;
    var lost = 0.0;
    for (var row = begin; row < end; row++) {
      let y = (factor * a[row * p.stride + col] - first) - lost;
      let t = opaque(sum + y);
      lost = opaque(t - sum) - y;
      sum = t;
    }
    mean = first + sum / f32(end - begin);
  }
  means[group * p.strideOut + col] = mean;
}
