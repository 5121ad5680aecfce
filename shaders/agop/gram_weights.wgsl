// Tiles of Q from those of P = W W (gram_value.wgsl): q + qLow is P at first and Q at the end. P and W are symmetric n × n;
// of all three this is one tile, m × n, of the lower triangle. Of a tile on the diagonal the lower half is computed and
// mirrored. A pass of its own after the product; where a product makes Q as it stores: store_gram.wgsl. `ones` are
// of the rows of the tile, `fours` of its columns.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = p.firstRow + id.y;
  let col = 4u * id.x;
  if (row >= p.m || col >= p.n || (DIAGONAL && col > row)) { return; }
  let at = row * p.strideW + col;
  let cols = col + vec4u(0u, 1u, 2u, 3u);
  let own = (cols == vec4u(row)) & vec4<bool>(DIAGONAL);
  let product = Pair4(
    vec4f(q[at], q[at + 1u], q[at + 2u], q[at + 3u]),
    vec4f(qLow[at], qLow[at + 1u], qLow[at + 2u], qLow[at + 3u]),
  );
  let sides = Sides(p.outputs, row, p.strideRows, id.x, p.strideCols / 4u);
  let sum = gramValue(product, w[at / 4u], sides, own);
  for (var e = 0u; e < 4u; e++) {
    if (cols[e] >= p.n || (DIAGONAL && cols[e] > row)) { break; }
    q[at + e] = sum.high[e];
    qLow[at + e] = sum.low[e];
    if (DIAGONAL) {
      q[cols[e] * p.strideW + row] = sum.high[e];
      qLow[cols[e] * p.strideW + row] = sum.low[e];
    }
  }
}
