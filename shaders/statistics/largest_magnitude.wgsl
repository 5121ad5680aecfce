// largest[slot] = the largest |a_ij| of a matrix, as the bits of that number; it begins as 0. Without their sign bits are in
// the order of the numbers, and infinities and NaN, which no comparison of numbers is sure to see, come last.
// A few workgroups that go on by `step` vec4, so that any size is one dispatch.

const SIZE = 64u;

var<workgroup> found: atomic<u32>;

@compute @workgroup_size(SIZE)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32) {
  var own = vec4u();
  for (var i = id.x; i < p.count; i += p.step) { own = max(own, a[i] & vec4u(0x7fffffffu)); }
  atomicMax(&found, max(max(own.x, own.y), max(own.z, own.w)));
  workgroupBarrier();
  if (index == 0u) { atomicMax(&largest[p.slot], atomicLoad(&found)); }
}
