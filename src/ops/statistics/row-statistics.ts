import type { Batch } from '../../runtime/batch.js';
import type { Matrix, View } from '../../runtime/matrix.js';
import { addScaled, copyScaled } from '../elementwise/elementwise.js';
import type { Rows } from '../tiles.js';
import { groupMeans } from './statistics.js';

/** mean (1 × d) of rows first … end − 1; exactly a row where all are equal. `largest` as for `groupMeans`. */
export function meanOfRows(
  batch: Batch,
  { grid, tiles }: Rows,
  [first, end]: readonly [first: number, end: number],
  mean: View,
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
