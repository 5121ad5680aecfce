import type { Batch } from '../runtime/batch.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release, upload } from '../runtime/matrix.js';
import { addScaled, copyScaled } from './elementwise.js';
import { columnStatistics, groupMeans } from './statistics.js';
import { type Rows, tileSize } from './tiles.js';

/** mean (1 × d) of rows first … end − 1; exactly a row where all are equal. `largest` as for `groupMeans`. */
export function meanOfRows(
  batch: Batch,
  { grid, tiles }: Rows,
  first: number,
  end: number,
  mean: Matrix,
  largest: Matrix | null = null,
): void {
  let sofar: Matrix | null = null;
  tiles.forEach((tile, i) => {
    const from = Math.max(first, grid.starts[i]);
    const to = Math.min(end, grid.starts[i + 1]);
    if (from >= to) return;
    const part = batch.temporary(1, tile.cols);
    groupMeans(batch, tile, [from - grid.starts[i], to - grid.starts[i]], part, largest);
    if (!sofar) {
      sofar = part;
      return;
    }
    // Moved by a share of what differs: shares of the means themselves, each rounded, would not add up to one.
    const difference = batch.temporary(1, tile.cols);
    addScaled(batch, part, sofar, difference, -1);
    const next = batch.temporary(1, tile.cols);
    addScaled(batch, sofar, difference, next, (to - from) / (to - first));
    sofar = next;
  });
  if (sofar) copyScaled(batch, sofar, mean);
}

/**
 * Mean and standard deviation (n − 1) of each column of rows (n × d), as a 2 × d matrix; a constant column's deviation is
 * exactly 0. Tiles are combined in float64 on the host (Chan, Golub, LeVeque 1979). Release it.
 */
export async function rowStatistics(gpu: Gpu, x: Rows): Promise<Matrix> {
  const { grid, tiles } = x;
  const { cols } = tiles[0];
  const total = { count: 0, mean: new Float64Array(cols), squares: new Float64Array(cols) };
  const statistics = allocate(gpu, 2, cols);
  try {
    for (const [i, tile] of tiles.entries()) {
      await sendBatch(gpu, (batch) => columnStatistics(batch, tile, statistics));
      if (tiles.length === 1) return statistics;
      const found = await download(gpu, statistics);
      const size = tileSize(grid, i);
      const count = total.count + size;
      for (let j = 0; j < cols; j++) {
        const delta = found[j] - total.mean[j];
        // One row has no deviation.
        const own = size > 1 ? (size - 1) * found[cols + j] ** 2 : 0;
        total.mean[j] += (delta * size) / count;
        total.squares[j] += own + (delta * delta * total.count * size) / count;
      }
      total.count = count;
    }
  } catch (error) {
    release(gpu, statistics);
    throw error;
  }
  release(gpu, statistics);
  const deviation = total.squares.map((square) => Math.sqrt(square / (total.count - 1)));
  return upload(gpu, 2, cols, [...total.mean, ...deviation]);
}
