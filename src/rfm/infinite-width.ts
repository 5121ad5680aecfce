/**
 * Deep RFM with infinitely many ReLU features: they are replaced by their expectation, so that a layer needs inner products of
 * rows alone, and has no weights. What layers hand on is δ = 1 − cosine of every training row with every row: half the squared
 * distance of rows of length 1, small between rows of a class, and with all its digits there.
 *
 * With the AGOP M = (1/n) Xᵀ Q X (see agop-gram.ts) the rows M^{1/2}x have the inner products B = (1/n) U Q U, U = X Xᵀ. Rows of
 * Q sum to zero and U = 1 − δ, so that B = (1/n) δ Q δ: the AGOP in Gram space of the rows of δ.
 */

import { inputError, RfmError, say, the } from '../errors.js';
import { copyScaled } from '../ops/elementwise/elementwise.js';
import { arcCosine } from '../ops/features/arc-cosine.js';
import { gemmNN, squaredDistances } from '../ops/gemm/gemm.js';
import { transposeHost } from '../ops/host-rows.js';
import { kernelFromDistances } from '../ops/kernel-matrix/kernel-matrix.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import type { KernelSystem } from '../ops/solve/kernel-system.js';
import { solveRidge } from '../ops/solve/solve.js';
import { collapseOfDistances } from '../ops/statistics/collapse-distances.js';
import { asPanel } from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, downloadAll, type Matrix, type Pair, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { agopOf } from './agop.js';
import type { LayerContext } from './context.js';
import { accuracy, type FittedKernel } from './fit.js';
import { kernelLearning } from './kernel-learning.js';
import type { FeatureRows, StartRows } from './rows.js';
import type { GramPicture, LayerMetrics } from './types.js';

/** δ of the rows that a run starts from, of length 1: training rows × (training rows, then test rows). */
export const startCosines = (outer: Gpu, { train, test }: StartRows): Promise<FeatureRows> =>
  owning(outer, async (gpu) => {
    const [n, all] = [train.rows, train.rows + (test?.rows ?? 0)];
    refuseZeroRows(train, 'training');
    if (test) refuseZeroRows(test, 'test');
    const x = new Float32Array(all * train.cols);
    x.set(train.x);
    if (test) x.set(test.x, train.x.length);
    const [rows, trained] = [upload(gpu, all, train.cols, x), upload(gpu, n, train.cols, train.x)];
    const [squared, out] = [allocate(gpu, n, all), allocate(gpu, n, all)];
    await sendBatch(gpu, (batch) => {
      squaredDistances(batch, trained, rows, squared);
      copyScaled(batch, squared, out, 0.5);
    });
    return { x: await download(gpu, out), rows: n, cols: all };
  });

/** @throws input error: rows that are zero have no cosines. */
function refuseZeroRows({ x, rows, cols }: FeatureRows, part: string): void {
  for (let i = 0; i < rows; i++) {
    if (x.subarray(i * cols, (i + 1) * cols).some((value) => value !== 0)) continue;
    throw inputError(
      say`${part} row ${i} (from 0) is zero after standardisation, so it has no cosines with others; remove it, or give ${the.width} as a number`,
    );
  }
}

/** What is the same in all layers. */
export interface InfiniteTask {
  kernel: RadialKernel;
  ridge: number;
  /** First row of each class that has rows, then n. */
  starts: readonly number[];
  /** Of the training rows, in class order, and of the test rows. */
  labels: Int32Array;
  testLabels: Int32Array | null;
  classes: number;
  /** Y transposed, classes × n, of which one is worth `targetUnit`. */
  y: Float32Array;
  targetUnit: number;
}

/** What a layer leaves. */
export interface InfiniteLayer {
  delta: FeatureRows;
  metrics: LayerMetrics;
  gram: GramPicture | null;
  predictions: Float32Array | null;
}

/**
 * One layer from δ. `picture`: rows of the Gram picture; null for none.
 * @throws doesNotFit where n × n numbers are more than one tile.
 */
export const infiniteLayer = (
  context: LayerContext,
  task: InfiniteTask,
  { delta, layer, picture }: { delta: FeatureRows; layer: number; picture: readonly number[] | null },
): Promise<InfiniteLayer> =>
  owning(context.gpu, async (gpu) => {
    const { clock } = context;
    const own = { ...context, gpu };
    const { starts, labels, testLabels } = task;
    const { rows: n, cols: all } = delta;
    const x = upload(gpu, n, all, delta.x);
    const fitted = await fitCosines(own, task, x, n);
    const predicted = await clock.phase('kernel', () => predictTest(gpu, task, fitted, delta));
    const kernel = await kernelLearning(own, fitted, task.targetUnit);
    const input = await clock.phase('metrics', () => collapseOfDistances(gpu, distancesOf(fitted), starts));
    const { matrix, report } = await agopOf(own, fitted, { starts, agop: 'gram', accurate: true });
    const [features, next] = [allocate(gpu, n, n), allocate(gpu, n, all)];
    const turned = allocate(gpu, n, n);
    await clock.phase('features', () =>
      sendBatch(gpu, (batch) => {
        arcCosine(batch, matrix, turned, 'rows');
        arcCosine(batch, matrix, features, 'features');
        arcCosine(batch, matrix, next, 'directions');
      }),
    );
    const stages = await clock.phase('metrics', async () => ({
      agop: await collapseOfDistances(gpu, turned, starts),
      features: await collapseOfDistances(gpu, features, starts),
      gram: picture && (await pictureOf(gpu, matrix, layer, picture, task)),
    }));
    const x2 = await download(gpu, next);
    const metrics: LayerMetrics = {
      layer,
      nc1: { input: input.nc1, agop: stages.agop.nc1, features: stages.features.nc1 },
      nc2: { input: input.nc2, agop: stages.agop.nc2, features: stages.features.nc2 },
      trainAccuracy: accuracy(fitted.trainScores, labels),
      testAccuracy: predicted && testLabels ? accuracy(predicted, testLabels) : null,
      deadRows: { train: 0, test: 0 },
      solve: fitted.solve,
      kernel,
      // M itself is never formed.
      agop: { ...report, topEigenvalues: [], rank: null },
      seconds: await clock.times(),
    };
    const predictions =
      predicted && transposeHost(predicted, task.classes, all - n).map((score) => score * task.targetUnit);
    return { delta: { x: x2, rows: n, cols: all }, metrics, gram: stages.gram, predictions };
  });

