/** Plain float64 references for the kernel tests: row-major matrices and loops, nothing clever. */
export interface Dense {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

export function dense(rows: number, cols: number, entry: (row: number, col: number) => number): Dense {
  const data = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) data[i * cols + j] = entry(i, j);
  return { rows, cols, data };
}

export const at = (a: Dense, row: number, col: number): number => a.data[row * a.cols + col];

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

/** Standard normal numbers (Box and Muller). */
export function normals(seed: number): () => number {
  const next = uniforms(seed);
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** The matrix the device sees: every entry rounded to float32. */
export const rounded = (a: Dense): Dense => ({ ...a, data: a.data.map(Math.fround) });

/**
 * Random entries in (−0.5, 1.5), float32 values. Products of them do not cancel, so an error relative
 * to the result is one relative to its terms.
 */
export function randomMatrix(rows: number, cols: number, seed: number): Dense {
  const next = uniforms(seed);
  return rounded(dense(rows, cols, () => 2 * next() - 0.5));
}

/** Standard normal entries, float32 values. */
export function normalMatrix(rows: number, cols: number, seed: number): Dense {
  const next = normals(seed);
  return rounded(dense(rows, cols, next));
}

/** Rows in `classes` consecutive groups of nearly equal size: unit class centres plus normal noise of length about `spread`. */
export function collapsedRows(rows: number, cols: number, classes: number, spread: number, seed: number): Dense {
  const centers = normalMatrix(classes, cols, seed);
  const noise = normals(seed + 1);
  const group = (row: number) => Math.floor((row * classes) / rows);
  const length = (c: number) => Math.sqrt(rowOf(centers, c).reduce((sum, v) => sum + v * v, 0));
  const lengths = Array.from({ length: classes }, (_, c) => length(c));
  return rounded(
    dense(rows, cols, (i, j) => at(centers, group(i), j) / lengths[group(i)] + (spread / Math.sqrt(cols)) * noise()),
  );
}

/** Row numbers at which groups of these sizes start, and the end. */
export function startsOfSizes(sizes: readonly number[]): number[] {
  const starts = [0];
  for (const size of sizes) starts.push(starts[starts.length - 1] + size);
  return starts;
}

export const rowOf = (a: Dense, row: number): Float64Array => a.data.subarray(row * a.cols, (row + 1) * a.cols);

export const transposed = (a: Dense): Dense => dense(a.cols, a.rows, (i, j) => at(a, j, i));

/** A Bᵀ. */
export function productNT(a: Dense, b: Dense): Dense {
  return dense(a.rows, b.rows, (i, j) => {
    const [x, y] = [i * a.cols, j * b.cols];
    let sum = 0;
    for (let k = 0; k < a.cols; k++) sum += a.data[x + k] * b.data[y + k];
    return sum;
  });
}

/** A B. */
export const product = (a: Dense, b: Dense): Dense => productNT(a, transposed(b));

/** factor · A + other, where there is another. */
export const combined = (factor: number, a: Dense, bias = 0, other?: Dense): Dense =>
  dense(a.rows, a.cols, (i, j) => factor * at(a, i, j) + (other ? bias * at(other, i, j) : 0));

export const identity = (n: number): Dense => dense(n, n, (i, j) => (i === j ? 1 : 0));

/** Solves A X = B in float64, by elimination with pivots. */
export function solved(a: Dense, b: Dense): Dense {
  const [m, x] = [Float64Array.from(a.data), Float64Array.from(b.data)];
  const n = a.rows;
  const exchange = (values: Float64Array, cols: number, i: number, j: number): void => {
    for (let k = 0; k < cols; k++) {
      [values[i * cols + k], values[j * cols + k]] = [values[j * cols + k], values[i * cols + k]];
    }
  };
  const takeOff = (values: Float64Array, cols: number, from: number, row: number, factor: number): void => {
    for (let k = 0; k < cols; k++) values[row * cols + k] -= factor * values[from * cols + k];
  };
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let r = i; r < n; r++) if (Math.abs(m[r * n + i]) > Math.abs(m[pivot * n + i])) pivot = r;
    exchange(m, n, i, pivot);
    exchange(x, b.cols, i, pivot);
    for (let r = 0; r < n; r++) {
      if (r === i) continue;
      const factor = m[r * n + i] / m[i * n + i];
      takeOff(m, n, i, r, factor);
      takeOff(x, b.cols, i, r, factor);
    }
  }
  return dense(n, b.cols, (i, j) => x[i * b.cols + j] / m[i * n + i]);
}

export function squaredDistance(a: Dense, i: number, b: Dense, j: number): number {
  let sum = 0;
  for (let k = 0; k < a.cols; k++) sum += (at(a, i, k) - at(b, j, k)) ** 2;
  return sum;
}

