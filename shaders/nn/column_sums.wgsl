// Sums down the columns of a matrix (rows × width vec4), CHUNK rows an invocation: row g of `partial` holds two sums of
// the g-th chunk for every column, first all of the first kind, then all of the second.
//   0  Σ (x − x₀), Σ (x − x₀)² with x₀ the matrix's first row: a constant column gives exactly 0
//   1  Σ dy, Σ dy · (x − mean) · inverse, x at the row modulo `period`; statistics = rows mean, inverse
//   2  Σ dy, 0

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let chunk = id.y;
  if (slot >= p.width || chunk >= p.chunks) { return; }
  var first = vec4f();
  var second = vec4f();
  let end = min(p.rows, (chunk + 1u) * CHUNK);
  let origin = a[slot];
  for (var row = chunk * CHUNK; row < end; row++) {
    let value = a[row * p.width + slot];
    switch (OPERATION) {
      case 0u: {
        let d = value - origin;
        first += d;
        second += d * d;
      }
      case 1u: {
        let centred = x[(row % p.period) * p.width + slot] - statistics[slot];
        first += value;
        second += value * centred * statistics[p.width + slot];
      }
      default: { first += value; }
    }
  }
  partial[(2u * chunk) * p.width + slot] = first;
  partial[(2u * chunk + 1u) * p.width + slot] = second;
}
