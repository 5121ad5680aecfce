import jacobiRotationSource from '../../../shaders/sqrt-psd/jacobi_rotation.wgsl';
import jacobiRoundSource from '../../../shaders/sqrt-psd/jacobi_round.wgsl';
import jacobiRoundSubgroupSource from '../../../shaders/sqrt-psd/jacobi_round_subgroup.wgsl';
import { RfmError } from '../../errors.js';
import { sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, readWrite, specialize, type WgslSource } from '../../runtime/kernel.js';
import { allocate, download, type Matrix, type Pair, release } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { gemm, gemmNN, syrk, syrkTN } from '../gemm/gemm.js';
import { exponentOf, largestMagnitudes, scaleByPowerOfTwo } from '../statistics/magnitude.js';
import { normalizeRows } from '../statistics/statistics.js';
import { pivotedCholesky } from './pivoted-cholesky.js';

/** SIZE: invocations that share a pair of rows. */
const jacobiRound = (name: string, source: WgslSource, SIZE: number) =>
  specialize(
    defineKernel({
      name,
      source: [jacobiRotationSource, source],
      bindings: { a: readWrite('array<vec4f>'), worst: readWrite('array<f32>') },
      params: {
        rows: 'u32',
        // vec4 in a row.
        width: 'u32',
        count: 'u32',
        round: 'u32',
        // Rows of smaller squared length are taken as zero.
        floor: 'f32',
        beginsSweep: 'flag',
      },
      constants: { SIZE: 'u32' },
    }),
    name,
    { SIZE },
  );

const byWorkgroups = jacobiRound('jacobi_round', jacobiRoundSource, 32);
const bySubgroups = new Map(
  [4, 8, 16, 32, 64].map((lanes) => [lanes, jacobiRound('jacobi_round_subgroup', jacobiRoundSubgroupSource, lanes)]),
);

/**
 * A sweep that met no cosine above this was the last: convergence is quadratic, so what its rotations leave is rounding.
 */
const CONVERGED = 1e-3;
const SWEEPS = 30;
/** Rows shorter than this share of the longest are taken as zero: float32 cannot hold both in one rotation. */
const NEGLIGIBLE = 1e-12;

/**
 * Rotates the rows of A (r × n) in place until they are orthogonal: A becomes S Vᵀ of its singular value
 * decomposition U S Vᵀ, in no order (one-sided Jacobi, Hestenes 1958). About 4 r² n multiply-adds a sweep; nine sweeps
 * for a random 512 × 512, fewer where singular values decay.
 * @returns the sweeps done.
 * @throws internal error if 30 sweeps do not suffice.
 */
export async function orthogonalizeRows(gpu: Gpu, a: Matrix): Promise<number> {
  const { rows } = a;
  if (rows < 2) return 0;
  const count = rows + (rows % 2);
  return owning(gpu, async (gpu) => {
    const [worst, lengths] = [allocate(gpu, 1, count / 2), allocate(gpu, 1, rows)];
    const unit = allocate(gpu, rows, a.cols);
    await sendBatch(gpu, (batch) => normalizeRows(batch, a, unit, lengths));
    const longest = (await download(gpu, lengths)).reduce((max, v) => Math.max(max, v), 0);
    const floor = (NEGLIGIBLE * longest) ** 2;
    const kernel = bySubgroups.get(gpu.lanes) ?? byWorkgroups;
    for (let sweep = 1; sweep <= SWEEPS; sweep++) {
      await sendBatch(gpu, (batch) => {
        for (let round = 0; round < count - 1; round++) {
          batch.dispatch(kernel, {
            bindings: { a, worst },
            params: { rows, width: a.stride / 4, count, round, floor, beginsSweep: round === 0 },
            grid: [count / 2],
          });
        }
      });
      const cosines = await download(gpu, worst);
      if (cosines.every((cosine) => cosine <= CONVERGED)) return sweep;
    }
    throw new RfmError('internal', `the Jacobi method did not converge in ${SWEEPS} sweeps (${rows} × ${a.cols})`);
  });
}

/** Numbers of the values, largest first. */
const descending = (values: ArrayLike<number>): number[] =>
  Array.from({ length: values.length }, (_, i) => i).sort((i, j) => values[j] - values[i]);

/** A new matrix whose row i is row order[i] of A, as many as there are in `order`. */
async function permutedRows(gpu: Gpu, a: Matrix, order: readonly number[]): Promise<Matrix> {
  const out = allocate(gpu, order.length, a.cols);
  const encoder = gpu.device.createCommandEncoder();
  const bytes = a.stride * 4;
  order.forEach((from, to) => {
    encoder.copyBufferToBuffer(a.buffer, from * bytes, out.buffer, to * bytes, bytes);
  });
  await gpu.guard('sorting rows', () => gpu.device.queue.submit([encoder.finish()]));
  return out;
}

/** Singular values below this share of the largest are left out. */
const SMALLEST_VALUE = 1e-5;
/** Pivots of a Gram matrix below this share of the largest count as zero. */
const GRAM_TOLERANCE = 1e-11;

/**
 * A = U S Vᵀ with s descending; values below 1e-5 of the largest are left out, the largest is there. Release the three
 * matrices with `releaseSvd`.
 */
