// X_s = (B_s − X_known L_s,knownᵀ) L_ss⁻ᵀ for `blocks` blocks s of at most BLOCK unknowns of X Lᵀ = B, one after the other, one
// right-hand side a row: what trsm_panel_subgroup.wgsl computes a block at a time, on a GPU. A workgroup has 32 right-hand
// sides, and no other needs them, so it can go on to the next block without the rest of the device. Invocation 8 r + q has
// unknowns 4q … 4q + 3 of the block, of right-hand side r.
//
// IN_PLACE: X, B and L are one buffer, `x`, and this is the panel below a diagonal block of a Cholesky factorisation.
// block_quads.wgsl stands before this text.

var<workgroup> left: array<vec4f, BLOCK * PITCH>;
var<workgroup> right: array<vec4f, BLOCK * PITCH>;

// The products of row `row` of `left` with four rows of `right` from 4q on.
fn products(row: u32, q: u32) -> vec4f {
  var sum = vec4f();
  for (var step = 0u; step < quads(); step++) {
    let y = left[row * PITCH + step];
    sum += vec4f(
#for e in 0..4
      dot(y, right[(4u * q + $(e)u) * PITCH + step]),
#end
    );
  }
  return sum;
}

@compute @workgroup_size(BLOCK * QUADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = index / QUADS;
  let q = index % QUADS;
  let place = row * PITCH + q;
  let side = (p.firstGroup + group.x) * BLOCK + row;
  // Right-hand sides beyond the last repeat it, and are not stored.
  let copied = min(side, p.m - 1u);
  let ownX = (p.offsetX + copied * p.strideX) / 4u;
  let ownB = (p.offsetB + copied * p.strideB) / 4u;
  for (var block = 0u; block < p.blocks; block++) {
    let start = select(p.start + block * BLOCK, p.start - block * BLOCK, has(UPWARDS));
    let size = min(BLOCK, p.end - start);
    // Known are the panel's unknowns before the block, upwards those after it.
    let first = select(p.first, start + BLOCK, has(UPWARDS));
    let last = select(start, p.end, has(UPWARDS));
    let rowL = min(start + row, p.n - 1u);
    var rest = vec4f();
    if (4u * q < size) {
      if (IN_PLACE) { rest = x[ownX + start / 4u + q]; } else { rest = b[ownB + start / 4u + q]; }
    }
    for (var slab = first; slab < last; slab += BLOCK) {
      // Beyond the last unknown there is padding at most.
      let inside = slab + 4u * q < last;
      let at = select(0u, slab / 4u + q, inside);
      left[place] = select(vec4f(), x[ownX + at], inside);
      if (IN_PLACE) {
        right[place] = select(vec4f(), x[rowL * p.strideL / 4u + at], inside);
      } else {
        right[place] = select(vec4f(), l[rowL * p.strideL / 4u + at], inside);
      }
      workgroupBarrier();
      rest -= products(row, q);
      workgroupBarrier();
    }
    left[place] = rest;
    right[place] = inverses[rowL * p.strideInverse / 4u + q];
    workgroupBarrier();
    let inside = 4u * q + vec4u(0u, 1u, 2u, 3u) < vec4u(size);
    let result = select(vec4f(), products(row, q), inside);
    if (side < p.m && 4u * q < size) { x[ownX + start / 4u + q] = result; }
    storageBarrier();
    workgroupBarrier();
  }
}
