import groupScatterSource from '../../shaders/group_scatter.wgsl';
import neuralCollapseSource from '../../shaders/neural_collapse.wgsl';
import type { Batch, Kernel } from '../runtime/batch.js';
import type { Matrix } from '../runtime/matrix.js';
import { subtractRow } from './elementwise.js';
import { syrk } from './gemm.js';
import { groupMeans, normalizeRows, startsBuffer } from './statistics.js';

const scatterKernel: Kernel = { name: 'group_scatter', source: groupScatterSource };
const collapseKernel: Kernel = { name: 'neural_collapse', source: neuralCollapseSource };

/**
 * The traces behind NC1, and NC2, of rows in class order (Papyan, Han, Donoho, PNAS 2020).
 * starts: first row of each class, and the number of rows at the end; no class is empty.
 * results (1 × 3) = (tr Σ_W, tr Σ_B, NC2); NC1 is the quotient of the first two.
 */
export function collapseTraces(batch: Batch, x: Matrix, starts: readonly number[], results: Matrix): void {
  const classes = starts.length - 1;
  const means = batch.temporary(classes, x.cols);
  const scatter = batch.temporary(1, x.rows);
  groupMeans(batch, x, starts, means);
  batch.dispatch(scatterKernel, [x, startsBuffer(batch, starts), means, scatter], [classes, x.stride], [x.rows]);
  batch.dispatch(collapseKernel, [scatter, means, results], [x.rows, classes, x.cols, means.stride], [1]);
}

/** Cosine similarities (n × n) of the rows of X after the mean row was subtracted. */
export function gramPicture(batch: Batch, x: Matrix, out: Matrix): void {
  const mean = batch.temporary(1, x.cols);
  groupMeans(batch, x, [0, x.rows], mean);
  const centered = batch.temporary(x.rows, x.cols);
  subtractRow(batch, x, mean, centered);
  const unit = batch.temporary(x.rows, x.cols);
  normalizeRows(batch, centered, unit, batch.temporary(1, x.rows));
  syrk(batch, { a: unit, b: unit, out });
}