/** Squared distances of the training rows, kept in one tile. */
const distancesOf = ({ system: { kept } }: Pick<FittedKernel, 'system'>): Matrix => {
  const tile = kept?.[0]?.[0];
  if (!tile) throw new RfmError('internal', 'the distances of an infinitely wide layer are kept');
  return tile.squared;
};

/** Kernel ridge regression on rows of which the cosines are known. */
async function fitCosines(
  { gpu, plan, clock }: LayerContext,
  { kernel, ridge, y, classes }: InfiniteTask,
  delta: Matrix,
  n: number,
): Promise<FittedKernel> {
  if (plan.grid.starts.length > 2 || plan.solve.method !== 'cholesky') {
    throw new RfmError(
      'doesNotFit',
      say`${the.width} inf: the cosines of ${n} rows are more than one tile of ${plan.tileBytes} bytes, or than memory holds`,
      say`use a smaller ${the.n}, or a larger ${the.memoryLimit}`,
    );
  }
  const [squared, low] = [allocate(gpu, n, n), allocate(gpu, n, n)];
  await clock.phase('kernel', () =>
    sendBatch(gpu, (batch) => {
      // The training rows are the first columns.
      const own = { ...delta, cols: n, padding: squared.padding };
      copyScaled(batch, own, squared, 2);
      copyScaled(batch, own, low, 0);
    }),
  );
  const system: KernelSystem = { x: asPanel(delta, n), kernel, kept: [[{ squared, low }]] };
  const column = () => asColumns(allocate(gpu, classes, n));
  const [alpha, rest, r] = [column(), column(), column()];
  const targets = asColumns(upload(gpu, classes, n, y));
  const solve = await clock.phase('solve', () =>
    solveRidge(gpu, { system, ridge, y: targets }, { high: alpha, low: rest }, r, plan.solve),
  );
  const [high, lows, residuals] = await downloadAll(gpu, [alpha.tiles[0], rest.tiles[0], r.tiles[0]]);
  const coefficients = Float64Array.from(high, (value, e) => value + lows[e]);
  const applied = ridge + (solve.addedRidge ?? 0);
  return {
    ...{ system, alpha, coefficients, solve, targets: y, ridge: applied },
    trainScores: y.map((target, e) => target - applied * coefficients[e] - residuals[e]),
    inner: coefficients.reduce((sum, value, e) => sum + (y[e] + residuals[e]) * value, 0),
  };
}

const asColumns = (matrix: Matrix) => ({ grid: { n: matrix.cols, starts: [0, matrix.cols] }, tiles: [matrix] });

/** f at the test rows, classes × test rows; null without. */
const predictTest = (
  outer: Gpu,
  { kernel, classes }: InfiniteTask,
  { alpha }: FittedKernel,
  { x, rows: n, cols: all }: FeatureRows,
): Promise<Float32Array | null> =>
  owning(outer, async (gpu) => {
    const count = all - n;
    if (count === 0) return null;
    const squares = new Float32Array(n * count);
    for (let i = 0; i < n; i++) for (let t = 0; t < count; t++) squares[i * count + t] = 2 * x[i * all + n + t];
    const squared = upload(gpu, n, count, squares);
    const [k, high, low] = [allocate(gpu, n, count), allocate(gpu, classes, count), allocate(gpu, classes, count)];
    await sendBatch(gpu, (batch) => {
      kernelFromDistances(batch, squared, k, kernel);
      gemmNN(batch, { a: alpha.tiles[0], b: k, out: { high, low } });
    });
    return download(gpu, high);
  });

/** Cosines of the rows `ids` after the mean of all training rows was subtracted, from their inner products. */
async function pictureOf(
  gpu: Gpu,
  { high }: Pair,
  layer: number,
  ids: readonly number[],
  { labels, classes }: InfiniteTask,
): Promise<GramPicture> {
  const n = labels.length;
  const b = await download(gpu, high);
  const { cols } = high;
  const means = new Float64Array(n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) means[i] += b[i * cols + j] / n;
  const mean = means.reduce((sum, value) => sum + value, 0) / n;
  const centred = (i: number, j: number): number => b[i * cols + j] - means[i] - means[j] + mean;
  const lengths = ids.map((i) => Math.sqrt(Math.max(centred(i, i), 0)));
  const values = new Float32Array(ids.length ** 2);
  ids.forEach((i, r) => {
    ids.forEach((j, c) => {
      const scale = lengths[r] * lengths[c];
      values[r * ids.length + c] = scale > 0 ? centred(i, j) / scale : 0;
    });
  });
  const classCounts = new Array<number>(classes).fill(0);
  for (const id of ids) classCounts[labels[id]]++;
  return { layer, size: ids.length, classCounts, values };
}
