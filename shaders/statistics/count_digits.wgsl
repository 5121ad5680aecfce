// counts[d] += the entries above 0 of an m × n matrix without negative ones whose bits have the digit d, which is the part of
// them from bit `shift` to bit `above`, and all of `prefix` above it; counts[BINS] += its zeros. Bits of such numbers are in the
// order of the numbers. BELOW: of a square matrix only entries below the diagonal.
//
// A few workgroups that go on by `step` rows, so that any size is one dispatch, and each adds what it has counted once.

var<workgroup> own: array<atomic<u32>, BINS + 1u>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let mask = (1u << (p.above - p.shift)) - 1u;
  for (var row = group.x; row < p.m; row += p.step) {
    let end = select(p.n, row, BELOW);
    for (var quad = index; 4u * quad < end; quad += SIZE) {
      let four = a[row * p.stride / 4u + quad] & vec4u(0x7fffffffu);
      for (var e = 0u; e < 4u; e++) {
        let bits = four[e];
        if (4u * quad + e < end && (bits >> p.above == p.prefix || bits == 0u)) {
          atomicAdd(&own[select((bits >> p.shift) & mask, BINS, bits == 0u)], 1u);
        }
      }
    }
  }
  workgroupBarrier();
  for (var digit = index; digit <= BINS; digit += SIZE) {
    let count = atomicLoad(&own[digit]);
    if (count > 0u) { atomicAdd(&counts[digit], count); }
  }
}
