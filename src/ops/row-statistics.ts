import type { Batch } from '../runtime/batch.js';
import type { Matrix } from '../runtime/matrix.js';
import { addScaled, copyScaled } from './elementwise.js';
import { groupMeans } from './statistics.js';
import type { Rows } from './tiles.js';

/** mean (1 × d) of rows first … end − 1. */
export function meanOfRows(batch: Batch, { grid, tiles }: Rows, first: number, end: number, mean: Matrix): void {
  let sum: Matrix | null = null;
  tiles.forEach((tile, i) => {
    const from = Math.max(first, grid.starts[i]);
    const to = Math.min(end, grid.starts[i + 1]);
    if (from >= to) return;
    const part = batch.temporary(1, tile.cols);
    groupMeans(batch, tile, [from - grid.starts[i], to - grid.starts[i]], part);
    const share = (to - from) / (end - first);
    const next = batch.temporary(1, tile.cols);
    if (sum) addScaled(batch, sum, part, next, share);
    else copyScaled(batch, part, next, share);
    sum = next;
  });
  if (sum) copyScaled(batch, sum, mean);
}
