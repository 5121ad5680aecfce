import { type Batch, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, block, type Matrix, release, upload, type View } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { gemm } from '../gemm/gemm.js';
import { allocateFactor, type CholeskyFactor, type Direction, releaseFactor, trsm } from './cholesky.js';
import { BLOCK } from './panels.js';

/**
 * Unknowns of a block that is inverted as a whole. A substitution by blocks of 32 is n / 32 dispatches, each of which waits for
 * the one before: for one or ten right-hand sides they take longer than what they compute.
 */
const WIDE = 512;

/** An inverse of a diagonal block of L, D = L_bb⁻¹, and its transpose. */
interface WideBlock {
  start: number;
  size: number;
  inverse: Matrix;
  transposed: Matrix;
}

/** The inverses of the wide diagonal blocks of L. */
export type WideBlocks = readonly WideBlock[];

export const releaseWideBlocks = (gpu: Gpu, blocks: WideBlocks): void =>
  release(gpu, ...blocks.flatMap(({ inverse, transposed }) => [inverse, transposed]));

/** Inverts the wide diagonal blocks of a factor (n × n): up to n · WIDE² multiply-adds. Release them. */
export const wideBlocks = (outer: Gpu, factor: CholeskyFactor): Promise<WideBlocks> =>
  owning(outer, async (gpu, keep) => {
    const n = factor.l.rows;
    const blocks: WideBlock[] = [];
    for (let start = 0; start < n; start += WIDE) {
      const size = Math.min(WIDE, n - start);
      blocks.push({ start, size, ...keep(await inverseOf(gpu, factor, start, size)) });
    }
    return blocks;
  });

const inverseOf = (
  outer: Gpu,
  { l, inverses, inversesT }: CholeskyFactor,
  start: number,
  size: number,
): Promise<Pick<WideBlock, 'inverse' | 'transposed'>> =>
  owning(outer, async (gpu, keep) => {
    const own = allocateFactor(gpu, allocate(gpu, size, size));
    const unit = new Float32Array(size * size);
    for (let i = 0; i < size; i++) unit[i * size + i] = 1;
    const identity = upload(gpu, size, size, unit);
    const [inverse, transposed] = [allocate(gpu, size, size), allocate(gpu, size, size)];
    await sendBatch(gpu, (batch) => {
      copyScaled(batch, block(l, start, start, size, size), own.l);
      copyScaled(batch, block(inverses, start, 0, size, BLOCK), own.inverses);
      copyScaled(batch, block(inversesT, start, 0, size, BLOCK), own.inversesT);
      // A right-hand side a row: row r becomes column r of the inverse.
      trsm(batch, own, identity, transposed, 'forward');
      transpose(batch, transposed, inverse);
    });
    releaseFactor(gpu, own);
    return keep({ inverse, transposed });
  });

/**
 * Solves L Y = B ('forward') or Lᵀ Y = B ('backward') as `trsm` does, b and out m × n with a right-hand side a row; b stays. Within,
 * right-hand sides are columns, since a tile of a product has fewer columns than rows.
 * @param l n × n: L in the lower half, Lᵀ in the upper.
 */
export function solveByWideBlocks(
  batch: Batch,
  { l, blocks }: { l: Matrix; blocks: WideBlocks },
  b: Matrix,
  out: Matrix,
  direction: Direction,
): void {
  const [m, n] = [b.rows, b.cols];
  const forward = direction === 'forward';
  const open = batch.temporary(n, m);
  transpose(batch, b, open);
  for (const { start, size, inverse, transposed } of forward ? blocks : [...blocks].reverse()) {
    const rest: View = block(open, start, 0, size, m);
    const [from, count] = forward ? [0, start] : [start + size, n - start - size];
    if (count > 0) {
      const known = { a: block(l, start, from, size, count), b: block(out, 0, from, m, count) };
      gemm(batch, { ...known, out: rest, addend: rest, scale: -1 });
    }
    const [row, column] = [batch.temporary(m, size), batch.temporary(size, m)];
    transpose(batch, rest, row);
    gemm(batch, { a: forward ? inverse : transposed, b: row, out: column });
    transpose(batch, column, block(out, 0, start, m, size));
  }
}
