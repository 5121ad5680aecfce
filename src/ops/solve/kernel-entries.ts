import { sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, downloadAll, type Matrix, matrixBytes, release, upload } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { copyBytes } from '../gemm/factor-copies.js';
import { gemm } from '../gemm/gemm.js';
import { kernelFromDistances } from '../kernel-matrix/kernel-matrix.js';
import { largestTile, type TiledSize } from '../tiled-size.js';
import { asPanel, gatherRows, tileCount, tileSize } from '../tiles.js';
import { forEachDistanceTile, type KernelSystem } from './kernel-system.js';
import { evenlySpaced } from './nystrom.js';

/** Mean kernel entries of different rows. */
export interface KernelEntries {
  /** NaN where there are no such pairs. */
  within: number;
  between: number;
  /** Rows whose pairs they are the mean of. */
  rows: number;
}

/** Rows whose pairs are averaged where distances are not kept: 16 MiB of them, and a standard error far below a digit. */
const SAMPLED_ROWS = 2048;

/**
 * Mean kernel entries of different rows within classes and between them: of all rows where their distances are kept, else of evenly
 * spaced ones, 2,048 at most.
 * @param labels 0 … classes − 1, one a row.
 */
export const kernelEntries = (
  outer: Gpu,
  given: KernelSystem,
  labels: Int32Array,
  classes: number,
): Promise<KernelEntries> =>
  owning(outer, async (gpu) => {
    const { grid, tiles } = given.x;
    if (given.kept) return entriesOf(gpu, given, labels, classes);
    const ids = evenlySpaced(grid.n, Math.min(grid.n, SAMPLED_ROWS, tileSize(grid, 0)));
    const rows = allocate(gpu, ids.length, tiles[0].cols);
    await sendBatch(gpu, (batch) => gatherRows(batch, given.x, ids, rows));
    const own = Int32Array.from(ids, (id) => labels[id]);
    return entriesOf(gpu, { ...given, x: asPanel(rows, rows.rows) }, own, classes);
  });

/** From sums of the columns of each class, a product as small as a residual's. */
async function entriesOf(gpu: Gpu, system: KernelSystem, labels: Int32Array, classes: number): Promise<KernelEntries> {
  const { grid } = system.x;
  const { n, starts } = grid;
  const indicators = starts.slice(1).map((_, t) => {
    const size = tileSize(grid, t);
    const values = new Float32Array(classes * size);
    for (let i = 0; i < size; i++) values[labels[starts[t] + i] * size + i] = 1;
    return upload(gpu, classes, size, values);
  });
  let [all, own] = [0, 0];
  const sums: { i: number; j: number; out: Matrix }[] = [];
  await forEachDistanceTile(gpu, system, false, (batch, i, j, { squared }) => {
    const k = batch.temporary(squared.rows, squared.cols);
    const out = allocate(gpu, classes, squared.rows);
    kernelFromDistances(batch, squared, k, system.kernel);
    gemm(batch, { a: indicators[j], b: k, out });
    sums.push({ i, j, out });
  });
  const found = await downloadAll(
    gpu,
    sums.map(({ out }) => out),
  );
  for (const [s, { i, j }] of sums.entries()) {
    const size = tileSize(grid, i);
    // The tile above the diagonal is the same, transposed.
    const weight = i === j ? 1 : 2;
    for (let c = 0; c < classes; c++) {
      for (let r = 0; r < size; r++) {
        const value = weight * found[s][c * size + r];
        all += value;
        if (labels[starts[i] + r] === c) own += value;
      }
    }
  }
  release(gpu, ...indicators, ...sums.map(({ out }) => out));
  const sizes = new Float64Array(classes);
  for (const label of labels) sizes[label]++;
  const pairs = sizes.reduce((sum, size) => sum + size * size, 0);
  // The diagonal is 1 and left out.
  return {
    within: pairs > n ? (own - n) / (pairs - n) : Number.NaN,
    between: n * n > pairs ? (all - own) / (n * n - pairs) : Number.NaN,
    rows: n,
  };
}

/** Bytes that the mean entries take beside what a fit leaves: kernel values of a tile, sums over classes, sampled rows. */
export function kernelEntriesBytes({ grid, d, outputs, copies }: TiledSize, keepDistances: boolean): number {
  const tile = largestTile(grid);
  const tiles = tileCount(grid);
  // As many kinds of targets as outputs, and those of no class.
  const classes = outputs + 1;
  const sampled = Math.min(tile, SAMPLED_ROWS);
  const square = keepDistances ? matrixBytes(tile, tile) : 2 * matrixBytes(sampled, sampled) + matrixBytes(sampled, d);
  const panels = keepDistances ? tiles + (tiles * (tiles + 1)) / 2 : 2;
  return (
    square + panels * matrixBytes(classes, tile) + copyBytes(copies, Math.max(classes, tile), tile, Math.max(tile, d))
  );
}
