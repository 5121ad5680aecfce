import { RfmError } from '../../errors.js';

/**
 * Singular values and vectors of a lower triangular band matrix B (p × p, `width` diagonals below the main one), in float64 on
 * the host: eigenvalues and eigenvectors of B Bᵀ. Values are within 1e-8 of the largest, those above 1e-5 of it within 1e-10.
 */
export interface Banded {
  /** p. */
  size: number;
  width: number;
  /** Entry (j + d, j) at j (width + 1) + d: columns one after the other, from the diagonal down. */
  columns: Float64Array;
}

/** The lower half of B Bᵀ, which has as many diagonals. */
function gramOf({ size, width, columns }: Banded): Banded {
  const out = new Float64Array(columns.length);
  const stride = width + 1;
  // Column k of B adds its outer product.
  for (let k = 0; k < size; k++) {
    for (let i = 0; i <= width && k + i < size; i++) {
      const value = columns[k * stride + i];
      for (let j = i; j <= width && k + j < size; j++) {
        out[(k + i) * stride + (j - i)] += value * columns[k * stride + j];
      }
    }
  }
  return { size, width, columns: out };
}

/** Steps for one eigenvalue; two are usual. */
const MOST_STEPS = 100;

/**
 * All singular values, descending: B Bᵀ is made tridiagonal by rotations that chase what they fill in down the band
 * (Schwarz 1968), then implicit QL steps with Wilkinson's shift (Martin and Wilkinson 1968). About 12 width p² operations.
 * @throws internal error where an entry is not finite.
 */
export function bandedValues(banded: Banded): Float64Array {
  const { d, e } = tridiagonal(gramOf(banded));
  let norm = 0;
  for (const [i, value] of d.entries()) norm = Math.max(norm, Math.abs(value) + Math.abs(e[i]));
  if (!Number.isFinite(d.reduce((sum, value) => sum + value, norm)))
    throw new RfmError('internal', 'singular values: the entries are not finite');
  const small = Number.EPSILON * norm;
  for (let l = 0; l < d.length; l++) {
    for (let step = 0; ; step++) {
      let m = l;
      while (Math.abs(e[m]) > small) m++;
      if (m === l) break;
      if (step === MOST_STEPS) throw new RfmError('internal', `singular values: number ${l} does not converge`);
      qlStep(d, e, l, m);
    }
  }
  return d
    .sort()
    .reverse()
    .map((value) => Math.sqrt(Math.max(value, 0)));
}

/** The diagonal, and what stands beside it with a zero at the end, of a matrix with the same eigenvalues. */
function tridiagonal({ size, width, columns }: Banded): { d: Float64Array; e: Float64Array } {
  // One more diagonal for what a rotation fills in.
  const stride = width + 2;
  const a = new Float64Array(size * stride);
  for (let j = 0; j < size; j++) a.set(columns.subarray(j * (width + 1), (j + 1) * (width + 1)), j * stride);
  for (let j = 0; j + 2 < size; j++) {
    for (let k = Math.min(width, size - 1 - j); k >= 2; k--) {
      // The entry (row, column) goes into the one above it; what that fills in is `width` rows further down.
      for (let [row, column] = [j + k, j]; row < size; [row, column] = [row + width, row - 1]) {
        const at = column * stride + (row - column);
        if (a[at] === 0) break;
        rotate(a, { stride, size }, row, column, at);
      }
    }
  }
  const d = Float64Array.from({ length: size }, (_, j) => a[j * stride]);
  const e = Float64Array.from({ length: size }, (_, j) => (j + 1 < size && width > 0 ? a[j * stride + 1] : 0));
  return { d, e };
}

