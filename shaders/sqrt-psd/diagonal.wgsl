// The diagonal of a square matrix M = a + low as (high, low) pairs: the start of a pivoted Cholesky factorisation.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < p.rows) { out[id.x] = vec2f(a[id.x * p.stride + id.x], low[id.x * p.stride + id.x]); }
}