export interface Svd {
  /** Uᵀ, r × m: left singular vectors as rows. */
  u: Matrix;
  s: Float64Array;
  /** Vᵀ, r × n. */
  v: Matrix;
  /** S Vᵀ / unit, r × n. */
  scaled: Matrix;
  /** A power of two near the largest entry of A: squares of A / unit neither overflow nor vanish in float32. */
  unit: number;
}

/** Frees the vectors of a decomposition. */
export const releaseSvd = (gpu: Gpu, { u, v, scaled }: Svd): void => release(gpu, u, v, scaled);

/**
 * Singular value decomposition of A (m × n), in two parts. First the vectors of the shorter side from the smaller Gram
 * matrix: pivoted Cholesky with pivots in double-float, one-sided Jacobi on the triangular factor (a good preconditioner:
 * Drmač and Veselić 2008), a square problem whatever the longer side is. A Gram matrix holds its small eigenvalues to
 * about 1e-8 of the largest, so that singular values below 1e-2 would be wrong by 1e-6 and more; hence one-sided Jacobi
 * once more, on those vectors times A, which are nearly orthogonal: one to three sweeps. Where the Gram matrix is of
 * lower rank, on A alone. Values are within 5e-6 of the largest. The vectors of the shorter side are products of the
 * others with A: two of them are orthogonal to about 1e-7 times the largest singular value over theirs. All of it is done
 * on A over a power of two, so that entries may be of any size. Null for a matrix of zeros.
 * @throws internal error where an entry is not finite.
 */
export async function svd(gpu: Gpu, matrix: Matrix): Promise<Svd | null> {
  const [largest] = await largestMagnitudes(gpu, [matrix]);
  if (largest === 0) return null;
  const exponent = exponentOf(largest);
  return owning(gpu, async (gpu, keep) => {
    const a = allocate(gpu, matrix.rows, matrix.cols);
    await sendBatch(gpu, (batch) => scaleByPowerOfTwo(batch, matrix, -exponent, a));
    return keep(await decompose(gpu, a, 2 ** exponent));
  });
}

/** Of scale · A, for entries of A of about 1. What it allocates belongs to the scope it is called in. */
async function decompose(gpu: Gpu, a: Matrix, scale: number): Promise<Svd | null> {
  const wide = a.rows <= a.cols;
  const size = Math.min(a.rows, a.cols);
  const gram: Pair = { high: allocate(gpu, size, size), low: allocate(gpu, size, size) };
  await sendBatch(gpu, (batch) => {
    if (wide) syrk(batch, { a, b: a, out: gram });
    else syrkTN(batch, { a, out: gram });
  });
  const factor = await factorRows(gpu, gram, GRAM_TOLERANCE);
  if (!factor) return null;
  const near = allocate(gpu, size, size);
  const far = allocate(gpu, size, wide ? a.cols : a.rows);
  const unit = allocate(gpu, size, far.cols);
  const images = allocate(gpu, size, size);
  const lengths = allocate(gpu, 1, size);
  if (factor.rows === size) await orthogonalizeRows(gpu, factor);
  await sendBatch(gpu, (batch) => {
    if (factor.rows < size) {
      // Directions are missing, and with them parts of the small singular values: A has to be taken as it is.
      if (wide) copyScaled(batch, a, far);
      else transpose(batch, a, far);
      return;
    }
    normalizeRows(batch, factor, near, lengths);
    if (wide) gemmNN(batch, { a: near, b: a, out: far });
    else gemm(batch, { a: near, b: a, out: far });
  });
  await orthogonalizeRows(gpu, far);
  await sendBatch(gpu, (batch) => {
    normalizeRows(batch, far, unit, lengths);
    if (wide) gemm(batch, { a: unit, b: a, out: images });
    else gemmNN(batch, { a: unit, b: a, out: images });
    normalizeRows(batch, images, near, batch.temporary(1, size));
  });
  const values = await download(gpu, lengths);
  const largest = values.reduce((max, v) => Math.max(max, v), 0);
  const order = descending(values).filter((i) => values[i] > SMALLEST_VALUE * largest);
  const [u, v, scaled] = wide ? [near, unit, far] : [unit, near, images];
  return {
    u: await permutedRows(gpu, u, order),
    s: Float64Array.from(order, (i) => values[i] * scale),
    v: await permutedRows(gpu, v, order),
    scaled: await permutedRows(gpu, scaled, order),
    unit: scale,
  };
}

/**
 * Rows F (rank × d) with FᵀF = M, for symmetric positive semi-definite M (d × d): the transposed factor of the pivoted
 * Cholesky factorisation, down to pivots of `tolerance` times the largest. Null where M is zero. Release it.
 */
export async function factorRows(gpu: Gpu, m: Pair, tolerance: number): Promise<Matrix | null> {
  return owning(gpu, async (gpu, keep) => {
    const { l, rank } = await pivotedCholesky(gpu, m, tolerance);
    if (rank === 0) return null;
    const rows = allocate(gpu, rank, l.rows);
    await sendBatch(gpu, (batch) => transpose(batch, { ...l, cols: rank }, rows));
    return keep(rows);
  });
}
