import { RfmError, say, the } from '../../errors.js';
import { sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, download, matrixBytes, release } from '../../runtime/matrix.js';
import {
  allocateFactor,
  type CholeskyFactor,
  failingPivot,
  inversesBytes,
  potrf,
  potrs,
  releaseFactor,
  trsm,
} from '../cholesky/cholesky.js';
import { addDiagonal } from '../elementwise/elementwise.js';
import { copyBytes } from '../gemm/factor-copies.js';
import { gemm, gemmNN, syrkTN } from '../gemm/gemm.js';
import { kernelFromDistances, kernelMatrix } from '../kernel-matrix/kernel-matrix.js';
import { pairDistances } from '../kernel-matrix/pair-distances.js';
import { rowLengths } from '../statistics/statistics.js';
import { largestTile, type TiledSize } from '../tiled-size.js';
import { allocateRows, type Columns, gatherRows, type RowGrid, type Rows, releasePanels, rowBytes } from '../tiles.js';
import type { KernelSystem } from './kernel-system.js';

/** An approximation of (K + ridge I)⁻¹. */
export interface Preconditioner {
  /** out = P⁻¹ R, outputs × n, one right-hand side a row. */
  apply(r: Columns, out: Columns): Promise<void>;
  release(): void;
}

/** `count` evenly spaced numbers of 0 … n − 1: in class order every class has its share. */
export const evenlySpaced = (n: number, count: number): number[] =>
  Array.from({ length: Math.min(n, count) }, (_, i) => Math.floor(((i + 0.5) * n) / Math.min(n, count)));

/** Of n, which is at least the largest eigenvalue: with a smaller shift Woodbury's difference is rounding in float32. */
const SHIFT_FLOOR = 2e-6;

/**
 * P = F Fᵀ + μ I with the Nyström approximation F Fᵀ of K from `landmarks` of its rows (Frangella, Tropp, Udell, SIAM
 * J. Matrix Anal. Appl. 2023): F = K_nS L⁻ᵀ, K_SS = L Lᵀ, and P⁻¹ = (I − F (FᵀF + μI)⁻¹ Fᵀ)/μ by Woodbury's
 * identity. μ is the ridge and the mean of what F leaves of K's diagonal. n × landmarks numbers are kept.
 */
export async function nystromPreconditioner(
  gpu: Gpu,
  system: KernelSystem,
  ridge: number,
  landmarks: number,
): Promise<Preconditioner> {
  const { grid } = system.x;
  const ids = evenlySpaced(grid.n, landmarks);
  const rank = ids.length;
  const f = allocateRows(gpu, grid, rank);
  const inner = allocate(gpu, rank, rank);
  const factor = allocateFactor(gpu, inner);
  const releaseAll = (): void => {
    releasePanels(gpu, f);
    releaseFactor(gpu, factor);
    release(gpu, inner);
  };
  try {
    await projectOnLandmarks(gpu, system, ids, f);
    const missing = Math.max(0, grid.n - (await squaredNorm(gpu, f)));
    const shift = Math.max(ridge + missing / grid.n, SHIFT_FLOOR * grid.n);
    await sendBatch(gpu, (batch) => {
      const gram = batch.temporary(rank, rank);
      f.tiles.forEach((tile, i) => {
        syrkTN(batch, { a: tile, out: gram, ...(i > 0 && { addend: gram }) });
      });
      addDiagonal(batch, gram, inner, shift);
      potrf(batch, factor);
    });
    await refuseFailure(gpu, factor);
    return { apply: (r, out) => applyInverse(gpu, { f, factor, shift }, r, out), release: releaseAll };
  } catch (error) {
    releaseAll();
    throw error;
  }
}

async function applyInverse(
  gpu: Gpu,
  { f, factor, shift }: { f: Rows; factor: CholeskyFactor; shift: number },
  r: Columns,
  out: Columns,
): Promise<void> {
  await sendBatch(gpu, (batch) => {
    const [outputs, rank] = [r.tiles[0].rows, factor.l.rows];
    const [u, v] = [batch.temporary(outputs, rank), batch.temporary(outputs, rank)];
    f.tiles.forEach((tile, i) => {
      gemmNN(batch, { a: r.tiles[i], b: tile, out: u, ...(i > 0 && { addend: u }) });
    });
    potrs(batch, factor, u, v);
    f.tiles.forEach((tile, i) => {
      gemm(batch, { a: v, b: tile, out: out.tiles[i], scale: -1 / shift, addend: r.tiles[i], bias: 1 / shift });
    });
  });
}

/** f (n × rank) = K_nS L⁻ᵀ for the rows S of x. K_SS gets the smallest jitter that its factorisation takes: f may be an approximation. */
async function projectOnLandmarks(
  gpu: Gpu,
  { x, kernel }: KernelSystem,
  ids: readonly number[],
  f: Rows,
): Promise<void> {
  const rank = ids.length;
  const rows = allocate(gpu, rank, x.tiles[0].cols);
  const corner = allocate(gpu, rank, rank);
  const factor = allocateFactor(gpu, corner);
  try {
    await sendBatch(gpu, (batch) => gatherRows(batch, x, ids, rows));
    for (let jitter = 1e-6; ; jitter *= 10) {
      await sendBatch(gpu, (batch) => {
        const squared = batch.temporary(rank, rank);
        pairDistances(batch, kernel, rows, rows, squared);
        kernelFromDistances(batch, squared, corner, kernel, jitter);
        potrf(batch, factor);
      });
      if ((await failingPivot(gpu, factor)) === 0) break;
      if (jitter > 0.1) await refuseFailure(gpu, factor);
    }
    for (const [i, tile] of x.tiles.entries()) {
      await sendBatch(gpu, (batch) => {
        const k = batch.temporary(tile.rows, rank);
        kernelMatrix(batch, tile, rows, k, kernel);
        trsm(batch, factor, k, f.tiles[i], 'forward');
      });
    }
  } finally {
    releaseFactor(gpu, factor);
    release(gpu, rows, corner);
  }
}

async function refuseFailure(gpu: Gpu, factor: CholeskyFactor): Promise<void> {
  if ((await failingPivot(gpu, factor)) === 0) return;
  throw new RfmError(
    'internal',
    'the preconditioner of the kernel matrix cannot be factored',
    say`check the data for NaN, or use a larger ${the.ridge}`,
  );
}

async function squaredNorm(gpu: Gpu, f: Rows): Promise<number> {
  let sum = 0;
  for (const tile of f.tiles) {
    const lengths = allocate(gpu, 1, tile.rows);
    try {
      await sendBatch(gpu, (batch) => rowLengths(batch, tile, lengths));
      for (const length of await download(gpu, lengths)) sum += length * length;
    } finally {
      release(gpu, lengths);
    }
  }
  return sum;
}

/** Bytes of a preconditioner of this rank. */
export const preconditionerBytes = (grid: RowGrid, rank: number): number =>
  rowBytes(grid, rank) + matrixBytes(rank, rank) + inversesBytes(rank);

/** Bytes that are held beside while it is made: the landmarks with each other, and with a tile of rows. */
export function landmarkBytes({ grid, d, copies }: TiledSize, rank: number): number {
  const tile = largestTile(grid);
  const corner = matrixBytes(rank, rank);
  const landmarks = matrixBytes(rank, d);
  return Math.max(
    4 * corner + landmarks + copyBytes(copies, rank, rank, d),
    2 * matrixBytes(tile, rank) + 2 * corner + landmarks + copyBytes(copies, tile, rank, Math.max(d, rank)),
  );
}
