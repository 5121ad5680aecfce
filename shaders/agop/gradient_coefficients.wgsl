// The gradients of f(x) = Σ_j α_j k(x, x_j) at its own centres, G_ic = Σ_j W_ij α_jc (x_j − x_i), as one
// matrix product G = C X: row r · outputs + c of `out` holds C_j = W_ij α_jc for j ≠ i and C_i = −Σ_j W_ij α_jc,
// for i = ids[r] and the W of kernel_values.wgsl (W_ii = 0).
//
// Row r of w holds W_ij for the n columns from j = firstCol on: all of them, or a tile. alpha (outputs × n) belongs to
// these columns; sums (outputs × rows) holds Σ_j W_ij α_jc over all columns. Four columns an invocation.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let r = id.y;
  if (r >= p.rows || slot >= p.strideOut / 4u) { return; }
  let i = ids[r];
  // The padding of W and alpha is zero, and so becomes that of `out`.
  let weight = w[(p.offsetW + r * p.strideW) / 4u + slot];
  let own = vec4u(0u, 1u, 2u, 3u) + (p.firstCol + 4u * slot) == vec4u(i);
  for (var c = 0u; c < p.outputs; c++) {
    let a = alpha[c * p.strideAlpha / 4u + slot];
    out[(r * p.outputs + c) * p.strideOut / 4u + slot] = select(weight * a, vec4f(-sums[c * p.strideSums + r]), own);
  }
}
