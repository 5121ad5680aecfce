import groupScatterSource from '../../shaders/group_scatter.wgsl';
import neuralCollapseSource from '../../shaders/neural_collapse.wgsl';
import type { Batch, Kernel } from '../runtime/batch.js';
import { block, type Matrix } from '../runtime/matrix.js';
import { copyScaled, subtractRow } from './elementwise.js';
import { syrk } from './gemm.js';
import { meanOfRows } from './row-statistics.js';
import { groupMeans, normalizeRows, startsBuffer } from './statistics.js';
import { gatherRows, type Rows } from './tiles.js';

const scatterKernel: Kernel = { name: 'group_scatter', source: groupScatterSource };
const collapseKernel: Kernel = { name: 'neural_collapse', source: neuralCollapseSource };

/**
 * The traces behind NC1, and NC2, of rows in class order (Papyan, Han, Donoho, PNAS 2020).
 * starts: first row of each class, and the number of rows at the end; no class is empty.
 * results (1 × 3) = (tr Σ_W, tr Σ_B, NC2); NC1 is the quotient of the first two.
 */
export function collapseTraces(batch: Batch, x: Rows, starts: readonly number[], results: Matrix): void {
  const classes = starts.length - 1;
  const { grid, tiles } = x;
  const means = batch.temporary(classes, tiles[0].cols);
  const scatter = batch.temporary(1, grid.n);
  classMeans(batch, x, starts, means);
  tiles.forEach((tile, i) => {
    const [first, end] = [grid.starts[i], grid.starts[i + 1]];
    const local = starts.map((start) => Math.min(Math.max(start, first), end) - first);
    const part = batch.temporary(1, tile.rows);
    batch.dispatch(scatterKernel, [tile, startsBuffer(batch, local), means, part], [classes, tile.stride], [tile.rows]);
    copyScaled(batch, part, block(scatter, 0, first, 1, tile.rows));
  });
  const mean = batch.temporary(1, means.cols);
  groupMeans(batch, means, [0, classes], mean);
  const centered = batch.temporary(classes, means.cols);
  subtractRow(batch, means, mean, centered);
  const gram = batch.temporary(classes, classes);
  syrk(batch, { a: centered, b: centered, out: gram });
  batch.dispatch(collapseKernel, [scatter, gram, results], [grid.n, classes, gram.stride], [1]);
}

/** means (classes × d): the mean of rows starts[c] … starts[c + 1] − 1. */
function classMeans(batch: Batch, x: Rows, starts: readonly number[], means: Matrix): void {
  if (x.tiles.length === 1) {
    groupMeans(batch, x.tiles[0], starts, means);
    return;
  }
  for (let c = 0; c + 1 < starts.length; c++) {
    meanOfRows(batch, x, starts[c], starts[c + 1], block(means, c, 0, 1, means.cols));
  }
}

/** Cosine similarities (ids.length square) of the rows `ids` of X after the mean of all rows was subtracted. */
export function gramPicture(batch: Batch, x: Rows, ids: readonly number[], out: Matrix): void {
  const { cols } = x.tiles[0];
  const mean = batch.temporary(1, cols);
  meanOfRows(batch, x, 0, x.grid.n, mean);
  const [rows, centered] = [batch.temporary(ids.length, cols), batch.temporary(ids.length, cols)];
  gatherRows(batch, x, ids, rows);
  subtractRow(batch, rows, mean, centered);
  normalizeRows(batch, centered, rows, batch.temporary(1, ids.length));
  syrk(batch, { a: rows, b: rows, out });
}
