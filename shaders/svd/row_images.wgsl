// Step i of the bidiagonalisation: what the step before left to do to the rows of X below row i, X ← X − u yᵀ − x vᵀ, and with
// the result and this step's v and τ the new x = τ X v. ROWS rows are one workgroup's work, so that what belongs to columns is
// read once for all of them. See row_reflector.wgsl.

#include "bidiagonal_bands.wgsl"

const ROWS = 4u;

@compute @workgroup_size(WORKERS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let i = p.step;
  let now = i * p.width;
  let before = max(now, p.width) - p.width;
  let first = i + 1u + ROWS * group.x;
  // Rows beyond the last are the last once more: to change it twice alike is no harm, since each invocation has its columns.
#for r in 0..4
  let row$r = min(first + $(r)u, p.rows - 1u);
  let at$r = row$r * p.width;
  let left$r = select(0.0, lefts[max(i, 1u) * p.strideLefts - p.strideLefts + row$r], i > 0u);
  let right$r = select(0.0, images[row$r], i > 0u);
  var sum$r = vec4f();
#end
  for (var k = i / 4u + index; k < p.width; k += WORKERS) {
    let v = reflectors[now + k];
    let y = select(vec4f(), products[k], i > 0u);
    let x = select(vec4f(), reflectors[before + k], i > 0u);
#for r in 0..4
    let entries$r = a[at$r + k] - left$r * y - right$r * x;
    sum$r += entries$r * v;
#end
#for r in 0..4
    a[at$r + k] = entries$r;
#end
  }
  let total = sumOfWorkers(
    index, vec4f(dot(sum0, vec4f(1.0)), dot(sum1, vec4f(1.0)), dot(sum2, vec4f(1.0)), dot(sum3, vec4f(1.0))));
  if (index < ROWS && first + index < p.rows) {
    images[first + index] = bands[TAU_RIGHT * p.strideBands + i] * total[index];
  }
}
