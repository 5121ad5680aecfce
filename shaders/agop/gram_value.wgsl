// No kernel of its own: what makes entries of Q = P ∘ (α αᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)) of those of P = W W, with
// T = W ∘ (S αᵀ), so that n · AGOP = Xᵀ Q X; for kernels whose texts it is put before. Four entries at a time, of
// neighbouring rows or columns: on software adapters a vec4 costs as many accesses as a number.
//
// The terms cancel, so everything is double-float (two float32; products of 12-bit halves are exact).
//
// The kernel declares what both sides are read from: `ones` (array<f32>) for the index that the four entries share,
// `fours` (array<vec4f>) for the other. Each holds α, S = W α and what float32 lacks of S, transposed, one below the other
// (3 · outputs rows). And `zero`.

#include "head.wgsl"
#include "opaque.wgsl"

struct Pair { high: vec4f, low: vec4f }

// t + x with the error of the sum in the low part (Knuth's two-sum).
fn addExactly(t: Pair, x: vec4f) -> Pair {
  let sum = opaque4(t.high + x);
  let part = opaque4(sum - t.high);
  return Pair(sum, t.low + ((t.high - opaque4(sum - part)) + (x - part)));
}

fn addProduct(t: Pair, x: Pair, z: Pair) -> Pair {
  let x1 = head4(x.high);
  let x2 = x.high - x1;
  let z1 = head4(z.high);
  let z2 = z.high - z1;
  var sum = addExactly(t, x1 * z1);
  sum.low += x1 * z2 + x2 * z1 + x2 * z2 + (x.high * z.low + x.low * z.high);
  return sum;
}

fn renormalize(t: Pair) -> Pair {
  let sum = opaque4(t.high + t.low);
  return Pair(sum, t.low - opaque4(sum - t.high));
}

// Entries of Q from those of P and W. `one`, `four`: their place among `ones` and `fours`; the strides are from one row of
// these to the next (of vec4 in `fours`). `own`: which of them are on the diagonal.
fn gramValue(
  product: Pair,
  w: vec4f,
  outputs: u32,
  one: u32,
  strideOne: u32,
  four: u32,
  strideFour: u32,
  own: vec4<bool>,
) -> Pair {
  let none = vec4f();
  var aa = Pair();
  var sa = Pair();
  var ss = Pair();
  for (var c = 0u; c < outputs; c++) {
    let atOne = one + c * strideOne;
    let atFour = four + c * strideFour;
    let alphaOne = Pair(vec4f(ones[atOne]), none);
    let alphaFour = Pair(fours[atFour], none);
    let sOne = Pair(vec4f(ones[atOne + outputs * strideOne]), vec4f(ones[atOne + 2u * outputs * strideOne]));
    let sFour = Pair(fours[atFour + outputs * strideFour], fours[atFour + 2u * outputs * strideFour]);
    aa = addProduct(aa, alphaOne, alphaFour);
    sa = addProduct(addProduct(sa, sOne, alphaFour), sFour, alphaOne);
    if (any(own)) { ss = addProduct(ss, sOne, sOne); }
  }
  ss = Pair(select(none, ss.high, own), select(none, ss.low, own));
  let sum = addProduct(ss, product, renormalize(aa));
  return renormalize(addProduct(sum, Pair(-w, none), renormalize(sa)));
}