export function norm(a: Dense | ArrayLike<number>): number {
  const values = 'data' in a ? a.data : a;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return Math.sqrt(sum);
}

/** ‖found − expected‖ / ‖expected‖; 0 where both are zero, NaN where anything is. */
export function relativeError(found: Dense, expected: Dense, scale = norm(expected)): number {
  if (found.rows !== expected.rows || found.cols !== expected.cols) return Number.NaN;
  const difference = norm(found.data.map((v, i) => v - expected.data[i]));
  return difference === 0 ? 0 : difference / scale;
}

/** max |found − expected|, each divided by `allowed` where that is given; NaN where anything is. */
export function largestError(found: Dense, expected: Dense, allowed: (row: number, col: number) => number = () => 1) {
  let worst = 0;
  for (let i = 0; i < expected.rows; i++) {
    for (let j = 0; j < expected.cols; j++) {
      const error = Math.abs(at(found, i, j) - at(expected, i, j)) / allowed(i, j);
      if (!(error <= worst)) worst = error;
      if (Number.isNaN(worst)) return worst;
    }
  }
  return worst;
}

/** A number: the Laplace kernel with this exponent. */
export type KernelName = 'laplace' | 'gaussian' | number;

export function kernelValue(kernel: KernelName, squared: number, bandwidth: number): number {
  if (typeof kernel === 'number') return Math.exp(-((Math.sqrt(squared) / bandwidth) ** kernel));
  return kernel === 'laplace'
    ? Math.exp(-Math.sqrt(squared) / bandwidth)
    : Math.exp(-squared / (2 * bandwidth * bandwidth));
}

/** w with ∇_x k(x, z) = unit · w · (z − x); see `RadialKernel.weightUnit`. */
export function kernelWeight(kernel: KernelName, squared: number, bandwidth: number, nearest = 0): number {
  if (squared === 0) return 0;
  if (typeof kernel === 'number') {
    const exponent = (nearest / bandwidth) ** kernel - (Math.sqrt(squared) / bandwidth) ** kernel;
    return Math.exp(exponent) * Math.sqrt(squared) ** (kernel - 2);
  }
  if (kernel === 'gaussian') return Math.exp((nearest * nearest - squared) / (2 * bandwidth * bandwidth));
  return Math.exp((nearest - Math.sqrt(squared)) / bandwidth) / Math.sqrt(squared);
}

export const kernelMatrixOf = (a: Dense, b: Dense, kernel: KernelName, bandwidth: number): Dense =>
  dense(a.rows, b.rows, (i, j) => kernelValue(kernel, squaredDistance(a, i, b, j), bandwidth));

/** ∇f_c(x_i) = Σ_j W_ij α_jc (x_j − x_i), as a d × outputs matrix. alpha: outputs × n. */
export function jacobianAt(x: Dense, alpha: Dense, weights: Dense, i: number): Dense {
  const out = new Float64Array(x.cols * alpha.rows);
  for (let j = 0; j < x.rows; j++) {
    for (let c = 0; c < alpha.rows; c++) {
      const coefficient = at(weights, i, j) * at(alpha, c, j);
      for (let t = 0; t < x.cols; t++) out[t * alpha.rows + c] += coefficient * (at(x, j, t) - at(x, i, t));
    }
  }
  return { rows: x.cols, cols: alpha.rows, data: out };
}

/** The mean of J_iᵀ J_i over the rows `ids`, all if null. */
export function agopOf(x: Dense, alpha: Dense, weights: Dense, ids: readonly number[] | null = null): Dense {
  const out = new Float64Array(x.cols * x.cols);
  const rows = ids ?? Array.from({ length: x.rows }, (_, i) => i);
  for (const i of rows) {
    const j = jacobianAt(x, alpha, weights, i);
    for (let s = 0; s < x.cols; s++) {
      for (let t = 0; t < x.cols; t++) {
        let sum = 0;
        for (let c = 0; c < alpha.rows; c++) sum += j.data[s * alpha.rows + c] * j.data[t * alpha.rows + c];
        out[s * x.cols + t] += sum / rows.length;
      }
    }
  }
  return { rows: x.cols, cols: x.cols, data: out };
}

/** Pearson correlation of the entries of two matrices of one shape. */
export function pearson(a: Dense, b: Dense): number {
  const mean = (m: Dense) => m.data.reduce((sum, v) => sum + v, 0) / m.data.length;
  const [p, q] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  a.data.forEach((v, i) => {
    ab += (v - p) * (b.data[i] - q);
    aa += (v - p) ** 2;
    bb += (b.data[i] - q) ** 2;
  });
  return ab / Math.sqrt(aa * bb);
}
