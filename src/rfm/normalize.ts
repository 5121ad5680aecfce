import { inputError, type RfmError } from '../errors.js';
import { normalizeRows } from '../ops/statistics/statistics.js';
import { allocateRows, type Rows, releasePanels } from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, release } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';

/** Rows divided by their lengths, and the numbers of those that are zero, and stay it. */
export interface UnitRowsOf {
  rows: Rows;
  zero: number[];
}

/**
 * Rows of a layer's input divided by their lengths, in place of the rows themselves, which are released.
 * @throws input error for rows that are not finite.
 */
export const normalized = (outer: Gpu, raw: Rows, layer: number): Promise<UnitRowsOf> =>
  owning(outer, async (gpu, keep) => {
    const rows = keep(allocateRows(gpu, raw.grid, raw.tiles[0].cols));
    const { zero, notFinite } = await normalize(gpu, raw, rows);
    if (notFinite.length > 0) throw notFiniteRows(notFinite.length, raw.grid.n, layer);
    releasePanels(gpu, raw);
    return { rows, zero };
  });

async function normalize(gpu: Gpu, raw: Rows, x: Rows): Promise<{ zero: number[]; notFinite: number[] }> {
  const [zero, notFinite]: [number[], number[]] = [[], []];
  for (const [i, tile] of raw.tiles.entries()) {
    const lengths = allocate(gpu, 1, tile.rows);
    await sendBatch(gpu, (batch) => normalizeRows(batch, tile, x.tiles[i], lengths));
    (await download(gpu, lengths)).forEach((length, r) => {
      if (!Number.isFinite(length)) notFinite.push(raw.grid.starts[i] + r);
      else if (length === 0) zero.push(raw.grid.starts[i] + r);
    });
    release(gpu, lengths);
  }
  return { zero, notFinite };
}

const notFiniteRows = (found: number, rows: number, layer: number): RfmError =>
  inputError(
    `layer ${layer}: ${found} of ${rows} rows have features that are not finite, or too large for their length to be; check the data for very large values`,
  );

/** @param afterMetric whether a given metric took what there was of the row, from 0. */
export const zeroRow = (row: number, afterMetric: boolean): RfmError =>
  afterMetric
    ? inputError(
        `training row ${row} (from 0) is zero after the given metric, so it has no direction; remove it, or give a metric that has something in its direction`,
      )
    : inputError(
        `training row ${row} (from 0) is zero after standardisation, so it has no direction; remove it, or check that the rows differ`,
      );
