// No kernel of its own: an entry of scale · A Bᵀ + bias · addend from its sum of products. Where `low` is stored, the factor is
// scale + scaleLow, and an addend is out + low itself and counts once.
#include "head.wgsl"
#include "opaque.wgsl"

// value + left is the sum. lavapipe goes through the lanes at every access to a buffer, taken or not, so there are as few of
// them as can be.
fn storeSum(row: u32, col: u32, value: f32, left: f32) {
  if (isWanted(row, col)) {
    let at = placeOf(row, col);
    var before = 0.0;
    var beforeLow = 0.0;
    if (has(ACCUMULATE)) {
      before = out[at];
      if (storesLow()) { beforeLow = low[at]; }
    }
    if (has(ADD)) { before = addend[row * p.strideAddend + col]; }
    var high = p.scale * value;
    var rest = 0.0;
    if (storesLow()) {
      // (value + left)(scale + scaleLow): the product of the high parts exactly, from 12-bit halves.
      let added = opaque(high);
      let x = head(value);
      let y = head(p.scale);
      rest = ((x * y - added) + x * (p.scale - y) + (value - x) * y) + (value - x) * (p.scale - y);
      rest += value * p.scaleLow + left * p.scale;
      // Knuth's two-sum: exact, whichever is the larger.
      let sum = opaque(before + added);
      let part = opaque(sum - before);
      rest += beforeLow + ((before - opaque(sum - part)) + (added - part));
      high = opaque(sum + rest);
      rest -= opaque(high - sum);
    } else if (has(ACCUMULATE | ADD)) {
      high += p.bias * before;
    }
    put(row, col, high, rest);
  }
}
