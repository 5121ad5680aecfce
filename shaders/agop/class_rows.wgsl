// Row l, column j of out + low (classes × n): Σ_c α_cj U_lcj − S_cj B_lcj, where row l · outputs + c of U, in two floats, and of B,
// the shares, is that of class l and output c; `vectors` holds α, S, and what float32 lacks of S, outputs × n each. It is what
// Σ_ic q_ic B_ic is at row j, q_ic holding W_ij α_jc for j ≠ i and −S_ci for j = i: terms as large as the weights of near rows,
// which nearly cancel. Four columns an invocation.
#include "double_float4.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= p.width) { return; }
  let size = p.outputs * p.width;
  let none = vec4f();
  var sum = Pair4();
  for (var c = 0u; c < p.outputs; c++) {
    let own = c * p.width + id.x;
    let at = id.y * size + own;
    sum = addPairs(sum, Pair4(vectors[own], none), Pair4(weighted[at], weightedLow[at]));
    sum = addPairs(sum, Pair4(-vectors[size + own], -vectors[2u * size + own]), Pair4(shares[at], none));
  }
  sum = renormalize4(sum);
  out[id.y * p.width + id.x] = sum.high;
  low[id.y * p.width + id.x] = sum.low;
}
