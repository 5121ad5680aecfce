// No kernel of its own: where a product's entries go, for the texts of all products. `storesLow()`, declared before it, tells
// whether the result is out + low, `low` being the part that float32 cannot hold.
//
// Flags are not constants: a dozen specialisations of a product would each take the driver a second to compile, and only the
// first and last steps of a tile look at them.
//   lower       only entries on or below the diagonal are computed
//   mirror      they are copied to the other side of it
//   accumulate  the addend is `out`

// Whether the entry is one of the result's, and to be stored.
fn isWanted(row: u32, col: u32) -> bool { return row < p.m && col < p.n && !(has(LOWER) && col > row); }

fn placeOf(row: u32, col: u32) -> u32 { return p.offsetOut + row * p.strideOut + col; }

fn put(row: u32, col: u32, high: f32, rest: f32) {
  let at = placeOf(row, col);
  out[at] = high;
  if (storesLow()) { low[at] = rest; }
  if (has(MIRROR) && col < row) {
    let mirrored = placeOf(col, row);
    out[mirrored] = high;
    if (storesLow()) { low[mirrored] = rest; }
  }
}

// The zeros after the last column of a row.
fn storePadding(row: u32) {
  if (row >= p.m) { return; }
  for (var i = 0u; i < padding(); i++) {
    let at = placeOf(row, p.n + i);
    out[at] = 0.0;
    if (storesLow()) { low[at] = 0.0; }
  }
}
