import smallestPositiveSource from '../../../shaders/kernel-matrix/smallest_positive.wgsl';
import { RfmError } from '../../errors.js';
import { type Batch, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import { allocate, download, type Matrix, release } from '../../runtime/matrix.js';
import { exactDistances, pairDistances } from '../kernel-matrix/pair-distances.js';
import type { RadialKernel } from '../kernels/kernel.js';
import { type Columns, type Rows, tileCount, tileSize } from '../tiles.js';

/** ‖x_i − x_j‖² of two tiles of rows, or what the kernel takes in its place, as squared + low (see `pairDistances`). */
export interface DistanceTile {
  squared: Matrix;
  low: Matrix | null;
}

/** The kernel matrix of rows x (n × d), given by its squared distances: kept, or computed again whenever they are asked for. */
export interface KernelSystem {
  readonly x: Rows;
  readonly kernel: RadialKernel;
  /** Tiles (i, j), i ≥ j, at kept[i][j]; null where they are not kept. */
  readonly kept: DistanceTile[][] | null;
  /** Whether low parts hold all digits; see `needsExactDistances`. Default: false. */
  readonly exact?: boolean;
}

/** (K + ridge I) α = Y for the kernel matrix K (n × n) of the system; Y and α in transposed layout (outputs × n). */
export interface RidgeEquation {
  readonly system: KernelSystem;
  readonly ridge: number;
  readonly y: Columns;
}

/** Distances of tile i's rows to tile j's. One that is computed lives as long as the batch. */
function distancesOf(
  batch: Batch,
  { x, kernel, kept, exact }: KernelSystem,
  i: number,
  j: number,
  withLow: boolean,
): DistanceTile {
  if (kept) return kept[i][j];
  const [rows, cols] = [tileSize(x.grid, i), tileSize(x.grid, j)];
  const tile = { squared: batch.temporary(rows, cols), low: withLow ? batch.temporary(rows, cols) : null };
  const { squared, low } = tile;
  if (low && exact) exactDistances(batch, kernel, x.tiles[i], x.tiles[j], { high: squared, low });
  else pairDistances(batch, kernel, x.tiles[i], x.tiles[j], low ? { high: squared, low } : squared);
  return tile;
}

/**
 * Computes all tiles of the squared distances (n × n, lower half) and keeps them. Release them with `releaseDistances`.
 * @throws doesNotFit where the device cannot hold them; nothing stays allocated.
 */
export async function keepDistances(gpu: Gpu, system: Omit<KernelSystem, 'kept'>): Promise<KernelSystem> {
  const { x, kernel } = system;
  const kept: DistanceTile[][] = [];
  try {
    for (let i = 0; i < tileCount(x.grid); i++) {
      kept.push([]);
      for (let j = 0; j <= i; j++) {
        const [rows, cols] = [tileSize(x.grid, i), tileSize(x.grid, j)];
        const tile = { squared: allocate(gpu, rows, cols), low: allocate(gpu, rows, cols) };
        kept[i].push(tile);
        const out = { high: tile.squared, low: tile.low };
        await sendBatch(gpu, (batch) => pairDistances(batch, kernel, x.tiles[i], x.tiles[j], out));
      }
    }
    return { ...system, kept };
  } catch (error) {
    releaseDistances(gpu, { ...system, kept });
    throw error;
  }
}

/**
 * The same system by distances with all digits, those that are kept (n × n) computed anew in their place.
 * @throws internal error where their low parts were released.
 */
export async function withExactDistances(gpu: Gpu, system: KernelSystem): Promise<KernelSystem> {
  const { x, kernel, kept } = system;
  for (const [i, row] of kept?.entries() ?? []) {
    for (const [j, { squared, low }] of row.entries()) {
      if (!low) throw new RfmError('internal', 'distances without their low parts cannot be computed anew');
      await sendBatch(gpu, (batch) => exactDistances(batch, kernel, x.tiles[i], x.tiles[j], { high: squared, low }));
    }
  }
  return { ...system, exact: true };
}

/** The low parts, which only residuals need. */
export function releaseLow(gpu: Gpu, { kept }: KernelSystem): void {
  for (const tile of kept?.flat() ?? []) {
    if (tile.low) release(gpu, tile.low);
    tile.low = null;
  }
}

/** Safe to call twice; the system is not to be used any more. */
export function releaseDistances(gpu: Gpu, system: KernelSystem): void {
  releaseLow(gpu, system);
  for (const { squared } of system.kept?.splice(0).flat() ?? []) release(gpu, squared);
}

/** Calls `use` for every tile (i, j), i ≥ j, of the lower triangle, each in a batch of its own that is then submitted. */
export async function forEachDistanceTile(
  gpu: Gpu,
  system: KernelSystem,
  withLow: boolean,
  use: (batch: Batch, i: number, j: number, tile: DistanceTile) => void,
): Promise<void> {
  for (let i = 0; i < tileCount(system.x.grid); i++) {
    for (let j = 0; j <= i; j++) {
      await sendBatch(gpu, (batch) => use(batch, i, j, distancesOf(batch, system, i, j, withLow)));
    }
  }
}

const smallestPositive = defineKernel({
  name: 'smallest_positive',
  source: smallestPositiveSource,
  bindings: { a: read('array<f32>'), result: readWrite('array<atomic<u32>>') },
  params: { cols: 'u32', stride: 'u32', zero: 'zero' },
});

/** The smallest distance above 0 between two rows; infinite where all coincide. */
export async function nearestDistance(gpu: Gpu, system: KernelSystem): Promise<number> {
  const result = allocate(gpu, 1, 1);
  try {
    gpu.device.queue.writeBuffer(result.buffer, 0, new Uint32Array([INFINITE, 0, 0, 0]));
    await forEachDistanceTile(gpu, system, false, (batch, _i, _j, { squared }) =>
      batch.dispatch(smallestPositive, {
        bindings: { a: squared, result },
        params: { cols: squared.cols, stride: squared.stride },
        grid: [squared.rows],
      }),
    );
    return Math.sqrt((await download(gpu, result))[0]);
  } finally {
    release(gpu, result);
  }
}

/** The bits of an infinite float32. */
const INFINITE = 0x7f800000;

/** Squared distances of one tile, rows of panel i × rows of panel j; the batch goes on. */
export const squaredTile = (batch: Batch, system: KernelSystem, i: number, j: number): Matrix =>
  distancesOf(batch, system, i, j, false).squared;
