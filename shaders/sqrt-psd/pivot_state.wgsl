// The state of a pivoted Cholesky factorisation M ≈ L Lᵀ between its passes, for the kernels pivot_…, before whose texts this
// stands. A round takes the rows with the largest remaining diagonal as candidates (pivot_candidates), their rows of M
// (pivot_rows), takes off these what the columns of L so far explain (products), chooses pivots among them (pivot_factor),
// and makes the columns of L (pivot_columns). pivoted-cholesky.ts reads it by the places of its words.

const CANDIDATES = 128u;
const PIVOTS = 64u;
const NONE = 0xffffffffu;

struct PivotState {
  // Columns of L before this round.
  columns: u32,
  // 1 once what remains of the diagonal is below the tolerance times the first pivot.
  finished: u32,
  firstPivot: f32,
  // Columns made in this round.
  made: u32,
  smallestPivot: f32,
  // The largest of the diagonal that remains outside the candidates.
  outside: f32,
  // Candidates; NONE for a row that has been a pivot.
  rows: array<u32, CANDIDATES>,
  // Of the pivots of this round, in their order, the candidates that they are.
  pivots: array<u32, PIVOTS>,
}
