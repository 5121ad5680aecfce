import { type Batch, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, block, type Matrix, matrixBytes, release, upload } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { texelBytes } from '../gemm/factor-copies.js';
import { keptTexels, type Texels } from '../gemm/gemm-packed.js';
import { copiesFactors } from '../gemm/gemm-variants.js';
import { gemv } from '../gemm/gemv.js';
import { largestTile, type TiledSize } from '../tiled-size.js';
import { tileCount } from '../tiles.js';
import { allocateFactor, type CholeskyFactor, type Direction, inversesBytes, releaseFactor, trsm } from './cholesky.js';
import { BLOCK } from './panels.js';

/**
 * Unknowns of a block that is inverted as a whole. A substitution by blocks of 32 is n / 32 dispatches, each of which waits for
 * the one before: for one or ten right-hand sides they take longer than what they compute. Inverses of 512 take as much longer to
 * make as they save in the solves of a search.
 */
const WIDE = 256;

/** An inverse of a diagonal block of L, D = L_bb⁻¹, and its transpose. */
interface WideBlock {
  start: number;
  size: number;
  inverse: KeptMatrix;
  transposed: KeptMatrix;
}

/** As texels, too, where products read those. */
interface KeptMatrix {
  matrix: Matrix;
  texels: Texels | null;
}

/** The inverses of the wide diagonal blocks of L, and L as texels, where products read those and there are several blocks. */
export interface WideBlocks {
  readonly blocks: readonly WideBlock[];
  readonly texels: Texels | null;
}

export function releaseWideBlocks(gpu: Gpu, { blocks, texels }: WideBlocks): void {
  const kept = blocks.flatMap(({ inverse, transposed }) => [inverse, transposed]);
  release(gpu, ...kept.map(({ matrix }) => matrix));
  for (const found of [texels, ...kept.map((one) => one.texels)]) if (found) gpu.pool.giveTexture(found.texture);
}

/** Bytes that `wideBlocks` holds of a factor in tiles, and the texels on their way. */
export function wideBlocksBytes({ grid, copies }: TiledSize): number {
  const { textureSide } = copies;
  const [n, tile] = [grid.n, largestTile(grid)];
  const size = Math.min(WIDE, n);
  const inverses = 2 * Math.ceil(n / WIDE) * (matrixBytes(size, size) + texelBytes(textureSide, size, size).texture);
  const factor = texelBytes(textureSide, tile, tile);
  const whole = tile > WIDE ? tileCount(grid) * factor.texture + factor.staging : 0;
  return inverses + whole + 2 * matrixBytes(size, size) + inversesBytes(size);
}

/** Inverts the wide diagonal blocks of a factor (n × n): up to n · WIDE² multiply-adds. Release them. */
export const wideBlocks = (outer: Gpu, factor: CholeskyFactor): Promise<WideBlocks> =>
  owning(outer, async (gpu, keep) => {
    const n = factor.l.rows;
    const blocks: WideBlock[] = [];
    for (let start = 0; start < n; start += WIDE) {
      const size = Math.min(WIDE, n - start);
      blocks.push({ start, size, ...(await inverseOf(gpu, factor, start, size)) });
    }
    let texels: Texels | null = null;
    if (blocks.length > 1) {
      await sendBatch(gpu, (batch) => {
        texels = texelsOf(batch, factor.l);
      });
    }
    return keep({ blocks, texels });
  });

/** As products read it: where they read textures, the plan counts them. */
const texelsOf = (batch: Batch, matrix: Matrix): Texels | null =>
  copiesFactors(batch.gpu) ? keptTexels(batch, matrix) : null;

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
    const texels: (Texels | null)[] = [];
    await sendBatch(gpu, (batch) => {
      copyScaled(batch, block(l, start, start, size, size), own.l);
      copyScaled(batch, block(inverses, start, 0, size, BLOCK), own.inverses);
      copyScaled(batch, block(inversesT, start, 0, size, BLOCK), own.inversesT);
      // A right-hand side a row: row r becomes column r of the inverse.
      trsm(batch, own, identity, transposed, 'forward');
      transpose(batch, transposed, inverse);
      texels.push(texelsOf(batch, inverse), texelsOf(batch, transposed));
    });
    releaseFactor(gpu, own);
    return keep({
      inverse: { matrix: inverse, texels: texels[0] },
      transposed: { matrix: transposed, texels: texels[1] },
    });
  });

/**
 * Solves L Y = B ('forward') or Lᵀ Y = B ('backward') as `trsm` does, b and out m × n in different buffers with a right-hand side a
 * row; b stays.
 * @param l n × n: L in the lower half, Lᵀ in the upper.
 */
export function solveByWideBlocks(
  batch: Batch,
  { l, wide: { blocks, texels } }: { l: Matrix; wide: WideBlocks },
  b: Matrix,
  out: Matrix,
  direction: Direction,
): void {
  const [m, n] = [b.rows, b.cols];
  const forward = direction === 'forward';
  for (const { start, size, inverse, transposed } of forward ? blocks : [...blocks].reverse()) {
    const [from, count] = forward ? [0, start] : [start + size, n - start - size];
    let rest = block(b, 0, start, m, size);
    if (count > 0) {
      const known = { a: block(l, start, from, size, count), x: block(out, 0, from, m, count) };
      const left = batch.temporary(m, size);
      gemv(batch, {
        ...{ ...known, texels: texels && { ...texels, row: start, col: from } },
        ...{ out: left, addend: rest, scale: -1 },
      });
      rest = left;
    }
    const { matrix: a, texels: own } = forward ? inverse : transposed;
    gemv(batch, {
      ...{ a, texels: own && { ...own, row: 0, col: 0 }, triangle: forward ? 'lower' : 'upper' },
      ...{ x: rest, out: block(out, 0, start, m, size) },
    });
  }
}
