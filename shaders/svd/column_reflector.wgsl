// Step i of the bidiagonalisation: the reflector I − τ u uᵀ from the left that leaves of column i of X, below the diagonal, only
// its first entry. One workgroup. See row_reflector.wgsl.
//
// images: x = τ X v with the v and τ of this step's reflector from the right, which X has not been multiplied by: what it
// leaves of column i is that minus x, since v is 1 there.
//
// reflectors (rows × rows): row i = u, zero before its entry i + 1, which is 1.

#include "householder.wgsl"

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  let i = p.step;
  let at = i * p.strideReflectors;
  var sums = vec2f();
  for (var row = index; row < p.strideReflectors; row += SIZE) {
    var entry = 0.0;
    if (row > i && row < p.rows) { entry = a[row * p.stride + i] - images[row]; }
    reflectors[at + row] = entry;
    if (row == i + 1u) { sums.x += entry; } else { sums.y += entry * entry; }
  }
  let found = householder(totals(index, sums));
  var inner = 0.0;
  for (var row = index; row < p.strideReflectors; row += SIZE) {
    let u = select(reflectors[at + row] * found.scale, 1.0, row == i + 1u);
    reflectors[at + row] = u;
    if (row > i && row < p.rows) { inner += u * images[row]; }
  }
  let sum = totals(index, vec2f(inner, 0.0)).x;
  if (index == 0u) {
    bands[BELOW * p.strideBands + i] = found.beta;
    bands[TAU_LEFT * p.strideBands + i] = found.tau;
    bands[INNER * p.strideBands + i] = sum;
  }
}
