/**
 * What operations count, for rates: floating-point operations that the result needs (a multiply-add is two, half of a
 * symmetric result is computed) and bytes that must move (each operand and result once, float32). Kernels that do more,
 * as compensated sums and second floats do, are not credited for it.
 */

import type { Work } from '../runtime/profile.js';

export type Counts = Required<Pick<Work, 'flops' | 'bytes'>>;

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

/** Kernel values of n rows of d features with each other: a difference, a product and a sum for each. */
export const kernelMatrixWork = (n: number, d: number): Counts => ({
  flops: 1.5 * n * (n + 1) * d,
  bytes: 4 * (n * d + n * n),
});

/** n · AGOP = Xᵀ Q X: WᵀW, S and T for C outputs, QX, and the symmetric product at the end. */
export const agopGramWork = (n: number, d: number, outputs: number): Counts & { rows: number } => ({
  flops: n ** 3 + 4 * n * n * outputs + 2 * n * n * d + n * d * d,
  bytes: 4 * (n * d + n * n + n * outputs + d * d),
  rows: n,
});

/** Σ_i J_iᵀ J_i from the gradients of C outputs at `rows` of n rows. */
export const agopJacobianWork = (n: number, d: number, outputs: number, rows = n): Counts & { rows: number } => ({
  flops: 2 * n * rows * outputs * d + rows * outputs * d * d,
  bytes: 4 * (n * d + n * rows + n * outputs + d * d),
  rows,
});
