import groupScatterSource from '../../../shaders/statistics/group_scatter.wgsl';
import neuralCollapseSource from '../../../shaders/statistics/neural_collapse.wgsl';
import { RfmError } from '../../errors.js';
import type { Batch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import { allocate, block, download, type Matrix, matrixBytes } from '../../runtime/matrix.js';
import { rowGroup } from '../../runtime/variants.js';
import { copyScaled, subtractRow } from '../elementwise/elementwise.js';
import { syrk } from '../gemm/gemm.js';
import { gatherRows, type Rows } from '../tiles.js';
import { magnitudes, recordMagnitude } from './magnitude.js';
import { meanOfRows } from './row-statistics.js';
import { groupMeans, normalizeRows, startsBuffer } from './statistics.js';

const scatterKernel = defineKernel({
  name: 'group_scatter',
  source: groupScatterSource,
  bindings: {
    a: read('array<vec4f>'),
    starts: read('array<u32>'),
    means: read('array<vec4f>'),
    scale: read('array<u32>'),
    scatter: readWrite('array<f32>'),
  },
  params: { classes: 'u32', stride: 'u32', zero: 'zero' },
  constants: { SIZE: 'u32' },
});

const collapseKernel = defineKernel({
  name: 'neural_collapse',
  source: neuralCollapseSource,
  bindings: {
    scatter: read('array<f32>'),
    gram: read('array<f32>'),
    mean: read('array<vec4f>'),
    largest: read('array<u32>'),
    results: readWrite('array<u32>'),
  },
  // The stride of `gram`, and the vec4 in `mean`.
  params: { rows: 'u32', groups: 'u32', stride: 'u32', width: 'u32', zero: 'zero' },
});

/** Room for the eight numbers that `collapseTraces` writes, for `readCollapse`. Release it. */
export const allocateCollapse = (gpu: Gpu): Matrix => allocate(gpu, 1, 8);

/**
 * Records what NC1 and NC2 of rows in class order are made of (Papyan, Han, Donoho, PNAS 2020), for `readCollapse`.
 * starts: first row of each class, and the number of rows at the end; no class is empty. Rows are taken over a power of
 * two near their largest entry: no square overflows or vanishes, whatever their size.
 */
export function collapseTraces(batch: Batch, x: Rows, starts: readonly number[], results: Matrix): void {
  const classes = starts.length - 1;
  const { grid, tiles } = x;
  const largest = magnitudes(batch, 1);
  for (const tile of tiles) recordMagnitude(batch, tile, largest);
  const means = batch.temporary(classes, tiles[0].cols);
  const scatter = batch.temporary(1, grid.n);
  classMeans(batch, x, starts, means, largest);
  tiles.forEach((tile, i) => {
    const [first, end] = [grid.starts[i], grid.starts[i + 1]];
    const local = starts.map((start) => Math.min(Math.max(start, first), end) - first);
    const part = batch.temporary(1, tile.rows);
    batch.dispatch(scatterKernel, {
      bindings: { a: tile, starts: startsBuffer(batch, local), means, scale: largest, scatter: part },
      params: { classes, stride: tile.stride },
      constants: { SIZE: rowGroup(batch.gpu) },
      grid: [tile.rows],
    });
    copyScaled(batch, part, block(scatter, 0, first, 1, tile.rows));
  });
  const mean = batch.temporary(1, means.cols);
  groupMeans(batch, means, [0, classes], mean);
  const centered = batch.temporary(classes, means.cols);
  subtractRow(batch, means, mean, centered);
  const gram = batch.temporary(classes, classes);
  syrk(batch, { a: centered, b: centered, out: gram });
  batch.dispatch(collapseKernel, {
    bindings: { scatter, gram, mean, largest, results },
    params: { rows: grid.n, groups: classes, stride: gram.stride, width: mean.stride / 4 },
    grid: [1],
  });
}

/**
 * Bytes of what `collapseTraces` holds that grows with classes × columns, for rows in so many tiles: means twice, their
 * products, and rows for the sums by tile. Copies that products make come on top.
 */
export const collapseBytes = (classes: number, cols: number, tiles: number): number =>
  2 * matrixBytes(classes, cols) +
  matrixBytes(classes, classes) +
  (tiles > 1 ? classes * (3 * tiles + 2) * matrixBytes(1, cols) : 0);

/** NC1 and NC2, NaN where they are not defined, and the traces they come from, over the square of one scale. */
export interface Collapse {
  nc1: number;
  nc2: number;
  /** tr Σ_W. */
  within: number;
  /** tr Σ_B; 0 where it is rounding. */
  between: number;
}

/**
 * Distances between class means below this share of the rows' root mean square length are rounding, of the rows as
 * float32 holds them and of the means: 2⁻²⁰, sixteen roundings. Means of the same rows in another order differed by at most
 * 0.9 of one, for up to 2,000 rows in 32 tiles. In collapsed layers class means are 1e-2 of a length apart.
 */
const COINCIDENT = 2 ** -20;

/**
 * Reads what `collapseTraces` wrote. Where the class means coincide, tr Σ_B is rounding and NC1 = tr Σ_W / tr Σ_B is not
 * defined; where one of them coincides with the mean of all, it has no direction and NC2 is not defined.
 * @throws internal error where the rows hold numbers that are not finite.
 */
export async function readCollapse(gpu: Gpu, results: Matrix): Promise<Collapse> {
  const [within, trace, nc2, nearest, meanSquare, largest] = await download(gpu, results);
  if (!Number.isFinite(largest)) {
    throw new RfmError('internal', 'NC1 and NC2: the rows hold numbers that are not finite');
  }
  const level = COINCIDENT ** 2 * (within + trace + meanSquare);
  const between = trace > level ? trace : 0;
  return {
    nc1: between > 0 ? within / between : Number.NaN,
    nc2: nearest > level ? nc2 : Number.NaN,
    within,
    between,
  };
}

/** means (classes × d): the mean of rows starts[c] … starts[c + 1] − 1, over the scale of `largest`. */
function classMeans(batch: Batch, x: Rows, starts: readonly number[], means: Matrix, largest: Matrix): void {
  if (x.tiles.length === 1) {
    groupMeans(batch, x.tiles[0], starts, means, largest);
    return;
  }
  for (let c = 0; c + 1 < starts.length; c++) {
    meanOfRows(batch, x, [starts[c], starts[c + 1]], block(means, c, 0, 1, means.cols), largest);
  }
}

/** Cosine similarities (ids.length square) of the rows `ids` of X after the mean of all rows was subtracted. */
export function gramPicture(batch: Batch, x: Rows, ids: readonly number[], out: Matrix): void {
  const { cols } = x.tiles[0];
  const mean = batch.temporary(1, cols);
  meanOfRows(batch, x, [0, x.grid.n], mean);
  const [rows, centered] = [batch.temporary(ids.length, cols), batch.temporary(ids.length, cols)];
  gatherRows(batch, x, ids, rows);
  subtractRow(batch, rows, mean, centered);
  normalizeRows(batch, centered, rows, batch.temporary(1, ids.length));
  syrk(batch, { a: rows, b: rows, out });
}
