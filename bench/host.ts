/** Numbers for the benchmark, and float64 checks on the host that stay cheap at any size. */

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function uniforms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Uniform numbers in (−1, 1). */
export function randomArray(count: number, seed: number): Float32Array {
  const next = uniforms(seed);
  return Float32Array.from({ length: count }, () => 2 * next() - 1);
}

/** Standard normal numbers in double precision (Box and Muller). */
export function normalArray(count: number, seed: number): Float64Array {
  const next = uniforms(seed);
  return Float64Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  );
}

/** Multiply-adds that a check may take, about a second on the host. */
const CHECK_BUDGET = 2 ** 29;

/**
 * Rows to check exactly, at random but the same each time, the first and the last among them: 64, or as many as the
 * budget allows with `cost` multiply-adds a row.
 */
export function sampledRows(rows: number, cost: number): number[] {
  const count = Math.max(2, Math.min(64, rows, Math.floor(CHECK_BUDGET / cost)));
  if (count >= rows) return Array.from({ length: rows }, (_, i) => i);
  const next = uniforms(rows);
  const chosen = new Set([0, rows - 1]);
  while (chosen.size < count) chosen.add(Math.floor(next() * rows));
  return [...chosen].sort((a, b) => a - b);
}

/** ‖found − expected‖ / ‖expected‖ over rows, each row given by both functions' entries. */
export function rowsError(
  rows: readonly number[],
  cols: (row: number) => number,
  found: (row: number, col: number) => number,
  expected: (row: number, col: number) => number,
): number {
  let [difference, norm] = [0, 0];
  for (const row of rows) {
    const count = cols(row);
    for (let col = 0; col < count; col++) {
      const exact = expected(row, col);
      difference += (found(row, col) - exact) ** 2;
      norm += exact ** 2;
    }
  }
  return Math.sqrt(difference / norm);
}

/** out = A v in double precision, A rows × cols. */
export function matVec(a: ArrayLike<number>, rows: number, cols: number, v: Float64Array): Float64Array {
  const out = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0, at = i * cols; j < cols; j++, at++) sum += a[at] * v[j];
    out[i] = sum;
  }
  return out;
}

/** out = Aᵀ v in double precision, A rows × cols. */
export function matVecT(a: ArrayLike<number>, rows: number, cols: number, v: Float64Array): Float64Array {
  const out = new Float64Array(cols);
  for (let i = 0; i < rows; i++) {
    for (let j = 0, at = i * cols; j < cols; j++, at++) out[j] += a[at] * v[i];
  }
  return out;
}

const PROBES = 6;

/**
 * ‖(A − B) V‖ / ‖B V‖ for operators given by what they do to a vector, V of a few normal columns: the expectation of
 * the numerator squared is ‖A − B‖² in the Frobenius norm times their number.
 */
export function probedError(
  size: number,
  found: (v: Float64Array) => Float64Array,
  expected: (v: Float64Array) => Float64Array,
  probes = PROBES,
): number {
  let [difference, norm] = [0, 0];
  for (let probe = 0; probe < probes; probe++) {
    const v = normalArray(size, 1000 + probe);
    const [x, y] = [found(v), expected(v)];
    for (let i = 0; i < y.length; i++) {
      difference += (x[i] - y[i]) ** 2;
      norm += y[i] ** 2;
    }
  }
  return Math.sqrt(difference / norm);
}
