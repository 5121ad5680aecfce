import { type Batch, createBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, download, type Matrix, matrixBytes, release, upload } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { copyBytes } from '../gemm/factor-copies.js';
import { gemm, gemmNN, syrk } from '../gemm/gemm.js';
import { largestTile, type TiledSize } from '../tiled-size.js';
import { type Columns, type RowGrid, tileCount, tileSize } from '../tiles.js';
import {
  allocateFactor,
  type CholeskyFactor,
  choleskyWork,
  type Direction,
  failingPivot,
  potrf,
  releaseFactor,
  trsm,
  trsmWork,
} from './cholesky.js';
import { releaseWideBlocks, solveByWideBlocks, type WideBlocks, wideBlocks } from './wide-blocks.js';

/** Where the tiles of a factor are between their uses. */
export type TilePlace = 'device' | 'host';

/** Holds tiles of a triangle by their number; `gpu` is that of the scope which owns them at that time. */
interface TileStore {
  readonly place: TilePlace;
  /** What it holds on the device. */
  readonly held: readonly Matrix[];
  /** Takes the matrix over. */
  put(gpu: Gpu, i: number, j: number, tile: Matrix): Promise<void>;
  /** A tile that was put, on the device; `done` when the work on it has been submitted. */
  use(gpu: Gpu, i: number, j: number): Matrix;
  done(gpu: Gpu, tile: Matrix): void;
}

const keyOf = (i: number, j: number): number => (i * (i + 1)) / 2 + j;

function deviceStore(): TileStore {
  const tiles: Matrix[] = [];
  return {
    place: 'device',
    held: tiles,
    async put(_, i, j, tile) {
      tiles[keyOf(i, j)] = tile;
    },
    use: (_, i, j) => tiles[keyOf(i, j)],
    done() {},
  };
}

/** Tiles in host memory: each use is an upload. */
function hostStore(): TileStore {
  const tiles: { rows: number; cols: number; data: Float32Array }[] = [];
  return {
    place: 'host',
    held: [],
    async put(gpu, i, j, tile) {
      tiles[keyOf(i, j)] = { rows: tile.rows, cols: tile.cols, data: await download(gpu, tile) };
      release(gpu, tile);
    },
    use(gpu, i, j) {
      const { rows, cols, data } = tiles[keyOf(i, j)];
      return upload(gpu, rows, cols, data);
    },
    done: (gpu, tile) => release(gpu, tile),
  };
}

/** A = L Lᵀ by tiles: L's lower triangle, and of every tile on its diagonal the inverses of its blocks. */
export interface TiledFactor {
  readonly grid: RowGrid;
  readonly store: TileStore;
  readonly diagonal: Omit<CholeskyFactor, 'l'>[];
  /** Of every tile on the diagonal, where the factor was prepared for many solves. */
  readonly wide?: readonly WideBlocks[];
}

/** Frees all tiles of a factor, wherever they are. */
export function releaseTiledFactor(gpu: Gpu, { store, diagonal, wide = [] }: TiledFactor): void {
  release(gpu, ...store.held);
  for (const blocks of wide) releaseWideBlocks(gpu, blocks);
  for (const part of diagonal) releaseFactor(gpu, part);
}

/** The same factor, which owns the other from here on, for many solves with few right-hand sides each; with tiles on the device. */
export async function preparedForSolves(outer: Gpu, factor: TiledFactor): Promise<TiledFactor> {
  if (factor.store.place === 'host') return factor;
  return owning(outer, async (gpu, keep) => {
    const wide: WideBlocks[] = [];
    for (const [j, inverses] of factor.diagonal.entries()) {
      wide.push(keep(await wideBlocks(gpu, { ...inverses, l: factor.store.use(gpu, j, j) })));
    }
    return { ...factor, wide };
  });
}

/** Records tile (i, j), i ≥ j, of a symmetric matrix into `out`. */
export type FillTile = (batch: Batch, i: number, j: number, out: Matrix) => void;

/**
 * Factors the symmetric positive definite matrix whose tiles `fill` records; each is asked for once, column by column
 * (left-looking: all that earlier columns take off a tile is taken off it at once, so a tile is written once wherever it is
 * kept). n³/6 multiply-adds.
 * Returns the factor, or the first pivot (from 1) that was not positive and finite.
 */
export async function factorTiles(
  gpu: Gpu,
  grid: RowGrid,
  fill: FillTile,
  place: TilePlace,
): Promise<{ factor: TiledFactor } | { failingPivot: number }> {
  return owning(gpu, async (gpu, keep) => {
    const factor: TiledFactor = { grid, store: place === 'device' ? deviceStore() : hostStore(), diagonal: [] };
    const work = { op: 'cholesky', ...choleskyWork(grid.n) };
    const pivot = await scoped(gpu, work, () => factorColumns(gpu, factor, fill));
    if (pivot > 0) return { failingPivot: pivot };
    keep([factor.store.held, factor.diagonal]);
    return { factor };
  });
}

