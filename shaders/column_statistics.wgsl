// Mean and standard deviation (n − 1) of each column: row 0 and row 1 of `statistics`.
// Distances to the first row are summed, so a constant column has deviation exactly 0.
// One invocation a column; sums are compensated (Kahan), since means enter every later number.
requires immediate_address_space;

struct Params {
  rows: u32,
  cols: u32,
  stride: u32,
  strideOut: u32,
  zero: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> statistics: array<f32>;

// Hides a value from algebraic simplification, which would remove the compensation: zero is 0.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ p.zero); }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let col = id.x;
  if (col >= p.strideOut) { return; }
  var mean = 0.0;
  var deviation = 0.0;
  if (col < p.cols) {
    let first = a[col];
    // Distances to the first row: nothing is lost where the values are nearly equal.
    var sum = 0.0;
    var lost = 0.0;
    for (var row = 0u; row < p.rows; row++) {
      let x = a[row * p.stride + col];
      let y = (x - first) - lost;
      let t = opaque(sum + y);
      lost = opaque(t - sum) - y;
      sum = t;
    }
    let shift = sum / f32(p.rows);
    mean = first + shift;
    sum = 0.0;
    lost = 0.0;
    for (var row = 0u; row < p.rows; row++) {
      let d = (a[row * p.stride + col] - first) - shift;
      let y = d * d - lost;
      let t = opaque(sum + y);
      lost = opaque(t - sum) - y;
      sum = t;
    }
    deviation = sqrt(sum / f32(p.rows - 1u));
  }
  statistics[col] = mean;
  statistics[p.strideOut + col] = deviation;
}
