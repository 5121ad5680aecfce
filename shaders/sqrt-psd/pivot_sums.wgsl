// What remains of the columns of M = m + mLow at the pivots that pivot_select.wgsl chose, after the columns of L so far:
// M_ic − Σ_k L_ik L_ck for all rows i and the four c.
// products: of each row two vec4, the high parts for the four pivots, then the low parts.
//
// Products are exact and sums carry a second float (double-float): a small eigenvalue of M survives only if the factor's error
// stays well below M's own rounding. With float32 sums the square root of a CIFAR-10 layer's AGOP was off by 7e-6, with these
// by 2e-7.
//
// For pivot_products.wgsl and pivot_products_subgroup.wgsl, before whose texts this stands, after pivot_state.wgsl.

#include "double_float4.wgsl"

// M_row,column less the four partial sums, the low part small against the high part. M is symmetric: its rows are read,
// which lie side by side for neighbours.
fn rest(row: u32, column: u32, sum: Pair4) -> vec2f {
  let at = existing(column) * p.strideM + row;
  var s = Pair4(vec4f(m[at], 0.0, 0.0, 0.0), vec4f(mLow[at], 0.0, 0.0, 0.0));
  s = add4(s, vec4f(-sum.high.x, 0.0, 0.0, 0.0));
  s = add4(s, vec4f(-sum.high.y, 0.0, 0.0, 0.0));
  s = add4(s, vec4f(-sum.high.z, 0.0, 0.0, 0.0));
  s = add4(s, vec4f(-sum.high.w, 0.0, 0.0, 0.0));
  let low = s.low.x - (sum.low.x + sum.low.y + sum.low.z + sum.low.w);
  let high = opaque4(vec4f(s.high.x + low)).x;
  return vec2f(high, low - opaque4(vec4f(high - s.high.x)).x);
}

fn store(row: u32, sum0: Pair4, sum1: Pair4, sum2: Pair4, sum3: Pair4) {
  let a = rest(row, state.rows[0], sum0);
  let b = rest(row, state.rows[1], sum1);
  let c = rest(row, state.rows[2], sum2);
  let d = rest(row, state.rows[3], sum3);
  products[2u * row] = vec4f(a.x, b.x, c.x, d.x);
  products[2u * row + 1u] = vec4f(a.y, b.y, c.y, d.y);
}
