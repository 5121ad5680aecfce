// For kernels that bind the `partial` sums of column_sums.wgsl: 2 · chunks rows of `width` vec4.
struct ColumnTotals { first: vec4f, second: vec4f }

fn columnTotals(slot: u32) -> ColumnTotals {
  var totals = ColumnTotals();
  for (var chunk = 0u; chunk < p.chunks; chunk++) {
    totals.first += partial[2u * chunk * p.width + slot];
    totals.second += partial[(2u * chunk + 1u) * p.width + slot];
  }
  return totals;
}
