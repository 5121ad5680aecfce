import diagonalMaximumSource from '../../../shaders/sqrt-psd/diagonal_maximum.wgsl';
import maxRowSumSource from '../../../shaders/sqrt-psd/max_row_sum.wgsl';
import { inputError, RfmError, say, the } from '../../errors.js';
import { type Batch, ceilDiv, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import { allocate, type Matrix, matrixBytes, type Pair } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { allocateFactor, failingPivot, inversesBytes, potrf, trsm } from '../cholesky/cholesky.js';
import { addDiagonal, addScaled, copyScaled, divideByRoot, symmetrize } from '../elementwise/elementwise.js';
import { gemm, syrk, syrkTN } from '../gemm/gemm.js';
import { factorRows, type PivotedFactor, pivotedBytes, pivotedCholesky, pivotedFlops } from './pivoted-cholesky.js';

export { factorRows, type PivotedFactor, pivotedCholesky };

const maximumKernel = defineKernel({
  name: 'diagonal_maximum',
  source: diagonalMaximumSource,
  bindings: { a: read('array<f32>'), result: readWrite('array<f32>') },
  params: { rows: 'u32', stride: 'u32', zero: 'zero' },
});

const rowSumKernel = defineKernel({
  name: 'max_row_sum',
  source: maxRowSumSource,
  bindings: { a: read('array<vec4f>'), result: readWrite('atomic<u32>') },
  params: { rows: 'u32', stride: 'u32' },
});

/** result (1 × 1) = largest diagonal entry, for a positive semi-definite matrix its largest entry. */
export function diagonalMaximum(batch: Batch, a: Matrix, result: Matrix): void {
  batch.dispatch(maximumKernel, {
    bindings: { a, result },
    params: { rows: a.rows, stride: a.stride },
    grid: [1],
  });
}

/**
 * Directions with less than this of the largest diagonal entry of M are dropped: they are below M's own rounding. Where M
 * is float32 alone that is larger. On the AGOP of a CIFAR-10 layer (rank 1,000 of 3,072), the
 * root was wrong by 6.7e-6 with pivots down to 1e-6 and by 1.9e-6 down to 3e-6, which in turn costs 1.5e-6 where the spectrum
 * falls evenly from 1 to 1e-9 (1e-6: below 1e-6).
 */
export const RANK_TOLERANCE = 1e-8;
const RANK_TOLERANCE_FLOAT32 = 1e-6;

/**
 * out = M^{1/2} for symmetric positive semi-definite M (d × d), with ‖out² − M‖ ≤ 1e-6 ‖M‖.
 *
 * M = L Lᵀ by pivoted Cholesky, and with the polar decomposition L = P H: M^{1/2} = L Pᵀ. P comes from the dynamically
 * weighted Halley iteration (Nakatsukasa, Bai, Gygi 2010), X ← X (b/c + (a − b/c)(I + c XᵀX)⁻¹), the inverse by Cholesky:
 * two steps take singular values of 1e-5 to above a half. Then come steps of products alone, X ← X + X (½E + wE²),
 * E = I − XᵀX: one with w = 1, which takes them to within 0.06 of 1, and two with w = ⅜, the fifth-order Newton–Schulz
 * iteration (Higham, Functions of Matrices, 2008, ch. 8); written as a correction, a step adds rounding errors only where E is
 * not yet small. L has the square root of M's condition number. Newton–Schulz on M itself reached 1e-5 at best in float32 and
 * blew up later.
 */
export async function sqrtPsd(gpu: Gpu, m: Matrix | Pair, out: Matrix): Promise<{ rank: number }> {
  return owning(gpu, async (gpu) => {
    const factor = await pivotedCholesky(gpu, m, 'high' in m ? RANK_TOLERANCE : RANK_TOLERANCE_FLOAT32);
    const root = await rootOfFactor(gpu, factor);
    await sendBatch(gpu, (batch) => copyScaled(batch, root, out));
    return { rank: factor.rank };
  });
}

/** Halley steps, and steps of products, that a root takes as a rule. */
const USUAL_STEPS = { halley: 2, products: 3 };

/** Operations of M^{1/2} (d × d, of this rank), its factor included. */
export const rootFlops = (d: number, rank: number): number => {
  const gram = d * rank * rank;
  const halley = 3 * gram + rank ** 3 / 3;
  const steps = USUAL_STEPS.halley * halley + USUAL_STEPS.products * (3 * gram + rank ** 3) + 2 * d * d * rank;
  return pivotedFlops(d, rank) + 2 * gram + steps;
};

/**
 * Bytes that are held at most for it, of full rank: M, its low part and what the factorisation takes; then the factor, three
 * iterates, the identity, and the matrix to be inverted, or an iterate less, the distance and the correction. Copies that
 * products make come on top.
 */
export const rootBytes = (d: number): number =>
  Math.max(2 * matrixBytes(d, d) + pivotedBytes(d), 6 * matrixBytes(d, d) + inversesBytes(d));

/** M^{1/2} (d × d) from the factor of M; see `sqrtPsd`. Release it. */
export function rootOfFactor(gpu: Gpu, factor: PivotedFactor): Promise<Matrix> {
  return scoped(gpu, { op: 'sqrt-psd' }, () =>
    owning(gpu, async (gpu, keep) => keep(await rootByPolarSteps(gpu, factor))),
  );
}

/** The input error for an AGOP that is zero, which has no root. */
export const zeroAgop = (): RfmError =>
  inputError(
    'the AGOP is zero: the predictor is constant, as where rows or targets do not differ in float32',
    say`check both (features hardly differ with a small ${the.gamma})`,
  );

async function rootByPolarSteps(gpu: Gpu, { l, rank, smallestPivot }: PivotedFactor): Promise<Matrix> {
  const d = l.rows;
  if (rank === 0) throw zeroAgop();
  const polar = await polarFactor(gpu, l, Math.sqrt(smallestPivot));
  const root = allocate(gpu, d, d);
  await sendBatch(gpu, (batch) => {
    const h = batch.temporary(d, d);
    gemm(batch, { a: l, b: polar, out: h });
    symmetrize(batch, h, root);
  });
  return root;
}

/**
 * The polar factor P (d × r) of L = P H (d × r, r ≤ d), whose singular values are 1, given about the smallest singular value
 * of L over the largest. Directions in which L is below 3e-5 of its largest singular value may not get there. Release it.
 */
export function polarFactor(gpu: Gpu, l: Matrix, smallest: number): Promise<Matrix> {
  return owning(gpu, async (gpu, keep) => {
    const columns = l.cols;
    const x = allocate(gpu, l.rows, columns);
    const identity = allocate(gpu, columns, columns);
    await sendBatch(gpu, (batch) => {
      const gram = batch.temporary(columns, columns);
      syrkTN(batch, { a: l, out: gram });
      scaleToUnit(batch, l, gram, x);
      const zero = batch.temporary(columns, columns);
      copyScaled(batch, gram, zero, 0);
      addDiagonal(batch, zero, identity, 1);
    });
    // The start is scaled by a bound, at most a few times too large.
    const near = await halleySteps(gpu, x, identity, Math.max(0.1 * smallest, LEAST_START));
    return keep(await productSteps(gpu, near, identity));
  });
}

/** With a smaller start, rounding in c XᵀX would reach the identity that is added. */
const LEAST_START = 3e-5;

/** From here on to 1, steps of products alone take singular values to 1. */
const CLOSE = 0.5;

/**
 * X (d × r) with its singular values moved up to between `CLOSE` and 1, given that they are between `smallest` and 1. Those
 * that are smaller end below: their directions then count for less in the root, by less than their size. X may be released.
 */
function halleySteps(outer: Gpu, x: Matrix, identity: Matrix, smallest: number): Promise<Matrix> {
  return owning(outer, async (gpu, keep) => {
    const { rows, cols } = x;
    let [iterate, y, z] = [x, allocate(gpu, rows, cols), allocate(gpu, rows, cols)];
    const factor = allocateFactor(gpu, allocate(gpu, cols, cols));
    // X = scale · iterate.
    let scale = 1;
    for (let least = smallest; least < CLOSE; ) {
      const { a, b, c, next } = halleyWeights(least);
      await sendBatch(gpu, (batch) => {
        syrkTN(batch, { a: iterate, out: factor.l, scale: c * scale * scale, addend: identity });
        potrf(batch, factor);
        copyScaled(batch, iterate, z);
        trsm(batch, factor, z, y, 'forward');
        trsm(batch, factor, y, z, 'backward');
        addScaled(batch, iterate, z, y, (a * c) / b - 1);
      });
      [iterate, y] = [y, iterate];
      scale *= b / c;
      least = next;
    }
    const out = keep(allocate(gpu, rows, cols));
    await sendBatch(gpu, (batch) => copyScaled(batch, iterate, out, scale));
    // What is not finite stays so, to the last step's matrix.
    if (iterate !== x && (await failingPivot(gpu, factor)) > 0) {
      throw new RfmError(
        'internal',
        `the square root of a ${rows} × ${rows} matrix broke down: I + c XᵀX has no Cholesky factor`,
      );
    }
    return out;
  });
}

/** The weights of a Halley step for singular values from l to 1, and the smallest after it. */
function halleyWeights(l: number): { a: number; b: number; c: number; next: number } {
  const square = l * l;
  const d = Math.cbrt((4 * (1 - square)) / (square * square));
  const root = Math.sqrt(1 + d);
  const a = root + 0.5 * Math.sqrt(8 - 4 * d + (8 * (2 - square)) / (square * root));
  const b = (a - 1) ** 2 / 4;
  const c = a + b - 1;
  return { a, b, c, next: (l * (a + b * square)) / (1 + c * square) };
}

/** w of the steps: 1.06, the largest value that w = 1 leaves, becomes 1 to float32's last digit by two with ⅜. */
const PRODUCT_STEPS = [1, 3 / 8, 3 / 8];

/** X with its singular values, between `CLOSE` and 1, moved to 1. */
async function productSteps(gpu: Gpu, x: Matrix, identity: Matrix): Promise<Matrix> {
  let [iterate, next] = [x, allocate(gpu, x.rows, x.cols)];
  await sendBatch(gpu, (batch) => {
    const e = batch.temporary(x.cols, x.cols);
    const correction = batch.temporary(x.cols, x.cols);
    for (const weight of PRODUCT_STEPS) {
      syrkTN(batch, { a: iterate, out: e, scale: -1, addend: identity });
      syrk(batch, { a: e, b: e, out: correction, scale: weight, addend: e, bias: 1 / 2 });
      gemm(batch, { a: iterate, b: correction, out: next, addend: iterate });
      [iterate, next] = [next, iterate];
    }
  });
  return iterate;
}

/** out = L over a bound on its largest singular value, given gram = LᵀL. */
function scaleToUnit(batch: Batch, l: Matrix, gram: Matrix, out: Matrix): void {
  const bound = batch.temporary(1, 1);
  batch.gpu.device.queue.writeBuffer(bound.buffer, 0, new Uint32Array(4));
  batch.dispatch(rowSumKernel, {
    bindings: { a: gram, result: bound },
    params: { rows: gram.rows, stride: gram.stride },
    grid: [ceilDiv(gram.rows, 64)],
  });
  divideByRoot(batch, l, bound, out);
}
