// Pivots among the candidates, and the rows of L that belong to the pivots: a pivoted Cholesky factorisation of what remains of
// M at the candidates' rows and columns, in double-float, stopped after PIVOTS pivots, or where the next one would be below the
// tolerance or much smaller than what there is outside the candidates. One workgroup of SIZE invocations, on a software
// adapter one subgroup, since it changes between them at a barrier. pivot_state.wgsl stands before this text.
//
// high + low − small: what remains of M, a row a candidate. columns: PIVOTS floats for each candidate, its row of L.
// factor: the pivots' rows of L, four a vec4, entry by entry: factor[m][j / 4] has L_jm for j, …, j + 3.
#include "double_float4.wgsl"
#include "pick.wgsl"
#include "positive.wgsl"

// A pivot is at least this share of the largest diagonal entry there is.
const FRACTION = 0.1;

var<workgroup> bestValue: array<f32, SIZE>;
var<workgroup> bestCandidate: array<u32, SIZE>;
var<workgroup> next: u32;
// What remains of the candidates' diagonal, −1 where there is no candidate or no more.
var<workgroup> open: array<vec2f, CANDIDATES>;

fn together(sum: Pair4) -> vec2f {
  var s = Pair4(vec4f(sum.high.x), vec4f(sum.low.x + sum.low.y + sum.low.z + sum.low.w));
  s = add4(s, vec4f(sum.high.y));
  s = add4(s, vec4f(sum.high.z));
  s = add4(s, vec4f(sum.high.w));
  return vec2f(s.high.x, s.low.x);
}

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  let finished = state.finished == 1u;
  // No loop has a constant end on purpose: unrolled, they took lavapipe 56 s to compile (16 lanes).
  for (var candidate = index; candidate < p.count; candidate += SIZE) {
    let exists = state.rows[candidate] != NONE && !finished;
    let row = min(state.rows[candidate], p.rows - 1u);
    open[candidate] = select(vec2f(-1.0, 0.0), remaining[row], exists);
  }
  let least = max(p.tolerance * state.firstPivot, FRACTION * select(state.outside, 0.0, p.count == p.rows));
  var smallest = state.smallestPivot;
  var made = 0u;
  for (; made < PIVOTS; made++) {
    // The largest of what remains, the first of equal ones.
    var value = -1.0;
    var candidate = 0u;
    for (var i = index; i < p.count; i += SIZE) {
      let x = open[i].x;
      if (x > value) {
        value = x;
        candidate = i;
      }
    }
    bestValue[index] = value;
    bestCandidate[index] = candidate;
    for (var half = SIZE / 2u + p.zero; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (index < half) {
        let v = bestValue[index + half];
        let c = bestCandidate[index + half];
        if (v > bestValue[index] || (v == bestValue[index] && c < bestCandidate[index])) {
          bestValue[index] = v;
          bestCandidate[index] = c;
        }
      }
    }
    if (index == 0u) {
      let most = bestValue[0];
      // The first of a round is above the tolerance.
      let ends = !isPositive(most) || (made > 0u && !(most > least));
      next = select(bestCandidate[0], NONE, ends);
    }
    let pivot = workgroupUniformLoad(&next);
    if (pivot == NONE) { break; }
    let most = bestValue[0];
    let root = sqrt(most);
    let column = state.rows[pivot];
    for (var candidate = index; candidate < p.count; candidate += SIZE) {
      let left = open[candidate];
      if (left.x < 0.0) { continue; }
      var sum = Pair4();
      // The pivot's row may have its root already: times the zero that the others still have there.
      for (var m = 0u; m < (made + 3u) / 4u; m++) {
        sum = addProduct4(sum, columns[candidate * (PIVOTS / 4u) + m], columns[pivot * (PIVOTS / 4u) + m]);
      }
      let known = together(sum);
      let at = candidate * p.stride + column;
      var rest = add4(Pair4(vec4f(high[at]), vec4f(low[at] - small[at])), vec4f(-known.x));
      let entry = select((rest.high.x + (rest.low.x - known.y)) / root, root, candidate == pivot);
      let place = candidate * (PIVOTS / 4u) + made / 4u;
      let before = select(columns[place], vec4f(), made % 4u == 0u);
      columns[place] = select(before, vec4f(entry), vec4u(0u, 1u, 2u, 3u) == vec4u(made % 4u));
      let square = addProduct4(Pair4(), vec4f(-entry), vec4f(entry));
      var after = add4(Pair4(vec4f(left.x), vec4f(left.y)), square.high);
      after.low += square.low;
      after = renormalize4(after);
      open[candidate] = select(vec2f(after.high.x, after.low.x), vec2f(-1.0, 0.0), candidate == pivot);
    }
    if (index == 0u) { state.pivots[made] = pivot; }
    smallest = min(smallest, most);
    storageBarrier();
    workgroupBarrier();
  }
  // Up to a whole vec4 of columns; those that were not made have nothing.
  let groups = (made + 3u) / 4u;
  for (var item = index; item < 4u * groups * groups; item += SIZE) {
    let m = item / groups;
    let j = 4u * (item % groups);
    var rows = vec4f();
#for c in 0..4
    if (j + $(c)u < made && m <= j + $(c)u) {
      let row = columns[state.pivots[j + $(c)u] * (PIVOTS / 4u) + m / 4u];
      rows[$c] = pick(row, m % 4u);
    }
#end
    factor[m * (PIVOTS / 4u) + j / 4u] = rows;
  }
  if (index != 0u || finished) { return; }
  state.made = made;
  state.smallestPivot = smallest;
}
