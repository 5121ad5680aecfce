import diagonalSource from '../../../shaders/sqrt-psd/diagonal.wgsl';
import diagonalMaximumSource from '../../../shaders/sqrt-psd/diagonal_maximum.wgsl';
import maxRowSumSource from '../../../shaders/sqrt-psd/max_row_sum.wgsl';
import pivotColumnsSource from '../../../shaders/sqrt-psd/pivot_columns.wgsl';
import pivotProductsSource from '../../../shaders/sqrt-psd/pivot_products.wgsl';
import pivotProductsSubgroupSource from '../../../shaders/sqrt-psd/pivot_products_subgroup.wgsl';
import pivotProductsWorkgroupSource from '../../../shaders/sqrt-psd/pivot_products_workgroup.wgsl';
import pivotSelectSource from '../../../shaders/sqrt-psd/pivot_select.wgsl';
import { inputError, type RfmError } from '../../errors.js';
import { type Batch, ceilDiv, createBatch, f32bits, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import type { LooseKernel } from '../../runtime/kernel.js';
import { allocate, downloadBytes, leadingBlock, type Matrix, release } from '../../runtime/matrix.js';
import { scoped } from '../../runtime/timing.js';
import { addDiagonal, copyScaled, divideByRoot, symmetrize } from '../elementwise/elementwise.js';
import { gemm, syrk, syrkTN } from '../gemm/gemm.js';

const diagonalKernel: LooseKernel = { name: 'diagonal', source: diagonalSource };
const maximumKernel: LooseKernel = { name: 'diagonal_maximum', source: diagonalMaximumSource };
const rowSumKernel: LooseKernel = { name: 'max_row_sum', source: maxRowSumSource };
const columnsKernel: LooseKernel = { name: 'pivot_columns', source: pivotColumnsSource };

/** result (1 × 1) = largest diagonal entry, for a positive semi-definite matrix its largest entry. */
export function diagonalMaximum(batch: Batch, a: Matrix, result: Matrix): void {
  batch.dispatchLoose(maximumKernel, [a, result], [a.rows, a.stride], [1]);
}

/** Columns that one choice of pivots gives at most. */
const PIVOTS = 4;
/** Operations of a term of pivot_products.wgsl, and of what follows the sums, for each pivot; see `RowWork`. */
const TERM = 50;
const ENTRY = 200;
/**
 * Choices between looks at whether the factorisation is finished: at each the device waits 2 ms for the host on lavapipe;
 * a choice that comes too late costs 0.1 ms.
 */
const CHOICES_PER_SUBMIT = 64;

export interface PivotedFactor {
  /** d × columns; columns beyond the rank are zero. Release it. */
  l: Matrix;
  rank: number;
  /** Smallest pivot over the largest. */
  smallestPivot: number;
}

/**
 * Pivoted Cholesky M ≈ L Lᵀ of a symmetric positive semi-definite d × d matrix, stopped where what
 * remains of the diagonal is below tolerance × its largest entry. With `low` the matrix is m + low. d r² / 2 multiply-adds
 * in double-float. Four rows are chosen at a time, so a pivot may be half of the largest entry there was.
 */
export async function pivotedCholesky(gpu: Gpu, m: Matrix, tolerance: number, low?: Matrix): Promise<PivotedFactor> {
  return scoped(gpu, { op: 'pivoted-cholesky' }, () => factorWithPivots(gpu, m, tolerance, low));
}

/** Of the factorisation's state, see pivot_select.wgsl. */
const STATE_WORDS = 20;

const selectKernel = ({ adapter, lanes }: Gpu): LooseKernel => ({
  name: 'pivot_select',
  source: pivotSelectSource,
  constants: { SIZE: adapter.type === 'software' && lanes > 0 ? lanes : 256 },
});

/** Rows a workgroup of the kernel that multiplies, and the kernel. */
function productsKernel({ adapter, lanes }: Gpu): [number, LooseKernel] {
  if (adapter.type === 'hardware') return [4, { name: 'pivot_products', source: pivotProductsWorkgroupSource }];
  return lanes >= 4 && lanes <= 64
    ? [lanes, { name: 'pivot_products', source: pivotProductsSubgroupSource, constants: { LANES: lanes } }]
    : [32, { name: 'pivot_products', source: pivotProductsSource }];
}

async function factorWithPivots(gpu: Gpu, m: Matrix, tolerance: number, low?: Matrix): Promise<PivotedFactor> {
  const d = m.rows;
  const l = allocate(gpu, d, d);
  const remaining = allocate(gpu, 1, 2 * d);
  const products = allocate(gpu, d, 2 * PIVOTS);
  const state = allocate(gpu, 1, STATE_WORDS);
  const select = selectKernel(gpu);
  const [group, multiply] = productsKernel(gpu);
  const rest = low ?? allocate(gpu, d, d);
  gpu.device.queue.writeBuffer(state.buffer, 0, new Uint32Array(STATE_WORDS));
  try {
    let done = false;
    let rank = 0;
    let smallestPivot = 1;
    while (rank < d && !done) {
      const batch = createBatch(gpu);
      if (rank === 0) {
        if (!low) copyScaled(batch, m, rest, 0);
        batch.dispatchLoose(diagonalKernel, [m, rest, remaining], [d, m.stride], [ceilDiv(d, 64)]);
      }
      for (let choice = 0; choice < Math.min(CHOICES_PER_SUBMIT, ceilDiv(d - rank, PIVOTS)); choice++) {
        batch.dispatchLoose(select, [remaining, state], [d, f32bits(tolerance)], [1]);
        // At most this many columns are there by now.
        const known = Math.min(d, rank + PIVOTS * choice);
        batch.dispatchLoose(
          multiply,
          [m, rest, state, l, products],
          [d, m.stride, l.stride, 0, 0],
          [ceilDiv(d, group)],
          {
            flops: group * PIVOTS * (TERM * known + ENTRY),
            first: 4,
            step: group,
          },
        );
        batch.dispatchLoose(
          columnsKernel,
          [products, state, l, remaining],
          [d, l.stride, 0, f32bits(tolerance)],
          [ceilDiv(d, 32)],
        );
      }
      await batch.send();
      const words = await downloadBytes(gpu, state.buffer, 0, 4 * STATE_WORDS);
      const integers = new Uint32Array(words);
      const numbers = new Float32Array(words);
      rank = integers[0] + integers[16];
      done = integers[1] === 1;
      smallestPivot = numbers[17] / numbers[2];
    }
    // No column was written.
    if (rank === 0) gpu.device.queue.writeBuffer(l.buffer, 0, new Float32Array(d * l.stride));
    const columns = Math.min(d, Math.ceil(Math.max(rank, 1) / 4) * 4);
    return { l: leadingBlock(l, d, columns), rank, smallestPivot };
  } catch (error) {
    release(gpu, l);
    throw error;
  } finally {
    release(gpu, remaining, products, state);
    if (!low) release(gpu, rest);
  }
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
 * out = M^{1/2} for symmetric positive semi-definite M = m + low (d × d), with ‖out² − M‖ ≤ 1e-6 ‖M‖.
 *
 * M = L Lᵀ by pivoted Cholesky, and with the polar decomposition L = P H: M^{1/2} = L Pᵀ. P comes
 * from X ← X + X (½E + cE²), E = I − XᵀX, which needs nothing but products: with c = ⅜ the fifth-order
 * Newton–Schulz iteration (Higham, Functions of Matrices, 2008, ch. 8), with c = 1 it converges less
 * sharply but small singular values grow by 5/2 a step instead of 15/8. L has the square root of M's
 * condition number; written as a correction, a step adds rounding errors only where E is not yet
 * small. Newton–Schulz on M itself reached 1e-5 at best in float32 and blew up later, and the
 * coefficients that grow faster (3.44, −4.78, 2.03) left errors five times larger than these.
 */
export async function sqrtPsd(gpu: Gpu, m: Matrix, out: Matrix, low?: Matrix): Promise<{ rank: number }> {
  const factor = await pivotedCholesky(gpu, m, low ? RANK_TOLERANCE : RANK_TOLERANCE_FLOAT32, low);
  const root = await rootOfFactor(gpu, factor);
  try {
    await sendBatch(gpu, (batch) => copyScaled(batch, root, out));
    return { rank: factor.rank };
  } finally {
    release(gpu, root);
  }
}

/** M^{1/2} (d × d) from the factor of M, which is released; see `sqrtPsd`. Release the root. */
export async function rootOfFactor(gpu: Gpu, factor: PivotedFactor): Promise<Matrix> {
  return scoped(gpu, { op: 'sqrt-psd' }, () => rootByPolarSteps(gpu, factor));
}

export const zeroAgop = (): RfmError =>
  inputError(
    'the AGOP is zero: the predictor is constant, as where rows or targets do not differ in float32; check both (features hardly differ with a small --gamma)',
  );

async function rootByPolarSteps(gpu: Gpu, { l, rank, smallestPivot }: PivotedFactor): Promise<Matrix> {
  const columns = l.cols;
  const d = l.rows;
  if (rank === 0) {
    release(gpu, l);
    throw zeroAgop();
  }
  let x = allocate(gpu, d, columns);
  let next = allocate(gpu, d, columns);
  const identity = allocate(gpu, columns, columns);
  try {
    await sendBatch(gpu, (batch) => {
      const gram = batch.temporary(columns, columns);
      syrkTN(batch, { a: l, out: gram });
      const bound = batch.temporary(1, 1);
      gpu.device.queue.writeBuffer(bound.buffer, 0, new Uint32Array(4));
      batch.dispatchLoose(rowSumKernel, [gram, bound], [columns, gram.stride], [ceilDiv(columns, 64)]);
      divideByRoot(batch, l, bound, x);
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
  } finally {
    release(gpu, l, x, next, identity);
  }
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
