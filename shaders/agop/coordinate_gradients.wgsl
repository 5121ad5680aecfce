// The gradients of f(x) = Σ_j α_j k(x, x_j) for a kernel of a distance by coordinates: row r · outputs + c of `out` is
// rate · Σ_j w_rj α_cj g(x_j − x_r), with g = ψ'/2 of each coordinate, for OUTPUTS outputs c from firstOutput on.
//
// x (n × d) and alpha (outputs × n) belong to the n columns of w: all of them, or a tile; with ACCUMULATE the sum is added to
// what is there. own (rows × d) are the rows x_r. Four coordinates an invocation, which goes through all n rows: what takes
// longest is g, and it serves all outputs. Sums are in double-float, since gradients are small beside their terms.
// Before this text: that of ψ, and `apart`, what becomes of four differences. OUTPUTS: u32, 1 to 4.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let quads = p.strideX / 4u;
  let entry = 64u * (p.first + group.x) + index;
  let row = entry / quads;
  let slot = entry % quads;
  if (row >= p.rows) { return; }
  let mine = own[row * quads + slot];
#for c in 0..4
  var s$c: Pair4;
#end
  for (var j = 0u; j < p.n; j++) {
    let slope = coordinateSlope(apart(x[j * quads + slot] - mine, slot), p.scale) * w[p.offsetW + row * p.strideW + j];
#for c in 0..4
    if (OUTPUTS > $(c)u) { s$c = add4(s$c, slope * alpha[(p.firstOutput + $(c)u) * p.strideAlpha + j]); }
#end
  }
#for c in 0..4
  if (OUTPUTS > $(c)u) {
    let at = (p.offsetOut + (row * p.outputs + p.firstOutput + $(c)u) * p.strideOut) / 4u + slot;
    let sum = p.rate * (s$c.high + s$c.low);
    out[at] = sum + select(vec4f(), out[at], has(ACCUMULATE));
  }
#end
}
