// Chooses the next pivot of a pivoted Cholesky factorisation: the largest remaining diagonal entry,
// the first of equal ones. One workgroup.
//
// remaining: diagonal as (high, low) pairs. state: [0] pivot row, [1] rank so far, [2] 1 once the
// remaining diagonal is below tolerance × the first pivot, [3] first pivot, [4] last pivot (bits of f32).
requires immediate_address_space;

// Header: SIZE: u32, the invocations: on a software adapter one subgroup, since it changes between them at a barrier.

struct Params {
  rows: u32,
  step: u32,
  tolerance: f32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read> remaining: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;

var<workgroup> bestValue: array<f32, SIZE>;
var<workgroup> bestRow: array<u32, SIZE>;

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  var value = -1.0;
  var row = 0xffffffffu;
  for (var i = index; i < p.rows; i += SIZE) {
    let x = remaining[i].x;
    if (x > value) {
      value = x;
      row = i;
    }
  }
  bestValue[index] = value;
  bestRow[index] = row;
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
  if (index != 0u || state[2] == 1u) { return; }
  let pivot = bestValue[0];
  if (p.step == 0u) { state[3] = bitcast<u32>(pivot); }
  let bits = bitcast<u32>(pivot);
  let positive = bits > 0u && bits < 0x7f800000u;
  if (!positive || pivot <= p.tolerance * bitcast<f32>(state[3])) {
    state[2] = 1u;
    return;
  }
  state[0] = bestRow[0];
  state[1] = p.step + 1u;
  state[4] = bits;
}
