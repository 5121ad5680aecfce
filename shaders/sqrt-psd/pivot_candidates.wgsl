// The candidates for the next pivots: the `count` rows with the largest diagonal that remains, the first of equal ones first.
// One invocation a row counts the rows that come before it, so that there is nothing to sort.
//
// remaining: diagonal as (high, low) pairs, two a vec4; −1 where a row has been a pivot.
#include "positive.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = p.firstRow + id.x;
  if (row >= p.rows) { return; }
  let pair = remaining[row / 2u];
  let own = select(pair.x, pair.z, row % 2u == 1u);
  var place = 0u;
  for (var i = 0u; i < p.rows; i += 2u) {
    let two = remaining[i / 2u];
    place += select(0u, 1u, two.x > own || (two.x == own && i < row));
    place += select(0u, 1u, i + 1u < p.rows && (two.z > own || (two.z == own && i + 1u < row)));
  }
  // NaN comes before nothing, and several rows would be the first.
  if (place == p.count) { state.outside = own; }
  if (place < p.count) { state.rows[place] = select(row, NONE, own < 0.0); }
  if (place > 0u || state.finished == 1u) { return; }
  let columns = state.columns + state.made;
  state.columns = columns;
  state.made = 0u;
  if (columns == 0u) {
    state.firstPivot = own;
    state.smallestPivot = own;
  }
  if (!isPositive(own) || own <= p.tolerance * state.firstPivot) { state.finished = 1u; }
}
