// out = in, vec4 by vec4: the ceiling of memory bandwidth that `deep-rfm bench` measures rates against.

const PER_INVOCATION = 16u;
const WORKGROUP = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * WORKGROUP * PER_INVOCATION + lane;
  for (var i = 0u; i < PER_INVOCATION; i++) {
    let at = first + i * WORKGROUP;
    if (at < p.count) { out[at] = source[at]; }
  }
}
