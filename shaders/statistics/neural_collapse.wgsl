// NC1 and NC2 from the squared distances of rows to their class mean and the products of the centred class means.
//   trace of Σ_W = (1/n) Σ_i scatter_i,  trace of Σ_B = (1/C) Σ_c ‖μ_c − μ‖²,  μ the mean of the μ_c
//   NC2 = (1/C²) Σ_{c,c'} (cos(μ_c − μ, μ_c' − μ) − E_cc')²,  E_cc = 1, E_cc' = −1/(C − 1)
// results = (tr Σ_W, tr Σ_B, NC2, the smallest ‖μ_c − μ‖², ‖μ‖², the bits in `largest`, 0, 0). Where the smallest is 0,
// NC2 is anything. gram_cc' = (μ_c − μ) · (μ_c' − μ). One workgroup.

#include "workgroup_sum.wgsl"

const SIZE = 64u;

fn total(index: u32, value: f32) -> f32 {
  workgroupBarrier();
  _ = workgroupSum(index, value);
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  let classes = f32(p.groups);
  var within = 0.0;
  for (var i = index; i < p.rows; i += SIZE) { within += scatter[i]; }
  var between = 0.0;
  for (var c = index; c < p.groups; c += SIZE) { between += gram[c * p.stride + c]; }
  var square = 0.0;
  for (var k = index; k < p.width; k += SIZE) { square += dot(mean[k], mean[k]); }
  var deviation = 0.0;
  for (var pair = index; pair < p.groups * p.groups; pair += SIZE) {
    let c = pair / p.groups;
    let e = pair % p.groups;
    if (c == e) { continue; }
    // Not the root of the product: that of two squares has less room than float32 has for their roots.
    let cosine = gram[c * p.stride + e] / (sqrt(gram[c * p.stride + c]) * sqrt(gram[e * p.stride + e]));
    let d = cosine + 1.0 / (classes - 1.0);
    deviation += d * d;
  }
  let traceWithin = total(index, within) / f32(p.rows);
  let traceBetween = total(index, between) / classes;
  let nc2 = total(index, deviation) / (classes * classes);
  let meanSquare = total(index, square);
  if (index == 0u) {
    var nearest = gram[0];
    for (var c = 1u; c < p.groups; c++) { nearest = min(nearest, gram[c * p.stride + c]); }
    results[0] = bitcast<u32>(traceWithin);
    results[1] = bitcast<u32>(traceBetween);
    results[2] = bitcast<u32>(nc2);
    results[3] = bitcast<u32>(nearest);
    results[4] = bitcast<u32>(meanSquare);
    results[5] = largest[0];
    results[6] = 0u;
    results[7] = 0u;
  }
}
