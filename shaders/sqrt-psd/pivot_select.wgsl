// Chooses the next pivots of a pivoted Cholesky factorisation: the four largest of the diagonal that remains, the first
// of equal ones. One workgroup. pivot_products.wgsl and pivot_columns.wgsl, which follow it, make at most four columns.
//
// remaining: diagonal as (high, low) pairs; −1 where a row has been a pivot.
// state: [0] columns so far, [1] 1 once what remains is below tolerance × the first pivot, [2] the first pivot,
// [4 … 7] the rows chosen (NONE where there are fewer), [8 … 11] and [12 … 15] what remains there, high and low;
// written by pivot_columns: [16] columns made of the last choice, [17] the smallest pivot so far. Numbers as their bits.
requires immediate_address_space;

// Header: SIZE: u32, the invocations: on a software adapter one subgroup, since it changes between them at a barrier.

struct Params {
  rows: u32,
  tolerance: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> remaining: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;

const NONE = 0xffffffffu;

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
  if (index != 0u || state[1] == 1u) { return; }
  let columns = state[0] + state[16];
  state[0] = columns;
  state[16] = 0u;
  if (columns == 0u) { state[2] = bitcast<u32>(largest); }
  let bits = bitcast<u32>(largest);
  let positive = bits > 0u && bits < 0x7f800000u;
  if (!positive || largest <= p.tolerance * bitcast<f32>(state[2])) {
    state[1] = 1u;
    return;
  }
  for (var c = 0u; c < 4u; c++) {
    let row = select(select(select(chosen.w, chosen.z, c == 2u), chosen.y, c == 1u), chosen.x, c == 0u);
    let rest = select(vec2f(-1.0, 0.0), remaining[min(row, p.rows - 1u)], row != NONE);
    state[4u + c] = row;
    state[8u + c] = bitcast<u32>(rest.x);
    state[12u + c] = bitcast<u32>(rest.y);
  }
}
