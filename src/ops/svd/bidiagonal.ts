/**
 * The singular value decomposition of a lower bidiagonal matrix B (p × p), in float64 on the host. With B v = σ u and
 * Bᵀ u = σ v, the vector (u₁, v₁, u₂, v₂, …) / √2 is an eigenvector, to the eigenvalue σ, of the symmetric tridiagonal
 * matrix T with zeros on its diagonal and beside it the entries of B in the order of its rows; the other eigenvalues are −σ
 * (Golub and Kahan 1965). So singular values come out as exact as eigenvalues: within 1e-15 of the largest, small ones too.
 */
export interface Bidiagonal {
  /** p numbers. */
  diagonal: ArrayLike<number>;
  /** p − 1 numbers: the entries below the diagonal. */
  below: ArrayLike<number>;
}

/** What stands beside the diagonal of T: 2p − 1 numbers and a zero. */
function beside({ diagonal, below }: Bidiagonal): Float64Array {
  const out = new Float64Array(2 * diagonal.length);
  for (let i = 0; i < diagonal.length; i++) {
    out[2 * i] = diagonal[i];
    if (i + 1 < diagonal.length) out[2 * i + 1] = below[i];
  }
  return out;
}

/** Numbers below this beside the diagonal are zero. */
const negligible = (e: Float64Array): number => Number.EPSILON * e.reduce((max, v) => Math.max(max, Math.abs(v)), 0);

/** Steps for one eigenvalue; two are usual. */
const MOST_STEPS = 100;

/**
 * All singular values, descending: implicit QL steps on T with Wilkinson's shift (Martin and Wilkinson 1968). About 100 p²
 * operations.
 * @throws Error where an entry is not finite.
 */
export function bidiagonalValues(matrix: Bidiagonal): Float64Array {
  const e = beside(matrix);
  const d = new Float64Array(e.length);
  const small = negligible(e);
  for (let l = 0; l < d.length; l++) {
    for (let step = 0; ; step++) {
      let m = l;
      while (Math.abs(e[m]) > small) m++;
      if (m === l) break;
      // A NaN is above nothing.
      if (step === MOST_STEPS || !Number.isFinite(small)) throw new Error('the entries of B are not finite');
      qlStep(d, e, l, m);
    }
  }
  return d.sort().reverse().slice(0, matrix.diagonal.length);
}

/** One step on rows l to m of the tridiagonal matrix with d on its diagonal and e beside it. */
function qlStep(d: Float64Array, e: Float64Array, l: number, m: number): void {
  const half = (d[l + 1] - d[l]) / (2 * e[l]);
  // d[m] minus the eigenvalue of the first two rows that is nearer to d[l].
  let g = d[m] - d[l] + e[l] / (half + (half < 0 ? -1 : 1) * Math.hypot(half, 1));
  let [s, c, p] = [1, 1, 0];
  for (let i = m - 1; i >= l; i--) {
    const f = s * e[i];
    const b = c * e[i];
    // Math.hypot takes ten times as long, and what squares lose here is below 1e-150.
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

/** Vectors whose values are nearer to each other than this share of the largest are made orthogonal; others are so. */
const CLUSTER = 1e-5;
const INVERSE_STEPS = 3;

/** Row j: the vector to the value σ_j. */
export interface BidiagonalVectors {
  /** count × p. */
  left: Float64Array;
  /** count × p. */
  right: Float64Array;
}

/** Singular vectors to the first `count` of the values, which are descending: inverse iteration on T. O(count p). */
export function bidiagonalVectors(matrix: Bidiagonal, values: Float64Array, count: number): BidiagonalVectors {
  const p = matrix.diagonal.length;
  const e = beside(matrix);
  const [left, right] = [new Float64Array(count * p), new Float64Array(count * p)];
  const found: Float64Array[] = [];
  let state = 1;
  for (let j = 0; j < count; j++) {
    let clusterFrom = j;
    while (clusterFrom > 0 && values[clusterFrom - 1] - values[j] < CLUSTER * values[0]) clusterFrom--;
    const z = new Float64Array(2 * p);
    for (let i = 0; i < z.length; i++) {
      // Any vector that no structure of T is orthogonal to (Lehmer's generator).
      state = (state * 48271) % 2147483647;
      z[i] = state / 2147483647 - 0.5;
    }
    for (let step = 0; step < INVERSE_STEPS; step++) {
      solveShifted(e, values[j], z);
      normalize(z);
      for (const other of found.slice(clusterFrom)) subtractProjection(z, other);
      normalize(z);
    }
    found.push(z);
    for (let i = 0; i < p; i++) {
      left[j * p + i] = Math.SQRT2 * z[2 * i];
      right[j * p + i] = Math.SQRT2 * z[2 * i + 1];
    }
  }
  return { left, right };
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
 * z ← (T − σ)⁻¹ z for T with zeros on its diagonal and e beside it: Gaussian elimination with row exchanges. σ is an
 * eigenvalue, so that the last pivot is rounding, which is what makes the solution an eigenvector; one of zero counts as
 * rounding.
 */
function solveShifted(e: Float64Array, sigma: number, z: Float64Array): void {
  const size = z.length;
  const least = negligible(e);
  // Row i of U: pivot, and the two entries after it.
  const [pivot, next, afterNext] = [new Float64Array(size), new Float64Array(size), new Float64Array(size)];
  let [a, b] = [-sigma, e[0]];
  for (let i = 0; i + 1 < size; i++) {
    const [low, diagonal, high] = [e[i], -sigma, i + 2 < size ? e[i + 1] : 0];
    if (Math.abs(low) > Math.abs(a)) {
      [pivot[i], next[i], afterNext[i]] = [low, diagonal, high];
      const factor = a / low;
      [z[i], z[i + 1]] = [z[i + 1], z[i] - factor * z[i + 1]];
      [a, b] = [b - factor * diagonal, -factor * high];
    } else {
      if (Math.abs(a) < least) a = least;
      [pivot[i], next[i]] = [a, b];
      const factor = low / a;
      z[i + 1] -= factor * z[i];
      [a, b] = [diagonal - factor * b, high];
    }
  }
  pivot[size - 1] = Math.abs(a) < least ? least : a;
  for (let i = size - 1; i >= 0; i--) {
    const known = (i + 1 < size ? next[i] * z[i + 1] : 0) + (i + 2 < size ? afterNext[i] * z[i + 2] : 0);
    z[i] = (z[i] - known) / pivot[i];
  }
}
