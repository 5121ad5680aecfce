// S_ij = rate · Σ_k t(a_ik, b_jk): distances by coordinates (see `CoordinateDistance`), or squared ones with all their digits, of
// the rows of A (m × k) and of B, which is given transposed (k × n): neighbouring columns of S are then neighbouring numbers.
//
// Sums are in double-float, since a kernel machine divides by small ridges.
// Four rows and four columns an invocation: what is loaded of B serves four rows.
// Before this text: `addTerm`, and `store`, which takes the sums as a Pair4.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let slot = 64u * group.x + index;
  let row = 4u * (p.first + group.y);
  if (slot >= p.strideOut / 4u || row >= p.m) { return; }
  let rows = min(row + vec4u(0u, 1u, 2u, 3u), vec4u(p.m - 1u));
  let start = p.offsetA + rows * p.strideA;
#for i in 0..4
  var s$i: Pair4;
#end
  for (var k = 0u; k < p.k; k++) {
    let b = transposed[k * p.strideB / 4u + slot];
    s0 = addTerm(s0, vec4f(a[start.x + k]), b, k);
    s1 = addTerm(s1, vec4f(a[start.y + k]), b, k);
    s2 = addTerm(s2, vec4f(a[start.z + k]), b, k);
    s3 = addTerm(s3, vec4f(a[start.w + k]), b, k);
  }
  let rate = Pair4(vec4f(p.rateHigh), vec4f(p.rateLow));
  // Columns beyond the last are padding.
  let inside = 4u * slot + vec4u(0u, 1u, 2u, 3u) < vec4u(p.n);
#for i in 0..4
  if (row + $(i)u < p.m) {
    let sum = times4(renormalize4(s$i), rate);
    store((row + $(i)u) * p.strideOut / 4u + slot, Pair4(select(vec4f(), sum.high, inside), select(vec4f(), sum.low, inside)));
  }
#end
}