async function factorColumns(gpu: Gpu, factor: TiledFactor, fill: FillTile): Promise<number> {
  const { grid, store, diagonal } = factor;
  for (let j = 0; j < tileCount(grid); j++) {
    for (let i = j; i < tileCount(grid); i++) {
      const a = allocate(gpu, tileSize(grid, i), tileSize(grid, j));
      const batch = createBatch(gpu);
      fill(batch, i, j, a);
      await takeOff(batch, factor, a, i, j);
      if (i === j) {
        const { l, ...inverses } = allocateFactor(gpu, a);
        diagonal.push(inverses);
        potrf(batch, { l, ...inverses });
        await batch.send();
        const pivot = await failingPivot(gpu, inverses);
        if (pivot > 0) return grid.starts[j] + pivot;
        await store.put(gpu, i, j, a);
      } else {
        // L_ij = A_ij L_jj⁻ᵀ: one right-hand side a row.
        const result = allocate(gpu, a.rows, a.cols);
        const l = store.use(gpu, j, j);
        trsm(batch, { ...diagonal[j], l }, a, result, 'forward');
        await batch.send();
        store.done(gpu, l);
        release(gpu, a);
        await store.put(gpu, i, j, result);
      }
    }
  }
  return 0;
}

/** Tile (i, j) loses what the columns of tiles before it take off it. */
async function takeOff(batch: Batch, { store }: TiledFactor, a: Matrix, i: number, j: number): Promise<void> {
  const { gpu } = batch;
  for (let k = 0; k < j; k++) {
    const left = store.use(gpu, i, k);
    const right = i === j ? left : store.use(gpu, j, k);
    const update = { a: left, b: right, out: a, addend: a, scale: -1 };
    if (i === j) syrk(batch, update, 'lower');
    else gemm(batch, update);
    // Tiles that come from the host would fill the device by and by.
    if (store.place === 'host') await batch.send();
    store.done(gpu, left);
    if (i !== j) store.done(gpu, right);
  }
}

/**
 * Solves A X = B given A = L Lᵀ, with b (outputs × n) one right-hand side a row; b is overwritten, out receives X.
 * Every tile of L is used twice.
 */
export async function solveTiles(gpu: Gpu, factor: TiledFactor, b: Columns, out: Columns): Promise<void> {
  const { grid } = factor;
  const work = { op: 'trsm', ...trsmWork(grid.n, b.tiles[0].rows) };
  await scoped(gpu, work, () =>
    owning(gpu, async (gpu) => {
      const batch = createBatch(gpu);
      await substitute(batch, factor, b, out, 'forward');
      await substitute(batch, factor, out, b, 'backward');
      // The second substitution left X in b.
      b.tiles.forEach((tile, j) => void copyScaled(batch, tile, out.tiles[j]));
      await batch.send();
    }),
  );
}

/** L Y = B or Lᵀ Y = B: `from` is B and is overwritten, `to` receives Y. */
async function substitute(
  batch: Batch,
  { grid, store, diagonal, wide }: TiledFactor,
  from: Columns,
  to: Columns,
  direction: Direction,
): Promise<void> {
  const { gpu } = batch;
  const forward = direction === 'forward';
  const order = Array.from({ length: tileCount(grid) }, (_, j) => j);
  for (const j of forward ? order : [...order].reverse()) {
    for (const k of forward ? order.slice(0, j) : order.slice(j + 1)) {
      const l = forward ? store.use(gpu, j, k) : store.use(gpu, k, j);
      const update = { a: to.tiles[k], b: l, out: from.tiles[j], addend: from.tiles[j], scale: -1 };
      if (forward) gemm(batch, update);
      else gemmNN(batch, update);
      // Backward, each product makes a transposed copy of its tile; from the host, tiles would fill the device.
      if (store.place === 'host' || !forward) await batch.send();
      store.done(gpu, l);
    }
    const l = store.use(gpu, j, j);
    if (wide) solveByWideBlocks(batch, { l, wide: wide[j] }, from.tiles[j], to.tiles[j], direction);
    else trsm(batch, { ...diagonal[j], l }, from.tiles[j], to.tiles[j], direction);
    if (order.length > 1 || store.place === 'host') await batch.send();
    store.done(gpu, l);
  }
}

/**
 * Bytes that `factorTiles` and `solveTiles` hold of tiles at work: those being made, what earlier columns take off them, and
 * panels of 32 columns below a tile's diagonal. `filled`: matrices of a tile's size that filling one takes beside.
 */
export function tilesAtWorkBytes({ grid, d, outputs, copies }: TiledSize, place: TilePlace, filled: number): number {
  const tile = largestTile(grid);
  const square = matrixBytes(tile, tile);
  const resident = place === 'device' ? 2 : 4;
  const made = tileCount(grid) > 1 ? (resident + filled) * square + square / 2 : square / 2;
  return made + copyBytes(copies, Math.max(tile, outputs), tile, Math.max(d, tile));
}
