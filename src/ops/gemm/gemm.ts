import { RfmError } from '../../errors.js';
import type { Batch } from '../../runtime/batch.js';
import type { Pair, View } from '../../runtime/matrix.js';
import type { Work } from '../../runtime/profile.js';
import { type Operation, variantOf } from '../../runtime/variants.js';
import type { RadialKernel } from '../kernels/kernel.js';
import type { Counts } from '../work.js';
import { SMALL_RESULT, SMALL_SUM } from './factor-copies.js';
import { type GramTerms, type Half, highOf, isPair } from './gemm-product.js';
import { GEMM, GEMM_SMALL, type GemmVariant } from './gemm-variants.js';

export { GEMM, GEMM_SMALL };

export interface Contraction {
  /** m × k. */
  a: View;
  /** n × k. */
  b: View;
  /**
   * m × n; may share a buffer with a or b if it does not overlap them. A result in two floats holds what float32 cannot;
   * then `bias` does not apply, and an addend is `out` itself.
   */
  out: View | Pair;
  /** out = scale · (a bᵀ) + bias · addend. Default 1. */
  scale?: number;
  /** m × n; `out` itself to accumulate. */
  addend?: View | Pair;
  /** Default 1 with an addend. */
  bias?: number;
  /** With a result in two floats and scale 1: entries of Q are stored in place of the product's, by this variant of it. */
  gram?: GramTerms & { variant: GemmVariant };
}

/** out = scale · A Bᵀ + bias · addend, for A: m × k and B: n × k (the NT form, the fastest of the three). */
export function gemm(batch: Batch, operands: Contraction): void {
  contract(batch, operands);
}

/** out = scale · A B + bias · addend, for A: m × k and B: k × n. */
export function gemmNN(batch: Batch, operands: Contraction): void {
  contract(batch, operands, { transposeB: true });
}

/** out = scale · Aᵀ B + bias · addend, for A: k × m and B: k × n. */
export function gemmTN(batch: Batch, operands: Contraction): void {
  contract(batch, operands, { transposeA: true, transposeB: true });
}

/**
 * out = scale · A Bᵀ + bias · addend where the result is known to be symmetric (A = B, or B = A S with
 * symmetric S): half the work of `gemm`.
 * `half`: 'mirrored' fills all of out, 'lower' leaves the entries above the diagonal alone (and out may have more
 * rows than columns).
 */
export function syrk(batch: Batch, operands: Contraction, half: 'lower' | 'mirrored' = 'mirrored'): void {
  contract(batch, operands, { half });
}

/** out = scale · Aᵀ A + bias · addend, for A: k × n; out: n × n. */
export function syrkTN(batch: Batch, operands: Omit<Contraction, 'b'>): void {
  contract(batch, { ...operands, b: operands.a }, { transposeA: true, transposeB: true, half: 'mirrored' });
}

/**
 * out_ij = ‖a_i − b_j‖² for the rows of A (m × k) and B (n × k), from differences and not from
 * ‖a‖² + ‖b‖² − 2ab: in float32 that form loses distances below 3e-4, and collapsed layers live there.
 * Costs a subtraction more per product; every distance has a relative error of about 1e-7, in two floats a few times less.
 */
export function squaredDistances(batch: Batch, a: View, b: View, out: View | Pair): void {
  contract(batch, { a, b, out }, { difference: true, half: a === b ? 'mirrored' : 'full' });
}

/**
 * out_ij = k(a_i, b_j) for the rows of A (m × k) and B (n × k): `squaredDistances` with kernel values in place of the
 * distances where it stores them. `variant`: of the products, one that can do it.
 */
export function distanceKernel(
  batch: Batch,
  operands: Pick<Contraction, 'a' | 'b' | 'out'>,
  kernel: RadialKernel,
  variant: GemmVariant,
): void {
  const { a, b } = operands;
  const half = a === b ? 'mirrored' : 'full';
  batch.scope(contractionWork('distances', operands, a.cols, true, half), () =>
    variant.record(batch, {
      ...operands,
      a: { matrix: a, transposed: false },
      b: { matrix: b, transposed: false },
      k: a.cols,
      difference: true,
      half,
      values: kernel,
    }),
  );
}

/** (m × k)(k × n). */
export const gemmWork = (m: number, n: number, k: number): Counts => ({
  flops: 2 * m * n * k,
  bytes: 4 * (m * k + k * n + m * n),
});

/** (n × k)(k × n), symmetric. */
export const syrkWork = (n: number, k: number): Counts => ({
  flops: n * (n + 1) * k,
  bytes: 4 * (n * k + n * n),
});

/** What a product counts: two operations a multiply-add (three with a difference before it), half of them where half is computed. */
export function contractionWork(
  op: string,
  { a, b, out, addend }: Contraction,
  k: number,
  difference: boolean,
  half: Half,
): Work {
  const { rows, cols } = highOf(out);
  const entries = half === 'full' ? rows * cols : (rows * (rows + 1)) / 2;
  const results = (half === 'lower' ? entries : rows * cols) * (isPair(out) ? 2 : 1);
  const operands = a.rows * a.cols + (a === b ? 0 : b.rows * b.cols);
  return {
    op,
    flops: (difference ? 3 : 2) * entries * k,
    bytes: 4 * (operands + results + (addend ? entries : 0)),
  };
}

/**
 * Below these sizes a tile is mostly empty, or its start and end cost more than the products: such shapes have a
 * choice of their own.
 */
export const isSmall = (m: number, n: number, k: number): boolean =>
  Math.min(m, n) < SMALL_RESULT || k < SMALL_SUM || m * n * k < 2 ** 21;

/** The operation whose variants compute a product with an m × n result and sums of k terms. */
export const productOperation = (m: number, n: number, k: number): Operation<GemmVariant> =>
  isSmall(m, n, k) ? GEMM_SMALL : GEMM;

/** @throws internal error where what is added is in two floats and not the result, or the other way round. */
function refuseMixed(op: string, { out, addend }: Contraction): void {
  if (!addend || (!isPair(addend) && !isPair(out))) return;
  if (!isPair(addend) || !isPair(out) || addend.high.buffer !== out.high.buffer) {
    throw new RfmError('internal', `${op}: to a result in two floats only that result itself can be added`);
  }
}

function contract(
  batch: Batch,
  operands: Contraction,
  form: { transposeA?: boolean; transposeB?: boolean; difference?: boolean; half?: Half } = {},
): void {
  const { a, b } = operands;
  const { rows, cols } = highOf(operands.out);
  const { transposeA = false, transposeB = false, difference = false, half = 'full' } = form;
  const k = transposeA ? a.rows : a.cols;
  const variant = operands.gram?.variant ?? variantOf(batch.gpu, productOperation(rows, cols, k));
  const op = difference ? 'distances' : half === 'full' ? 'gemm' : 'syrk';
  refuseMixed(op, operands);
  batch.scope(contractionWork(op, operands, k, difference, half), () =>
    variant.record(batch, {
      ...operands,
      a: { matrix: a, transposed: transposeA },
      b: { matrix: b, transposed: transposeB },
      k,
      difference,
      half,
    }),
  );
}
