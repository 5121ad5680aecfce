// Cholesky factor L of one diagonal block, after what columns firstKnown … start − 1 take off it is taken off it, and L⁻¹: what
// potrf_block_subgroup.wgsl computes, on a GPU, where 256 invocations of a workgroup share the block and a barrier costs
// little. Invocation 8 r + q has columns 4q … 4q + 3 of row r.
//
// One elimination gives both. With the pivot d_j and f_r = w_rj / d_j, row j times f_r is taken off every row r below it:
// right of column j that leaves the remaining block, and left of it, begun as the identity, the inverse of the unit lower
// factor; column j itself, no longer needed, becomes that inverse's, −f_r. L's columns are w_rj / √d_j, and the rows of L⁻¹
// those of that inverse over √d_r. Rows are read in one buffer and written to the other, so a step has one barrier.
//
// The block at (start, start) of A, size × size with size ≤ BLOCK, becomes L (its upper part Lᵀ); rows start … of `inverses`
// become L⁻¹, rows start … of `inversesT` its transpose. info[0] is the number of the first pivot (from 1) that was not
// positive and finite, 0 if all were; such a pivot is replaced by 1, and the result is unusable.
// block_quads.wgsl stands before this text.

#include "pick.wgsl"
#include "positive.wgsl"

var<workgroup> rows: array<array<vec4f, BLOCK * PITCH>, 2>;
var<workgroup> lower: array<array<f32, BLOCK + 1u>, BLOCK>;
var<workgroup> inverse: array<array<f32, BLOCK + 1u>, BLOCK>;

@compute @workgroup_size(BLOCK * QUADS)
fn main(@builtin(local_invocation_index) index: u32) {
  let row = index / QUADS;
  let q = index % QUADS;
  let cols = 4u * q + vec4u(0u, 1u, 2u, 3u);
  // Rows beyond the last repeat it, and are not stored.
  let atRow = (p.start + min(row, p.size - 1u)) * p.stride / 4u;
  var own = vec4f();
  if (4u * q < p.size) { own = a[atRow + p.start / 4u + q]; }
  for (var slab = p.firstKnown; slab < p.start; slab += BLOCK) {
    rows[0][row * PITCH + q] = a[atRow + slab / 4u + q];
    workgroupBarrier();
    for (var step = 0u; step < quads(); step++) {
      let x = rows[0][row * PITCH + step];
      own -= vec4f(
#for e in 0..4
        dot(x, rows[0][(4u * q + $(e)u) * PITCH + step]),
#end
      );
    }
    workgroupBarrier();
  }

  // Only the lower half was to be read, and elimination needs both.
  for (var e = 0u; e < 4u; e++) { lower[row][4u * q + e] = pick(own, e); }
  workgroupBarrier();
  let c = 4u * q;
  own = select(own, vec4f(lower[c][row], lower[c + 1u][row], lower[c + 2u][row], lower[c + 3u][row]), cols > vec4u(row));

  var factor = vec4f();
  var root = 1.0;
  rows[0][row * PITCH + q] = own;
  for (var j = 0u; j < p.size; j++) {
    workgroupBarrier();
    let current = j % 2u;
    let pivots = rows[current][j * PITCH + q];
    var pivot = pick(rows[current][j * PITCH + j / 4u], j % 4u);
    if (!isPositive(pivot)) {
      if (index == 0u && info[0] == 0u) { info[0] = p.start + j + 1u; }
      pivot = 1.0;
    }
    let w = pick(rows[current][row * PITCH + j / 4u], j % 4u);
    let here = cols == vec4u(j);
    if (row == j) {
      root = sqrt(pivot);
      factor = select(factor, vec4f(root), here);
    }
    if (row > j) {
      factor = select(factor, vec4f(w / sqrt(pivot)), here);
      let f = w / pivot;
      own = select(own - f * pivots, vec4f(-f), here);
    }
    rows[1u - current][row * PITCH + q] = own;
  }
  let below = cols < vec4u(row);
  let unit = select(select(vec4f(), vec4f(1.0), cols == vec4u(row)), own, below) / root;
  for (var e = 0u; e < 4u; e++) {
    lower[row][4u * q + e] = pick(factor, e);
    inverse[row][4u * q + e] = pick(unit, e);
  }
  workgroupBarrier();
  if (row >= p.size) { return; }
  // Columns beyond the block are padding; the strips are as wide as a whole block.
  let inside = cols < vec4u(p.size);
  let turned = vec4f(lower[c][row], lower[c + 1u][row], lower[c + 2u][row], lower[c + 3u][row]);
  if (c < p.size) { a[atRow + p.start / 4u + q] = select(vec4f(), select(turned, factor, cols <= vec4u(row)), inside); }
  let at = (p.start + row) * p.strideInverse / 4u + q;
  let column = vec4f(inverse[c][row], inverse[c + 1u][row], inverse[c + 2u][row], inverse[c + 3u][row]);
  inverses[at] = select(vec4f(), unit, inside);
  inversesT[at] = select(vec4f(), column, inside);
}
