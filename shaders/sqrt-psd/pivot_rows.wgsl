// Rows of M = m + mLow at the candidates, and of the two parts of L, which lie side by side, the columns there are. An
// invocation a row and vec4. pivot_state.wgsl stands before this text.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let candidate = id.y;
  if (candidate >= p.count) { return; }
  // The last row stands in for NONE, and nobody looks at what comes of it.
  let row = min(state.rows[candidate], p.rows - 1u);
  if (id.x < p.widthM) {
    high[candidate * p.widthM + id.x] = m[row * p.widthM + id.x];
    low[candidate * p.widthM + id.x] = mLow[row * p.widthM + id.x];
  }
  if (id.x < p.known) {
#for half in 0..2
    own[candidate * p.widthParts + $(half)u * p.widthParts / 2u + id.x] =
      parts[row * p.widthParts + $(half)u * p.widthParts / 2u + id.x];
#end
  }
}
