// Stochastic gradient descent with momentum: v ← momentum · v + (g + decay · w), w ← w − rate · v.
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
  let v = p.momentum * velocity[i] + (gradient[i] + p.decay * w);
  velocity[i] = v;
  weights[i] = w - p.rate * v;
}
