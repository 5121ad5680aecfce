// Adam (Kingma and Ba, ICLR 2015), decay added to the gradient:
//   m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − rate · m̂ / (√v̂ + ε)
// with m̂ = m · correction1, v̂ = v · correction2, correctionᵢ = 1 / (1 − βᵢ^step).
#include "flat_index.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = flatIndex(group, groups, local);
  if (i >= p.count) { return; }
  let w = weights[i];
  let g = gradient[i] + p.decay * w;
  let m = p.beta1 * first[i] + (1.0 - p.beta1) * g;
  let v = p.beta2 * second[i] + (1.0 - p.beta2) * g * g;
  first[i] = m;
  second[i] = v;
  weights[i] = w - p.rate * (m * p.correction1) / (sqrt(v * p.correction2) + p.epsilon);
}
