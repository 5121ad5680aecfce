// Rows z with inner products B (N × N, two floats) and their ReLU features of infinite width. STAGE chooses what is stored
// for a row i of the first m and a column j:
//   0  ‖z_i − z_j‖²
//   1  ‖φ_i − φ_j‖² of the features over a constant, with ⟨φ_i, φ_j⟩ = ‖z_i‖ ‖z_j‖ J(u), u the cosine of z_i and z_j
//   2  1 − J(u)
//
// J(u) = (√(1 − u²) + (π − arccos u) u)/π (Cho and Saul 2009) is the expected product of two ReLU features, over that of
// one with itself. Rows of a class come so near each other that u is 1 in float32. So nothing is made of u, but of
// δ = 1 − u = (‖z_i − z_j‖² − (‖z_i‖ − ‖z_j‖)²)/(2 ‖z_i‖ ‖z_j‖), whose first term is summed in two floats, and
// 1 − J(u) = δ − (sin θ − θ cos θ)/π with θ = arccos u = 2 arcsin √(δ/2), from a series where θ is small.

#include "double_float.wgsl"

const PI = 3.14159265358979;

// Cephes' asinf for 0 ≤ x ≤ 1, to 1e-7: WGSL's own may err by 6e-5.
fn arcsine(x: f32) -> f32 {
  let far = x > 0.5;
  let z = select(x * x, 0.5 * (1.0 - x), far);
  let y = select(x, sqrt(max(z, 0.0)), far);
  let p5 = ((((4.2163199048e-2 * z + 2.4181311049e-2) * z + 4.5470025998e-2) * z + 7.4953002686e-2) * z + 1.6666752422e-1);
  let small = p5 * z * y + y;
  return select(small, 0.5 * PI - 2.0 * small, far);
}

// sin θ − θ cos θ for δ = 1 − cos θ.
fn lag(delta: f32) -> f32 {
  let s = sqrt(0.5 * delta);
  let theta = 2.0 * arcsine(s);
  let t = theta * theta;
  let series = theta * t * (1.0 / 3.0 - t * (1.0 / 30.0 - t * (1.0 / 840.0 - t * (1.0 / 45360.0 - t / 3991680.0))));
  let closed = 2.0 * s * sqrt(max(1.0 - 0.5 * delta, 0.0)) - theta * (1.0 - delta);
  return select(closed, series, theta < 0.6);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.y;
  let j = id.x;
  if (i >= p.m || j >= p.strideOut) { return; }
  let at = i * p.strideOut + j;
  // Padding, and the diagonal, which is 0 in all stages.
  if (j >= p.n || i == j) {
    out[at] = 0.0;
    return;
  }
  let own = i * p.stride + i;
  let other = j * p.stride + j;
  let pair = i * p.stride + j;
  var s = add(vec2f(high[own], 0.0), high[other]);
  s = add(s, -high[pair]);
  s = add(s, -high[pair]);
  let square = max(s.x + (s.y + ((low[own] - low[pair]) + (low[other] - low[pair]))), 0.0);
  if (STAGE == 0u) {
    out[at] = square;
    return;
  }
  let a = sqrt(max(high[own], 0.0));
  let b = sqrt(max(high[other], 0.0));
  let lengths = ((high[own] - high[other]) + (low[own] - low[other])) / max(a + b, 1e-30);
  // A row of length 0 has no direction: it counts as orthogonal to all.
  let scale = 2.0 * a * b;
  let delta = clamp(select((square - lengths * lengths) / max(scale, 1e-30), 1.0, scale == 0.0), 0.0, 2.0);
  let next = max(delta - lag(delta) / PI, 0.0);
  out[at] = select(next, lengths * lengths + scale * next, STAGE == 1u);
}
