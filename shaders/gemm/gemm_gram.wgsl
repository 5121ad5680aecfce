// No kernel of its own: lets a product P = W W, or the last one of a sum that makes P, store entries of Q in place of those
// of P (gram_value.wgsl, which stands before this; the product's text comes after it). Always with LOW: the result is
// out + low. Then `addend` is W at the same place, and `scale` is not a factor but the number of outputs.
const GRAM = true;

// Of the index that the four entries of a call share, and of the other; see `storeGram`.
@group(0) @binding(5) var<storage, read> ones: array<f32>;
@group(0) @binding(6) var<storage, read> fours: array<vec4f>;

// Stores Q at four places, below each other where `down`, else side by side, from (row, col) on; value + left is what the
// product sums there. `ones` is of the columns where `down`, else of the rows.
fn storeGram(row: u32, col: u32, down: bool, value: vec4f, left: vec4f) {
  if (row >= p.m || col >= p.n || (has(LOWER) && col > row + select(0u, 3u, down))) { return; }
  let steps = vec4u(0u, 1u, 2u, 3u);
  let rows = row + select(vec4u(), steps, down);
  let cols = col + select(steps, vec4u(), down);
  let inside = (rows < vec4u(p.m)) & (cols < vec4u(p.n)) & !((cols > rows) & vec4<bool>(has(LOWER)));
  let at = p.offsetOut + rows * p.strideOut + cols;
  var product = Pair(value, left);
  if (has(ACCUMULATE)) {
    let before = Pair(
      vec4f(out[at.x], out[at.y], out[at.z], out[at.w]),
      vec4f(low[at.x], low[at.y], low[at.z], low[at.w]),
    );
    let sum = addExactly(before, value);
    product = Pair(sum.high, sum.low + left);
  }
  let atW = p.offsetAddend + rows * p.strideAddend + cols;
  let w = vec4f(addend[atW.x], addend[atW.y], addend[atW.z], addend[atW.w]);
  // Vectors of the rows and of the columns are as long as the tile, padded to whole vec4.
  let quadsM = (p.m + 3u) / 4u;
  let quadsN = (p.n + 3u) / 4u;
  let own = (rows == cols) & vec4<bool>(has(MIRROR));
  let q = gramValue(
    renormalize(product),
    w,
    bitcast<u32>(p.scale),
    select(row, col, down),
    4u * select(quadsM, quadsN, down),
    select(col, row, down) / 4u,
    select(quadsN, quadsM, down),
    own,
  );
  let mirrored = p.offsetOut + cols * p.strideOut + rows;
  for (var e = 0u; e < 4u; e++) {
    if (!inside[e]) { continue; }
    out[at[e]] = q.high[e];
    low[at[e]] = q.low[e];
    if (has(MIRROR)) {
      out[mirrored[e]] = q.high[e];
      low[mirrored[e]] = q.low[e];
    }
  }
}
