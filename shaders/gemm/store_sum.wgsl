// No kernel of its own: an entry of scale · A Bᵀ + bias · addend from its sum of products. Where `low` is stored, the factor is
// scale + scaleLow, and an addend is out + low itself and counts once.
#include "head.wgsl"
#include "opaque.wgsl"

// *left + value is the sum. lavapipe goes through the lanes at every access to a buffer, taken or not, so there are as few of
// them as can be; an entry of an array at a variable place counts as one, so *left is loaded where it is wanted alone.
fn storeSum(row: u32, col: u32, value: f32, left: ptr<function, f32>) {
  if (isWanted(row, col)) {
    let at = placeOf(row, col);
    var before = 0.0;
    var beforeLow = 0.0;
    if (has(ACCUMULATE)) {
      before = out[at];
      if (storesLow()) { beforeLow = low[at]; }
    }
    if (has(ADD)) { before = addend[row * p.strideAddend + col]; }
    var high = p.scale * value + p.bias * before;
    var rest = 0.0;
    if (storesLow()) {
      // (value + left)(scale + scaleLow): the product of the high parts exactly, from 12-bit halves.
      let added = opaque(p.scale * value);
      let x = head(value);
      let y = head(p.scale);
      rest = ((x * y - added) + x * (p.scale - y) + (value - x) * y) + (value - x) * (p.scale - y);
      rest += value * p.scaleLow + *left * p.scale;
      // Knuth's two-sum: exact, whichever is the larger.
      let sum = opaque(before + added);
      let part = opaque(sum - before);
      rest += beforeLow + ((before - opaque(sum - part)) + (added - part));
      high = opaque(sum + rest);
      rest -= opaque(high - sum);
    }
    put(row, col, high, rest);
  }
}
