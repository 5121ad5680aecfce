// The same as pivot_products.wgsl for GPUs: a row's products with the four pivots' rows are a sum that PARTS invocations share,
// since there are too few rows to keep a GPU busy, and neighbours read neighbouring vec4. pivot_state.wgsl stands before this
// text.

#include "double_float4.wgsl"

// Invocations that share a row, and rows of a workgroup.
const PARTS = 16u;
const ROWS = 4u;

// Of each invocation its sums with the four pivots, high and low.
var<workgroup> sums: array<array<vec2f, 4>, PARTS * ROWS>;

// The four partial sums as one.
fn together(sum: Pair4) -> vec2f {
  var s = Pair4(vec4f(sum.high.x), vec4f(sum.low.x + sum.low.y + sum.low.z + sum.low.w));
  s = add4(s, vec4f(sum.high.y));
  s = add4(s, vec4f(sum.high.z));
  s = add4(s, vec4f(sum.high.w));
  return vec2f(s.high.x, s.low.x);
}

@compute @workgroup_size(PARTS * ROWS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let part = index % PARTS;
  let place = p.firstRow + group.x * ROWS + index / PARTS;
  // Rows beyond the last repeat it, and are not stored.
  let row = min(place, p.rows - 1u);
  let width = p.stride / 4u;
  let own = row * width;
#for c in 0..4
  let pivot$c = existing(state.rows[$c]) * width;
  var sum$c = Pair4();
#end
  let finished = state.finished == 1u;
  // Columns from state.columns to the end of their vec4 are zero.
  let steps = select((state.columns + 3u) / 4u, 0u, finished);
  for (var i = part; i < steps; i += PARTS) {
    let x = l[own + i];
#for c in 0..4
    sum$c = addProduct4(sum$c, x, l[pivot$c + i]);
#end
  }
  sums[index] = array<vec2f, 4>(together(sum0), together(sum1), together(sum2), together(sum3));
  workgroupBarrier();
  // The first four invocations of a row take a pivot each. M is symmetric: its rows are read.
  if (part >= 4u || place >= p.rows || finished) { return; }
  let at = existing(state.rows[part]) * p.strideM + row;
  var s = Pair4(vec4f(m[at]), vec4f(mLow[at]));
  for (var i = 0u; i < PARTS; i++) {
    let sum = sums[index - part + i][part];
    s = add4(s, vec4f(-sum.x));
    s.low -= vec4f(sum.y);
  }
  let result = renormalize4(s);
  // As pivot_columns.wgsl reads them: of each row the high parts, then the low ones.
  products[8u * row + part] = result.high.x;
  products[8u * row + 4u + part] = result.low.x;
}
