// The columns of L at the pivots that pivot_factor.wgsl chose, for all rows, and the diagonal that remains after them: a row x
// of L solves x Fᵀ = (what remains of M at the row and the pivots), F being the pivots' rows. In double-float, four columns at a
// time; x is rounded before it goes on, so that what remains is that of the numbers stored. One invocation a row.
// pivot_state.wgsl stands before this text.
//
// parts: beside each other the head of L, a multiple of a power of two so that sums of sixteen products of heads are exact
// (see split_rows.wgsl), and the rest.
#include "double_float4.wgsl"
#include "pick.wgsl"

const BITS = 10u;

// s − x z with exact products and the error of the sum kept in the low part (Knuth's two-sum).
fn minusProduct(s: Pair4, x: vec4f, z: vec4f) -> Pair4 {
  let x1 = head4(x);
  let x2 = x - x1;
  let z1 = head4(z);
  let z2 = z - z1;
  var t = add4(s, -(x1 * z1));
  t.low -= x1 * z2 + x2 * z1 + x2 * z2;
  return renormalize4(t);
}

// The unit of the heads: 2⁻¹⁰ of a power of two that no entry of L, at most the root of the first pivot, reaches.
fn unit() -> f32 {
  let exponent = bitcast<u32>(sqrt(state.firstPivot)) >> 23u;
  let whole = exponent > BITS + 1u && exponent < 250u;
  return select(0.0, bitcast<f32>((exponent + 1u - BITS) << 23u), whole);
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = p.firstRow + id.x;
  if (row >= p.rows || state.finished == 1u) { return; }
  let made = state.made;
  // Which of this round's pivots the row is, made if none of them.
  var own = made;
  for (var j = 0u; j < made; j++) { own = select(own, j, state.rows[state.pivots[j]] == row); }
  let before = remaining[row];
  let gone = before.x < 0.0;
  var left = Pair4(vec4f(before.x), vec4f(before.y));
  let step = unit();
  let inverse = select(0.0, 1.0 / step, step > 0.0);
#for c in 0..4
  var x$c: array<f32, PIVOTS / 4u>;
#end
  for (var group = 0u; group < (made + 3u) / 4u; group++) {
    var rest = Pair4();
#for c in 0..4
    {
      let j = min(4u * group + $(c)u, made - 1u);
      let at = state.pivots[j] * p.strideM + row;
      rest.high[$c] = high[at];
      rest.low[$c] = low[at] - small[at];
    }
#end
    for (var m = 0u; m < group; m++) {
#for c in 0..4
      rest = minusProduct(rest, vec4f(x$c[m]), factor[(4u * m + $(c)u) * (PIVOTS / 4u) + group]);
#end
    }
#for c in 0..4
    {
      let j = 4u * group + $(c)u;
      let rows = factor[j * (PIVOTS / 4u) + group];
      // A pivot's own row is that of the factor. In later columns a row that has been a pivot gets what its rounding left: without
      // that the root of L Lᵀ would be off by 5e-7, not by 6e-8 to 2.4e-7.
      var entry = (rest.high[$c] + rest.low[$c]) / rows[$c];
      if (own < made && j <= own) { entry = pick(factor[j * (PIVOTS / 4u) + own / 4u], own % 4u); }
      entry = select(entry, 0.0, j >= made);
      rest = minusProduct(rest, vec4f(entry), rows);
      left = minusProduct(left, vec4f(entry), vec4f(entry));
      x$c[group] = entry;
      if (j < made) {
        let column = state.columns + j;
        l[row * p.stride + column] = entry;
        let rounded = round(entry * inverse) * step;
        parts[row * p.strideParts + column] = rounded;
        parts[row * p.strideParts + p.widthParts + column] = entry - rounded;
      }
    }
#end
  }
  if (own < made) { left = Pair4(vec4f(-1.0), vec4f()); }
  if (!gone) { remaining[row] = vec2f(left.high.x, left.low.x); }
}
