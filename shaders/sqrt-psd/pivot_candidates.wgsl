// The candidates for the next pivots: the `count` rows with the largest diagonal that remains, the first of equal ones first.
// One invocation a row counts the rows that come before it, so that there is nothing to sort.
//
// remaining: diagonal as (high, low) pairs; −1 where a row has been a pivot.
#include "positive.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = p.firstRow + id.x;
  if (row >= p.rows) { return; }
  let own = remaining[row].x;
  var place = 0u;
  for (var i = 0u; i < p.rows; i++) {
    let x = remaining[i].x;
    place += select(0u, 1u, x > own || (x == own && i < row));
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
