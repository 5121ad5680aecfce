// No kernel of its own: what makes entries of Q = P ∘ (α αᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)) of those of P = W W, with
// T = W ∘ (S αᵀ), so that n · AGOP = Xᵀ Q X; for kernels whose texts it is put before. Four entries at a time, of
// neighbouring rows or columns: on software adapters a vec4 costs as many accesses as a number.
//
// The terms cancel, so everything is double-float (two float32; products of 12-bit halves are exact).
//
// The kernel declares what both sides are read from: `ones` (array<f32>) for the index that the four entries share,
// `fours` (array<vec4f>) for the other. Each holds α, S = W α and what float32 lacks of S, transposed, one below the other
// (3 · outputs rows). And `zero`.

#include "double_float4.wgsl"

// Where the vectors of four entries are: their place among `ones` and `fours`, and how far it is from one row of these to the
// next (in vec4 for `fours`).
struct Sides {
  outputs: u32,
  one: u32,
  strideOne: u32,
  four: u32,
  strideFour: u32,
}

// Entries of Q from those of P and W. `own`: which of them are on the diagonal.
fn gramValue(product: Pair4, w: vec4f, sides: Sides, own: vec4<bool>) -> Pair4 {
  let none = vec4f();
  let strideOne = sides.outputs * sides.strideOne;
  let strideFour = sides.outputs * sides.strideFour;
  var aa = Pair4();
  var sa = Pair4();
  var ss = Pair4();
  for (var c = 0u; c < sides.outputs; c++) {
    let one = sides.one + c * sides.strideOne;
    let four = sides.four + c * sides.strideFour;
    let alphaOne = Pair4(vec4f(ones[one]), none);
    let alphaFour = Pair4(fours[four], none);
    let sOne = Pair4(vec4f(ones[one + strideOne]), vec4f(ones[one + 2u * strideOne]));
    let sFour = Pair4(fours[four + strideFour], fours[four + 2u * strideFour]);
    aa = addPairs(aa, alphaOne, alphaFour);
    sa = addPairs(addPairs(sa, sOne, alphaFour), sFour, alphaOne);
    if (any(own)) { ss = addPairs(ss, sOne, sOne); }
  }
  ss = Pair4(select(none, ss.high, own), select(none, ss.low, own));
  let sum = addPairs(ss, product, renormalize4(aa));
  return renormalize4(addPairs(sum, Pair4(-w, none), renormalize4(sa)));
}
