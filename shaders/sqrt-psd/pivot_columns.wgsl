// The next columns of a pivoted Cholesky factorisation M ≈ L Lᵀ, at most four, and the diagonal that remains after them.
// One invocation a row. `products` come from pivot_products.wgsl. pivot_state.wgsl stands before this text.
//
// Among the four rows chosen the largest remaining diagonal entry is the next pivot; after each, what it explains is taken
// off the others, in every invocation anew: that is a 4 × 4 matrix, and saves two passes over all rows a column. One that
// falls below half of the smallest of the four as they were chosen waits for a later choice: rows outside have at most
// that, so no pivot is less than half of the largest there was.

#include "double_float4.wgsl"
#include "pick.wgsl"

const LANE = vec4u(0u, 1u, 2u, 3u);

// s − x z with exact products and the error of the sum kept in the low part (Knuth's two-sum).
fn minusProduct(s: Pair4, x: vec4f, z: vec4f) -> Pair4 {
  let x1 = head4(x);
  let x2 = x - x1;
  let z1 = head4(z);
  let z2 = z - z1;
  let term = -(x1 * z1);
  let sum = opaque4(s.high + term);
  let part = opaque4(sum - s.high);
  let low = s.low + ((s.high - opaque4(sum - part)) + (term - part)) - (x1 * z2 + x2 * z1 + x2 * z2);
  let high = opaque4(sum + low);
  return Pair4(high, low - opaque4(high - sum));
}

fn four(row: u32) -> Pair4 {
  let at = 2u * existing(row);
  return Pair4(products[at], products[at + 1u]);
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= p.rows || state.finished == 1u) { return; }
  let pivots = vec4u(state.rows[0], state.rows[1], state.rows[2], state.rows[3]);
  var diagonal = Pair4(
    vec4f(state.high[0], state.high[1], state.high[2], state.high[3]),
    vec4f(state.low[0], state.low[1], state.low[2], state.low[3]),
  );
  var open = pivots != vec4u(NONE);
  let least = max(p.tolerance * state.firstPivot, select(0.0, 0.5 * diagonal.high.w, open.w));
  var own = four(row);
  var row0 = four(pivots.x);
  var row1 = four(pivots.y);
  var row2 = four(pivots.z);
  var row3 = four(pivots.w);
  let before = remaining[row];
  var left = Pair4(vec4f(before.x), vec4f(before.y));
  var column = state.columns;
  var smallest = state.smallestPivot;
  if (column == 0u) { smallest = state.firstPivot; }
  for (var made = 0u; made < 4u; made++) {
    let values = select(vec4f(-1.0), diagonal.high, open);
    let most = max(max(values.x, values.y), max(values.z, values.w));
    let q = select(select(select(3u, 2u, values.z == most), 1u, values.y == most), 0u, values.x == most);
    // The first was compared when it was chosen.
    if (made > 0u && !(most > least)) { break; }
    let chosen = LANE == vec4u(q);
    open = open & !chosen;
    let root = sqrt(most);
    // What the pivot's column holds at the pivots still open.
    let column4 = vec4f(pick(row0.high, q), pick(row1.high, q), pick(row2.high, q), pick(row3.high, q)) / root;
    let factor = select(vec4f(), column4, open);
    let isPivot = any(chosen & (pivots == vec4u(row)));
    // The pivot's own entry is the root, not a quotient that would round once more.
    let entry = select(pick(own.high, q) / root, root, isPivot);
    let at = row * (p.stride / 4u) + column / 4u;
    let part = vec4u(column % 4u);
    l[at] = select(select(vec4f(), l[at], LANE < part), vec4f(entry), LANE == part);
    left = minusProduct(left, vec4f(entry), vec4f(entry));
    if (isPivot) { left = Pair4(vec4f(-1.0), vec4f()); }
    own = minusProduct(own, vec4f(entry), factor);
    row0 = minusProduct(row0, vec4f(factor.x), factor);
    row1 = minusProduct(row1, vec4f(factor.y), factor);
    row2 = minusProduct(row2, vec4f(factor.z), factor);
    row3 = minusProduct(row3, vec4f(factor.w), factor);
    diagonal = minusProduct(diagonal, factor, factor);
    smallest = min(smallest, most);
    column++;
  }
  remaining[row] = vec2f(left.high.x, left.low.x);
  // Words that no invocation of this pass reads but this one.
  if (row == 0u) {
    state.made = column - state.columns;
    state.smallestPivot = smallest;
  }
}