/** Rotates rows and columns row − 1 and row so that the entry `at`, in `row` and `column`, becomes zero. */
function rotate(
  a: Float64Array,
  { stride, size }: { stride: number; size: number },
  row: number,
  column: number,
  at: number,
): void {
  const [x, y] = [a[at - 1], a[at]];
  const r = Math.sqrt(x * x + y * y);
  const [c, s] = [x / r, y / r];
  a[at - 1] = r;
  a[at] = 0;
  const upper = row - 1;
  // Entries of both rows in the columns between.
  for (let j = column + 1; j < upper; j++) {
    const place = j * stride + (upper - j);
    const [p, q] = [a[place], a[place + 1]];
    a[place] = c * p + s * q;
    a[place + 1] = c * q - s * p;
  }
  const [first, second] = [upper * stride, row * stride];
  const [p, q, w] = [a[first], a[second], a[first + 1]];
  a[first] = c * c * p + 2 * c * s * w + s * s * q;
  a[second] = s * s * p - 2 * c * s * w + c * c * q;
  a[first + 1] = (c * c - s * s) * w + c * s * (q - p);
  // Entries of both columns in the rows below.
  const end = Math.min(size - 1, upper + stride - 1);
  for (let i = row + 1; i <= end; i++) {
    const [left, right] = [first + (i - upper), second + (i - row)];
    const [u, v] = [a[left], a[right]];
    a[left] = c * u + s * v;
    a[right] = c * v - s * u;
  }
}

/** One step on rows l to m of the tridiagonal matrix with d on its diagonal and e beside it. */
function qlStep(d: Float64Array, e: Float64Array, l: number, m: number): void {
  const half = (d[l + 1] - d[l]) / (2 * e[l]);
  // d[m] minus the eigenvalue of the first two rows that is nearer to d[l].
  let g = d[m] - d[l] + e[l] / (half + (half < 0 ? -1 : 1) * Math.sqrt(half * half + 1));
  let [s, c, p] = [1, 1, 0];
  for (let i = m - 1; i >= l; i--) {
    const f = s * e[i];
    const b = c * e[i];
    // Math.hypot takes ten times as long; what its squares lose is below 1e-150.
    const r = Math.sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r === 0) {
      // The rows above have come off by themselves.
      d[i + 1] -= p;
      e[m] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1] - p;
    const q = (d[i] - g) * s + 2 * c * b;
    p = s * q;
    d[i + 1] = g + p;
    g = c * q - b;
  }
  d[l] -= p;
  e[l] = g;
  e[m] = 0;
}

/** Eigenvalues nearer to each other than this share of the largest get vectors that are made orthogonal; others are so. */
const CLUSTER = 1e-6;
const INVERSE_STEPS = 3;

/** Row j: the vector to the value σ_j. */
export interface BandedVectors {
  /** count × p. */
  left: Float64Array;
  /** count × p. */
  right: Float64Array;
}

/**
 * Singular vectors to the first `count` of the singular values, which are descending and not zero: inverse iteration on
 * B Bᵀ for the left ones u, Bᵀu over its length for the right ones. About 4 width² p operations each.
 */
export function bandedVectors(banded: Banded, values: Float64Array, count: number): BandedVectors {
  const { size } = banded;
  const gram = gramOf(banded);
  const [left, right] = [new Float64Array(count * size), new Float64Array(count * size)];
  const near = CLUSTER * values[0] ** 2;
  let state = 1;
  for (let j = 0; j < count; j++) {
    let first = j;
    while (first > 0 && values[first - 1] ** 2 - values[first] ** 2 < near) first--;
    const u = left.subarray(j * size, (j + 1) * size);
    for (let i = 0; i < size; i++) {
      // Any vector that the band's structure does not make orthogonal to what is sought (Lehmer's generator).
      state = (state * 48271) % 2147483647;
      u[i] = state / 2147483647 - 0.5;
    }
    const solve = shiftedSolver(gram, values[j] ** 2);
    for (let step = 0; step < INVERSE_STEPS; step++) {
      solve(u);
      normalize(u);
      for (let other = first; other < j; other++)
        subtractProjection(u, left.subarray(other * size, (other + 1) * size));
      normalize(u);
    }
    const v = right.subarray(j * size, (j + 1) * size);
    timesTransposed(banded, u, v);
    normalize(v);
  }
  return { left, right };
}

