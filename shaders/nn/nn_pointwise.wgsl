// Entry by entry over tensors of a network, as a flat run of vec4 (rows may exceed the limit of a grid's dimension):
//   0  out = max(A, 0), a NaN as it is: max(NaN, 0) may be 0, and what diverged would be a dead unit
//   1  out = A where B > 0, else 0 (gradient through a ReLU whose result was B)
//   2  out = A + B
// B is read at the index modulo `period`: several gradients in a row may share one forward pass.
#include "flat_index.wgsl"
#include "is_nan.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = flatIndex(group, groups, local);
  if (i >= p.count) { return; }
  let x = a[i];
  switch (OPERATION) {
    case 0u: { out[i] = select(max(x, vec4f()), x, isNan(x)); }
    case 1u: { out[i] = select(vec4f(), x, b[i % p.period] > vec4f()); }
    default: { out[i] = x + b[i % p.period]; }
  }
}
