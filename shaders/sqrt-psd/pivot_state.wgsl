// The state of a pivoted Cholesky factorisation M ≈ L Lᵀ between its passes, for the kernels pivot_…, before whose texts this
// stands. A round of passes chooses at most four rows (pivot_select), computes what remains of M there (pivot_products), and
// makes columns of L from it (pivot_columns), which say how many they were. sqrt-psd.ts reads it by the places of its words.

struct PivotState {
  // Columns of L before this round.
  columns: u32,
  // 1 once what remains of the diagonal is below the tolerance times the first pivot.
  finished: u32,
  firstPivot: f32,
  // Columns made in this round.
  made: u32,
  // The rows chosen, NONE where there are fewer than four, and what remains of the diagonal there.
  rows: array<u32, 4>,
  high: array<f32, 4>,
  low: array<f32, 4>,
  smallestPivot: f32,
}

const NONE = 0xffffffffu;

// A row that a choice stands for; the last row stands in for NONE, and nobody looks at what comes of it.
fn existing(row: u32) -> u32 { return min(row, p.rows - 1u); }