/** out = Bᵀ x. */
function timesTransposed({ size, width, columns }: Banded, x: Float64Array, out: Float64Array): void {
  for (let k = 0; k < size; k++) {
    let sum = 0;
    for (let d = 0; d <= width && k + d < size; d++) sum += columns[k * (width + 1) + d] * x[k + d];
    out[k] = sum;
  }
}

function normalize(z: Float64Array): void {
  let largest = 0;
  for (const value of z) largest = Math.max(largest, Math.abs(value));
  let square = 0;
  for (let i = 0; i < z.length; i++) {
    z[i] /= largest;
    square += z[i] * z[i];
  }
  const length = Math.sqrt(square);
  for (let i = 0; i < z.length; i++) z[i] /= length;
}

function subtractProjection(z: Float64Array, unit: Float64Array): void {
  let inner = 0;
  for (let i = 0; i < z.length; i++) inner += z[i] * unit[i];
  for (let i = 0; i < z.length; i++) z[i] -= inner * unit[i];
}

/**
 * z ← (C − shift)⁻¹ z for symmetric banded C: Gaussian elimination with row exchanges. The shift is an eigenvalue, so that a
 * pivot is rounding, which is what makes the solution an eigenvector; one of zero counts as rounding.
 */
function shiftedSolver({ size, width, columns }: Banded, shift: number): (z: Float64Array) => void {
  // Row i from column i on, as rows exchanged reach: the band and as much again.
  const reach = 2 * width + 1;
  const upper = new Float64Array(size * reach);
  const factors = new Float64Array(size * width);
  const exchanged = new Int32Array(size);
  // The rows that elimination has at hand, i … i + width, from column i on.
  const rowOf = (i: number): Float64Array => {
    const row = new Float64Array(reach);
    for (let j = Math.max(0, i - width); j <= Math.min(size - 1, i + width); j++) {
      const [low, high] = [Math.min(i, j), Math.max(i, j)];
      row[j - Math.max(0, i - width)] = columns[low * (width + 1) + (high - low)] - (i === j ? shift : 0);
    }
    return row;
  };
  let norm = 0;
  for (const value of columns) norm = Math.max(norm, Math.abs(value));
  const least = Number.EPSILON * norm;
  // Rows 0 … width begin at column 0, and row i + width at column i.
  const at: Float64Array[] = [];
  for (let i = 0; i < Math.min(size, width + 1); i++) at.push(rowOf(i));
  for (let i = 0; i < size; i++) {
    let best = 0;
    for (let r = 1; r < at.length; r++) if (Math.abs(at[r][0]) > Math.abs(at[best][0])) best = r;
    exchanged[i] = best;
    [at[0], at[best]] = [at[best], at[0]];
    const pivot = at[0];
    if (Math.abs(pivot[0]) < least) pivot[0] = least;
    upper.set(pivot, i * reach);
    for (let r = 1; r < at.length; r++) {
      const row = at[r];
      const factor = row[0] / pivot[0];
      factors[i * width + r - 1] = factor;
      for (let c = 1; c < reach; c++) row[c - 1] = row[c] - factor * pivot[c];
      row[reach - 1] = 0;
    }
    at.shift();
    if (i + width + 1 < size) at.push(rowOf(i + width + 1));
  }
  return (z) => {
    for (let i = 0; i < size; i++) {
      const other = i + exchanged[i];
      [z[i], z[other]] = [z[other], z[i]];
      for (let r = 1; r <= width && i + r < size; r++) z[i + r] -= factors[i * width + r - 1] * z[i];
    }
    for (let i = size - 1; i >= 0; i--) {
      let sum = z[i];
      for (let c = 1; c < reach && i + c < size; c++) sum -= upper[i * reach + c] * z[i + c];
      z[i] = sum / upper[i * reach];
    }
  };
}
