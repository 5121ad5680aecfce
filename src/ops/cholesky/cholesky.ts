import type { Batch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, downloadBytes, type Matrix, matrixBytes, release } from '../../runtime/matrix.js';
import { variantOf } from '../../runtime/variants.js';
import type { Counts } from '../work.js';
import { CHOLESKY } from './cholesky-variants.js';
import { BLOCK, type CholeskyFactor, type Direction } from './panels.js';
import { TRSM } from './trsm-variants.js';

export { CHOLESKY, type CholeskyFactor, type Direction, TRSM };

/** What A = L Lᵀ counts, n × n. */
export const choleskyWork = (n: number): Counts => ({ flops: n ** 3 / 3, bytes: 4 * n * n });

/** What L Y = B counts, L n × n, with m right-hand sides. */
export const trsmWork = (n: number, m: number): Counts => ({
  flops: n * n * m,
  bytes: 4 * ((n * (n + 1)) / 2 + 2 * n * m),
});

/** Bytes that `allocateFactor` takes for the inverses of the diagonal blocks, n × n. */
export const inversesBytes = (n: number): number => 2 * matrixBytes(n, BLOCK);

/** Room for the factor of `a` (n × n), which `potrf` overwrites. Release it with `releaseFactor`. */
export function allocateFactor(gpu: Gpu, a: Matrix): CholeskyFactor {
  return {
    l: a,
    inverses: allocate(gpu, a.rows, BLOCK),
    inversesT: allocate(gpu, a.rows, BLOCK),
    info: allocate(gpu, 1, 4),
  };
}

/** Releases all but the matrix that was factored. */
export function releaseFactor(gpu: Gpu, factor: Omit<CholeskyFactor, 'l'>): void {
  release(gpu, factor.inverses, factor.inversesT, factor.info);
}

/**
 * Cholesky factorisation of the symmetric n × n matrix in factor.l, in place; only its lower half is read.
 * n³/6 multiply-adds. Check `failingPivot` after the batch.
 */
export function potrf(batch: Batch, factor: CholeskyFactor): void {
  batch.gpu.device.queue.writeBuffer(factor.info.buffer, 0, new Uint32Array(4));
  const work = choleskyWork(factor.l.rows);
  batch.scope({ op: 'cholesky', ...work }, () => variantOf(batch.gpu, CHOLESKY).record(batch, factor));
}

/** The first pivot (from 1) at which the factorisation broke down, or 0. */
export async function failingPivot(gpu: Gpu, factor: Pick<CholeskyFactor, 'info'>): Promise<number> {
  return new Uint32Array(await downloadBytes(gpu, factor.info.buffer, 0, 4))[0];
}

/**
 * Solves A X = B for many right-hand sides, given A = L Lᵀ, by forward and backward substitution in
 * blocks. Transposed layout: b and out are m × n, one right-hand side a row. b is overwritten.
 */
export function potrs(batch: Batch, factor: CholeskyFactor, b: Matrix, out: Matrix): void {
  const y = batch.temporary(b.rows, b.cols);
  trsm(batch, factor, b, y, 'forward');
  trsm(batch, factor, y, out, 'backward');
}

/**
 * Solves L Y = B ('forward') or Lᵀ Y = B ('backward') in transposed layout: b and out are m × n, one
 * right-hand side a row. b is overwritten.
 */
export function trsm(batch: Batch, factor: CholeskyFactor, b: Matrix, out: Matrix, direction: Direction): void {
  const work = trsmWork(factor.l.rows, b.rows);
  batch.scope({ op: 'trsm', ...work }, () => variantOf(batch.gpu, TRSM).record(batch, factor, b, out, direction));
}
