import diagonalMaximumSource from '../../../shaders/sqrt-psd/diagonal_maximum.wgsl';
import maxRowSumSource from '../../../shaders/sqrt-psd/max_row_sum.wgsl';
import { inputError, type RfmError, say, the } from '../../errors.js';
import { type Batch, ceilDiv, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import { allocate, type Matrix, matrixBytes, type Pair } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { addDiagonal, copyScaled, divideByRoot, symmetrize } from '../elementwise/elementwise.js';
import { gemm, syrk, syrkTN } from '../gemm/gemm.js';
import { type PivotedFactor, pivotedCholesky } from './pivoted-cholesky.js';

export { type PivotedFactor, pivotedCholesky };

const maximumKernel = defineKernel({
  name: 'diagonal_maximum',
  source: diagonalMaximumSource,
  bindings: { a: read('array<f32>'), result: readWrite('array<f32>') },
  params: { rows: 'u32', stride: 'u32' },
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
 * is float32 alone that is larger. On the AGOP of a CIFAR-10 layer (rank 1,000 of 3,072), with four pivots at a choice, the
 * root was wrong by 6.7e-6 with pivots down to 1e-6 and by 1.9e-6 down to 3e-6, which in turn costs 1.5e-6 where the spectrum
 * falls evenly from 1 to 1e-9 (1e-6: below 1e-6).
 */
export const RANK_TOLERANCE = 1e-8;
const RANK_TOLERANCE_FLOAT32 = 1e-6;

/**
 * out = M^{1/2} for symmetric positive semi-definite M (d × d), with ‖out² − M‖ ≤ 1e-6 ‖M‖.
 *
 * M = L Lᵀ by pivoted Cholesky, and with the polar decomposition L = P H: M^{1/2} = L Pᵀ. P comes
 * from X ← X + X (½E + cE²), E = I − XᵀX, which needs nothing but products: with c = ⅜ the fifth-order
 * Newton–Schulz iteration (Higham, Functions of Matrices, 2008, ch. 8), with c = 1 it converges less
 * sharply but small singular values grow by 5/2 a step instead of 15/8. L has the square root of M's
 * condition number; written as a correction, a step adds rounding errors only where E is not yet
 * small. Newton–Schulz on M itself reached 1e-5 at best in float32 and blew up later, and the
 * coefficients that grow faster (3.44, −4.78, 2.03) left errors five times larger than these.
 */
export async function sqrtPsd(gpu: Gpu, m: Matrix | Pair, out: Matrix): Promise<{ rank: number }> {
  return owning(gpu, async (gpu) => {
    const factor = await pivotedCholesky(gpu, m, 'high' in m ? RANK_TOLERANCE : RANK_TOLERANCE_FLOAT32);
    const root = await rootOfFactor(gpu, factor);
    await sendBatch(gpu, (batch) => copyScaled(batch, root, out));
    return { rank: factor.rank };
  });
}

/** Steps that a root takes as a rule. */
const USUAL_STEPS = 17;

/** Operations of M^{1/2} by way of its factor, d × d, of this rank. */
export const rootFlops = (d: number, rank: number): number =>
  2 * d * rank * rank + USUAL_STEPS * (3 * d * rank * rank + rank ** 3) + 2 * d * d * rank;

/**
 * Bytes that are held at most for it, of full rank: M, its low part and its factor; then the factor, two iterates, the
 * identity, its distance and the correction. Copies that products make come on top.
 */
export const rootBytes = (d: number): number => 6 * matrixBytes(d, d);

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
  const { rows: d, cols: columns } = l;
  if (rank === 0) throw zeroAgop();
  let [x, next] = [allocate(gpu, d, columns), allocate(gpu, d, columns)];
  const identity = allocate(gpu, columns, columns);
  await sendBatch(gpu, (batch) => {
    const gram = batch.temporary(columns, columns);
    syrkTN(batch, { a: l, out: gram });
    scaleToUnit(batch, l, gram, x);
    const zero = batch.temporary(columns, columns);
    copyScaled(batch, gram, zero, 0);
    addDiagonal(batch, zero, identity, 1);
  });
  const steps = growthSteps(smallestPivot);
  await sendBatch(gpu, (batch) => {
    const e = batch.temporary(columns, columns);
    const correction = batch.temporary(columns, columns);
    for (let step = 0; step < steps + CLOSING_STEPS; step++) {
      const second = step < steps ? 1 : 3 / 8;
      syrkTN(batch, { a: x, out: e, scale: -1, addend: identity });
      syrk(batch, { a: e, b: e, out: correction, scale: second, addend: e, bias: 1 / 2 });
      gemm(batch, { a: x, b: correction, out: next, addend: x });
      [x, next] = [next, x];
    }
  });
  const root = allocate(gpu, d, d);
  await sendBatch(gpu, (batch) => {
    const h = batch.temporary(d, d);
    gemm(batch, { a: l, b: x, out: h });
    symmetrize(batch, h, root);
  });
  return root;
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

/** Steps with c = ⅜ at the end: 1.06, the largest value that c = 1 leaves, becomes 1 to float32's last digit. */
const CLOSING_STEPS = 3;

/**
 * Steps until the smallest singular value has grown to about 1, by 5/2 a step, from about the root of
 * the smallest pivot (the start is scaled by a bound, at most a few times too large). Values that are
 * smaller still stay below 1: their directions then count for less in the root, by less than their size.
 */
function growthSteps(smallestPivot: number): number {
  const smallest = 0.1 * Math.sqrt(Math.max(smallestPivot, RANK_TOLERANCE));
  return Math.ceil(Math.log(1 / smallest) / Math.log(5 / 2));
}
