// Step i of the bidiagonalisation (Golub and Kahan 1965; see svd.ts): the reflector I − τ v vᵀ from the right that leaves of row
// i of X only its entry on the diagonal, d. One workgroup.
//
// X itself is one step behind: what the step before takes from it, u yᵀ + x vᵀ, is here taken from row i alone. y is summed
// from its parts, y = τ (Xᵀu − v (x · u)), with the τ of the reflector from the left.
//
// reflectors (rows × cols): row i = v, zero before its entry i, which is 1.

#include "householder.wgsl"

@compute @workgroup_size(SIZE)
fn main(@builtin(local_invocation_index) index: u32) {
  let i = p.step;
  let at = i * p.width;
  let left = select(0.0, lefts[(i - 1u) * p.strideLefts + i], i > 0u);
  let right = select(0.0, images[i], i > 0u);
  let tau = select(0.0, bands[TAU_LEFT * p.strideBands + i - 1u], i > 0u);
  let inner = select(0.0, bands[INNER * p.strideBands + i - 1u], i > 0u);
  var sums = vec2f();
  for (var k = index; k < p.width; k += SIZE) {
    let cols = 4u * k + vec4u(0u, 1u, 2u, 3u);
    var row = vec4f();
    if (cols.w >= i) {
      row = a[at + k];
      if (i > 0u) {
        var sum = vec4f();
        for (var part = 0u; part < p.parts; part++) { sum += parts[part * p.width + k]; }
        let before = reflectors[at - p.width + k];
        let y = tau * (sum - inner * before);
        products[k] = y;
        row -= left * y + right * before;
      }
      row = select(vec4f(), row, cols >= vec4u(i));
    }
    reflectors[at + k] = row;
    let tail = select(vec4f(), row, cols > vec4u(i));
    sums += vec2f(dot(row - tail, vec4f(1.0)), dot(tail, tail));
  }
  let found = householder(totals(index, sums));
  if (index == 0u) {
    bands[DIAGONAL * p.strideBands + i] = found.beta;
    bands[TAU_RIGHT * p.strideBands + i] = found.tau;
  }
  for (var k = index; k < p.width; k += SIZE) {
    let cols = 4u * k + vec4u(0u, 1u, 2u, 3u);
    reflectors[at + k] = select(reflectors[at + k] * found.scale, vec4f(1.0), cols == vec4u(i));
  }
}
