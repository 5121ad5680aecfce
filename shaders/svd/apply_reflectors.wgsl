// Rows of A, each a vector z: z ← (I − τ_j v_j v_jᵀ) z for j = first + count − 1 down to first, v_j row j of `reflectors` and τ_j
// in row `band` of `bands`. A vector is one workgroup's work.

#include "householder.wgsl"

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let at = group.x * p.width;
  for (var j = p.first + p.count; j > p.first; j--) {
    let tau = bands[p.band * p.strideBands + j - 1u];
    let reflector = (j - 1u) * p.width;
    var sum = vec4f();
    for (var k = index; k < p.width; k += SIZE) { sum += a[at + k] * reflectors[reflector + k]; }
    let product = tau * totals(index, vec2f(dot(sum, vec4f(1.0)), 0.0)).x;
    for (var k = index; k < p.width; k += SIZE) { a[at + k] -= product * reflectors[reflector + k]; }
  }
}
