// Step i of the bidiagonalisation: what the step before left to do to the rows of X below row i, X ← X − u yᵀ − x vᵀ, and with
// the result and this step's v and τ the new x = τ X v. A row is one workgroup's work. See row_reflector.wgsl.

#include "bidiagonal_bands.wgsl"

@compute @workgroup_size(WORKERS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let i = p.step;
  let row = i + 1u + group.x;
  let at = row * p.width;
  let now = i * p.width;
  var sum = vec4f();
  if (i > 0u) {
    let left = lefts[(i - 1u) * p.strideLefts + row];
    let right = images[row];
    let before = now - p.width;
    for (var k = i / 4u + index; k < p.width; k += WORKERS) {
      let entries = a[at + k] - left * products[k] - right * reflectors[before + k];
      a[at + k] = entries;
      sum += entries * reflectors[now + k];
    }
  } else {
    for (var k = index; k < p.width; k += WORKERS) { sum += a[at + k] * reflectors[now + k]; }
  }
  let image = sumOfWorkers(index, dot(sum, vec4f(1.0)));
  if (index == 0u) { images[row] = bands[TAU_RIGHT * p.strideBands + i] * image; }
}
