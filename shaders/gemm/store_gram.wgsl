// No kernel of its own: entries of Q in place of those of a product P = W W, or of the last one of a sum that makes P; see
// store_sums.wgsl, and gram_value.wgsl, which stands before this. `w` is W at the same place. `ones` holds the vectors of the
// columns where DOWN, else of the rows, and `fours` those of the others.
fn storeFour(row: u32, col: u32, value: vec4f, left: vec4f) {
  if (row >= p.m || col >= p.n || (has(LOWER) && col > row + select(0u, 3u, DOWN))) { return; }
  let steps = vec4u(0u, 1u, 2u, 3u);
  let rows = row + select(vec4u(), steps, DOWN);
  let cols = col + select(steps, vec4u(), DOWN);
  var product = Pair4(value, left);
  if (has(ACCUMULATE)) {
    let at = p.offsetOut + rows * p.strideOut + cols;
    let before = Pair4(
      vec4f(out[at.x], out[at.y], out[at.z], out[at.w]),
      vec4f(low[at.x], low[at.y], low[at.z], low[at.w]),
    );
    let sum = add4(before, value);
    product = Pair4(sum.high, sum.low + left);
  }
  let atW = rows * p.strideW + cols;
  let entries = vec4f(w[atW.x], w[atW.y], w[atW.z], w[atW.w]);
  // Vectors of the rows and of the columns are as long as the tile, padded to whole vec4.
  let quadsM = (p.m + 3u) / 4u;
  let quadsN = (p.n + 3u) / 4u;
  let own = (rows == cols) & vec4<bool>(has(MIRROR));
  let sides = Sides(
    p.outputs,
    select(row, col, DOWN),
    4u * select(quadsM, quadsN, DOWN),
    select(col, row, DOWN) / 4u,
    select(quadsN, quadsM, DOWN),
  );
  let q = gramValue(renormalize4(product), entries, sides, own);
  for (var e = 0u; e < 4u; e++) {
    if (isWanted(rows[e], cols[e])) { put(rows[e], cols[e], q.high[e], q.low[e]); }
  }
}
