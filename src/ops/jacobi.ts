import jacobiRoundSource from '../../shaders/jacobi_round.wgsl';
import { RfmError } from '../errors.js';
import { createBatch, f32bits, type Kernel, runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import { gemm, gemmNN, syrk, syrkTN } from './gemm.js';
import { pivotedCholesky } from './sqrt-psd.js';
import { normalizeRows } from './statistics.js';
import { transpose } from './transpose.js';

const roundKernel: Kernel = { name: 'jacobi_round', source: jacobiRoundSource };

/**
 * A sweep that met no cosine above this was the last: convergence is quadratic, so what its rotations leave is rounding.
 */
const CONVERGED = 1e-4;
const SWEEPS = 30;
/** Rows shorter than this share of the longest are taken as zero: float32 cannot hold both in one rotation. */
const NEGLIGIBLE = 1e-12;

/**
 * Rotates the rows of A (r × n, offset 0) in place until they are orthogonal, longest first: A becomes S Vᵀ of its
 * singular value decomposition U S Vᵀ (one-sided Jacobi, Hestenes 1958). r ≤ 8 n² multiply-adds a sweep; three to six
 * sweeps where A is a triangular factor with pivoting, about ten otherwise.
 * @returns the sweeps done.
 * @throws internal error if 30 sweeps do not suffice.
 */
export async function orthogonalizeRows(gpu: Gpu, a: Matrix): Promise<number> {
  const { rows } = a;
  if (rows < 2) return 0;
  const count = rows + (rows % 2);
  const worst = allocate(gpu, 1, count / 2);
  const lengths = allocate(gpu, 1, rows);
  const unit = allocate(gpu, rows, a.cols);
  try {
    await runBatch(gpu, (batch) => normalizeRows(batch, a, unit, lengths));
    const longest = (await download(gpu, lengths)).reduce((max, v) => Math.max(max, v), 0);
    const floor = (NEGLIGIBLE * longest) ** 2;
    for (let sweep = 1; sweep <= SWEEPS; sweep++) {
      const batch = createBatch(gpu);
      for (let round = 0; round < count - 1; round++) {
        batch.dispatch(
          roundKernel,
          [a, worst],
          [rows, a.stride / 4, count, round, round === 0 ? 1 : 0, f32bits(floor)],
          [count / 2],
        );
      }
      await batch.submit();
      const largest = (await download(gpu, worst)).reduce((max, v) => (v <= max ? max : v), 0);
      if (largest <= CONVERGED) return sweep;
    }
    throw new RfmError('internal', `the Jacobi method did not converge in ${SWEEPS} sweeps (${rows} × ${a.cols})`);
  } finally {
    release(gpu, worst, lengths, unit);
  }
}

/** Orthonormal rows, and the lengths they had: descending. Release `vectors`. */
export interface Spectrum {
  /** r × n. */
  vectors: Matrix;
  /** r × n: the rows before division by their lengths. */
  scaled: Matrix;
  lengths: Float64Array;
}

/**
 * Singular values and right singular vectors of A (r × n), which is overwritten and becomes `scaled`: A = U S Vᵀ,
 * `vectors` = Vᵀ, `scaled` = S Vᵀ. The eigenvectors of AᵀA are those of V, its eigenvalues the lengths squared.
 */
export async function rowSpectrum(gpu: Gpu, a: Matrix): Promise<Spectrum> {
  await orthogonalizeRows(gpu, a);
  const vectors = allocate(gpu, a.rows, a.cols);
  const lengths = allocate(gpu, 1, a.rows);
  try {
    await runBatch(gpu, (batch) => normalizeRows(batch, a, vectors, lengths));
    return { vectors, scaled: a, lengths: Float64Array.from(await download(gpu, lengths)) };
  } catch (error) {
    release(gpu, vectors);
    throw error;
  } finally {
    release(gpu, lengths);
  }
}

/** Pivots of a Gram matrix below this share of the largest are dropped: singular values below 1e-6 of the largest. */
const GRAM_TOLERANCE = 1e-12;

/** A = Uᵀ diag(s) V with orthonormal rows; s descending. Values below 1e-6 of the largest are left out. Release u and v. */
export interface Svd {
  /** r × m. */
  u: Matrix;
  s: Float64Array;
  /** r × n. */
  v: Matrix;
}

/**
 * Singular value decomposition of A (m × n). The smaller Gram matrix is summed in double-float (about 48 bits) and
 * factored with pivoting in double-float, so that its square does not cost the small values their digits as it does in
 * float32; one-sided Jacobi on the triangular factor, which is a good preconditioner (Drmač and Veselić 2008), then
 * needs few sweeps on a square matrix, whatever the longer side is.
 * @throws input error for a matrix of zeros.
 */
export async function svd(gpu: Gpu, a: Matrix): Promise<Svd> {
  const wide = a.rows <= a.cols;
  const size = Math.min(a.rows, a.cols);
  const gram = allocate(gpu, size, size);
  const low = allocate(gpu, size, size);
  let owned: Matrix[] = [gram, low];
  try {
    await runBatch(gpu, (batch) => {
      if (wide) syrk(batch, { a, b: a, out: gram, low });
      else syrkTN(batch, { a, out: gram, low });
    });
    const rows = await factorRows(gpu, gram, low, GRAM_TOLERANCE);
    if (!rows) throw new RfmError('input', 'singular value decomposition: the matrix is zero');
    owned.push(rows);
    const near = await rowSpectrum(gpu, rows);
    owned.push(near.vectors);
    const far = allocate(gpu, rows.rows, wide ? a.cols : a.rows);
    const unit = allocate(gpu, far.rows, far.cols);
    const lengths = allocate(gpu, 1, far.rows);
    owned.push(far, unit, lengths);
    await runBatch(gpu, (batch) => {
      if (wide) gemmNN(batch, { a: near.vectors, b: a, out: far });
      else gemm(batch, { a: near.vectors, b: a, out: far });
      normalizeRows(batch, far, unit, lengths);
    });
    const s = Float64Array.from(await download(gpu, lengths));
    owned = owned.filter((matrix) => matrix !== near.vectors && matrix !== unit);
    return wide ? { u: near.vectors, s, v: unit } : { u: unit, s, v: near.vectors };
  } finally {
    release(gpu, ...owned);
  }
}

/**
 * Rows F (rank × d) with FᵀF = M = m + low, for symmetric positive semi-definite M (d × d): the transposed factor of the
 * pivoted Cholesky factorisation, down to pivots of `tolerance` times the largest. Null where M is zero. Release it.
 */
export async function factorRows(gpu: Gpu, m: Matrix, low: Matrix, tolerance: number): Promise<Matrix | null> {
  const { l, rank } = await pivotedCholesky(gpu, m, tolerance, low);
  try {
    if (rank === 0) return null;
    const exact = { ...l, cols: rank };
    const rows = allocate(gpu, rank, m.rows);
    await runBatch(gpu, (batch) => transpose(batch, exact, rows));
    return rows;
  } finally {
    release(gpu, l);
  }
}
