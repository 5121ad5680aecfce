// Chooses the next pivots of a pivoted Cholesky factorisation: the four largest of the diagonal that remains, the first
// of equal ones. One workgroup. pivot_products.wgsl and pivot_columns.wgsl, which follow it, make at most four columns.
//
// remaining: diagonal as (high, low) pairs; −1 where a row has been a pivot.
// SIZE invocations: on a software adapter one subgroup, since it changes between them at a barrier.
// pivot_state.wgsl stands before this text.

#include "pick.wgsl"
#include "positive.wgsl"

var<workgroup> bestValue: array<f32, SIZE>;
var<workgroup> bestRow: array<u32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  // The four largest of this invocation's rows, largest first.
  var values = vec4f(-1.0);
  var rows = vec4u(NONE);
  for (var i = index; i < p.rows; i += SIZE) {
    let x = remaining[i].x;
    let above = vec4f(x) > values;
    let aboveBefore = vec4(false, above.xyz);
    values = select(values, select(vec4f(x), vec4f(x, values.xyz), aboveBefore), above);
    rows = select(rows, select(vec4u(i), vec4u(i, rows.xyz), aboveBefore), above);
  }
  var chosen = vec4u(NONE);
  var largest = -1.0;
  for (var round = 0u; round < 4u; round++) {
    bestValue[index] = values.x;
    bestRow[index] = rows.x;
    for (var half = SIZE / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (index < half) {
        let v = bestValue[index + half];
        let r = bestRow[index + half];
        if (v > bestValue[index] || (v == bestValue[index] && r < bestRow[index])) {
          bestValue[index] = v;
          bestRow[index] = r;
        }
      }
    }
    workgroupBarrier();
    let value = bestValue[0];
    let row = bestRow[0];
    workgroupBarrier();
    if (round == 0u) { largest = value; }
    // A zero or less is no pivot.
    let usable = value > 0.0;
    chosen = select(chosen, vec4u(select(NONE, row, usable)), vec4u(0u, 1u, 2u, 3u) == vec4u(round));
    if (row == rows.x) {
      values = vec4f(values.yzw, -1.0);
      rows = vec4u(rows.yzw, NONE);
    }
  }
  if (index != 0u || state.finished == 1u) { return; }
  let columns = state.columns + state.made;
  state.columns = columns;
  state.made = 0u;
  if (columns == 0u) { state.firstPivot = largest; }
  if (!isPositive(largest) || largest <= p.tolerance * state.firstPivot) {
    state.finished = 1u;
    return;
  }
  for (var c = 0u; c < 4u; c++) {
    let row = pickWord(chosen, c);
    let rest = select(vec2f(-1.0, 0.0), remaining[existing(row)], row != NONE);
    state.rows[c] = row;
    state.high[c] = rest.x;
    state.low[c] = rest.y;
  }
}
