import { createBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, download, type Matrix, release, upload } from '../../runtime/matrix.js';
import { scoped } from '../../runtime/timing.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { gemm, gemmNN, syrk } from '../gemm/gemm.js';
import { type Columns, type Grid, tileCount, tileSize } from '../tiles.js';
import { choleskyWork, trsmWork } from '../work.js';
import { allocateFactor, type CholeskyFactor, failingPivot, potrf, releaseFactor, trsm } from './cholesky.js';

/** Where the tiles of a factor are between their uses. */
export type TilePlace = 'device' | 'host';

/** Holds tiles of a triangle by their number. */
interface TileStore {
  readonly place: TilePlace;
  /** Takes the matrix over. */
  put(i: number, j: number, tile: Matrix): Promise<void>;
  /** A tile that was put, on the device; `done` when the work on it has been submitted. */
  use(i: number, j: number): Matrix;
  done(tile: Matrix): void;
  release(): void;
}

const keyOf = (i: number, j: number): number => (i * (i + 1)) / 2 + j;

function deviceStore(gpu: Gpu): TileStore {
  const tiles: Matrix[] = [];
  return {
    place: 'device',
    async put(i, j, tile) {
      tiles[keyOf(i, j)] = tile;
    },
    use: (i, j) => tiles[keyOf(i, j)],
    done() {},
    release: () => tiles.forEach((tile) => void release(gpu, tile)),
  };
}

/** Tiles in host memory: each use is an upload. */
function hostStore(gpu: Gpu): TileStore {
  const tiles: { rows: number; cols: number; data: Float32Array }[] = [];
  return {
    place: 'host',
    async put(i, j, tile) {
      try {
        tiles[keyOf(i, j)] = { rows: tile.rows, cols: tile.cols, data: await download(gpu, tile) };
      } finally {
        release(gpu, tile);
      }
    },
    use(i, j) {
      const { rows, cols, data } = tiles[keyOf(i, j)];
      return upload(gpu, rows, cols, data);
    },
    done: (tile) => release(gpu, tile),
    release() {
      tiles.length = 0;
    },
  };
}

/** A = L Lᵀ by tiles: L's lower triangle, and of every tile on its diagonal the inverses of its blocks. */
export interface TiledFactor {
  readonly grid: Grid;
  readonly store: TileStore;
  readonly diagonal: Omit<CholeskyFactor, 'l'>[];
}

export function releaseTiledFactor(gpu: Gpu, { store, diagonal }: TiledFactor): void {
  store.release();
  for (const part of diagonal) releaseFactor(gpu, part);
}

/**
 * Factors the symmetric positive definite matrix whose tile (i, j), i ≥ j, `fill` records into `out`; each tile is
 * asked for once, column by column (left-looking: all that earlier columns take off a tile is taken off it at once, so
 * a tile is written once wherever it is kept). n³/6 multiply-adds.
 * Returns the factor, or the first pivot (from 1) that was not positive and finite.
 */
export async function factorTiles(
  gpu: Gpu,
  grid: Grid,
  fill: (batch: ReturnType<typeof createBatch>, i: number, j: number, out: Matrix) => void,
  place: TilePlace,
): Promise<{ factor: TiledFactor } | { failingPivot: number }> {
  const factor: TiledFactor = { grid, store: place === 'device' ? deviceStore(gpu) : hostStore(gpu), diagonal: [] };
  try {
    const pivot = await scoped(gpu, { op: 'cholesky', ...choleskyWork(grid.n) }, () =>
      factorColumns(gpu, factor, fill),
    );
    if (pivot === 0) return { factor };
    releaseTiledFactor(gpu, factor);
    return { failingPivot: pivot };
  } catch (error) {
    releaseTiledFactor(gpu, factor);
    throw error;
  }
}

async function factorColumns(
  gpu: Gpu,
  { grid, store, diagonal }: TiledFactor,
  fill: Parameters<typeof factorTiles>[2],
): Promise<number> {
  for (let j = 0; j < tileCount(grid); j++) {
    for (let i = j; i < tileCount(grid); i++) {
      const a = allocate(gpu, tileSize(grid, i), tileSize(grid, j));
      let result = a;
      try {
        const batch = createBatch(gpu);
        fill(batch, i, j, a);
        for (let k = 0; k < j; k++) {
          const left = store.use(i, k);
          const right = i === j ? left : store.use(j, k);
          const update = { a: left, b: right, out: a, addend: a, scale: -1 };
          if (i === j) syrk(batch, update, 'lower');
          else gemm(batch, update);
          // Tiles that come from the host would fill the device by and by.
          if (store.place === 'host') await batch.send();
          store.done(left);
          if (i !== j) store.done(right);
        }
        if (i === j) {
          const factor = allocateFactor(gpu, a);
          diagonal.push(factor);
          potrf(batch, factor);
          await batch.send();
          const pivot = await failingPivot(gpu, factor);
          if (pivot > 0) {
            release(gpu, a);
            return grid.starts[j] + pivot;
          }
        } else {
          // L_ij = A_ij L_jj⁻ᵀ: one right-hand side a row.
          result = allocate(gpu, a.rows, a.cols);
          const l = store.use(j, j);
          trsm(batch, { ...diagonal[j], l }, a, result, 'forward');
          await batch.send();
          store.done(l);
          release(gpu, a);
        }
      } catch (error) {
        release(gpu, ...new Set([a, result]));
        throw error;
      }
      await store.put(i, j, result);
    }
  }
  return 0;
}

/**
 * Solves A X = B given A = L Lᵀ, with b (outputs × n) one right-hand side a row; b is overwritten, out receives X.
 * Every tile of L is used twice.
 */
export async function solveTiles(gpu: Gpu, factor: TiledFactor, b: Columns, out: Columns): Promise<void> {
  const { grid, store, diagonal } = factor;
  const count = tileCount(grid);
  const work = trsmWork(grid.n, b.tiles[0].rows);
  await scoped(gpu, { op: 'trsm', ...work }, async () => {
    const order = Array.from({ length: count }, (_, j) => j);
    const batch = createBatch(gpu);
    for (const direction of ['forward', 'backward'] as const) {
      const [from, to] = direction === 'forward' ? [b, out] : [out, b];
      for (const j of direction === 'forward' ? order : [...order].reverse()) {
        const known = direction === 'forward' ? order.slice(0, j) : order.slice(j + 1);
        for (const k of known) {
          const l = direction === 'forward' ? store.use(j, k) : store.use(k, j);
          const update = { a: to.tiles[k], b: l, out: from.tiles[j], addend: from.tiles[j], scale: -1 };
          if (direction === 'forward') gemm(batch, update);
          else gemmNN(batch, update);
          // Backward, each product makes a transposed copy of its tile; from the host, tiles would fill the device.
          if (store.place === 'host' || direction === 'backward') await batch.send();
          store.done(l);
        }
        const l = store.use(j, j);
        trsm(batch, { ...diagonal[j], l }, from.tiles[j], to.tiles[j], direction);
        if (count > 1 || store.place === 'host') await batch.send();
        store.done(l);
      }
    }
    // The second substitution left X in b.
    b.tiles.forEach((tile, j) => void copyScaled(batch, tile, out.tiles[j]));
    await batch.send();
  });
}
