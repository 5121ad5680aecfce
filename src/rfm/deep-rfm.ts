import { inputError, type RfmError } from '../errors.js';
import { gradientBytes } from '../ops/agop.js';
import { gramPicture } from '../ops/collapse.js';
import { standardize } from '../ops/elementwise.js';
import { featureMap } from '../ops/features.js';
import { kernelMatrix } from '../ops/kernel-matrix.js';
import { columnStatistics, normalizeRows } from '../ops/statistics.js';
import { runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release, strideOf, upload } from '../runtime/matrix.js';
import { pooledSize } from '../runtime/pool.js';
import { enter } from '../runtime/timing.js';
import { normalizeOrRefuse } from './layer.js';
import { classOrder, permuteRows } from './rows.js';
import {
  accuracy,
  agopOf,
  agopRoot,
  type Clock,
  createClock,
  fitKernel,
  type Phase,
  predict,
  projectRows,
  stageMetrics,
} from './step.js';
import type { DeepRfmConfig, GramPicture, LayerMetrics } from './types.js';

/** Rows of numbers and their classes 0 … C − 1; x is rows × cols, row-major. */
export interface LabelledRows {
  x: Float32Array;
  labels: Int32Array;
  rows: number;
  cols: number;
}

export interface DeepRfmData {
  train: LabelledRows;
  test: LabelledRows | null;
  /** Number of outputs; classes without rows keep theirs. */
  classes: number;
}

/** Rows of a layer's output, row-major. */
export interface FeatureRows {
  x: Float32Array;
  rows: number;
  cols: number;
}

/** All that the layers so far leave to the next: their metrics, and the rows it starts from. */
export interface DeepRfmState {
  layers: LayerMetrics[];
  /** Training rows in class order. */
  train: FeatureRows;
  test: FeatureRows | null;
}

export interface DeepRfmProgress {
  onPhase?(layer: number, phase: Phase): void;
  onLayer?(metrics: LayerMetrics): void;
  /**
   * Receives after every layer what `resume` takes, and the layer's Gram picture where it has one. The rows are read
   * back from the device only if this is given.
   */
  save?(state: DeepRfmState, gram: GramPicture | null): void | Promise<void>;
  /** Checked at every phase. */
  signal?: AbortSignal;
}

export interface DeepRfmResult {
  layers: LayerMetrics[];
  /** Of the layers computed by this call. */
  grams: GramPicture[];
  /** Training rows per class, in class order. */
  classCounts: number[];
}

/**
 * Deep Recursive Feature Machine (Beaglehole, Súkeník, Mondelli, Belkin, NeurIPS 2024): training rows
 * are sorted by class and standardised, then `depth` layers of kernel ridge regression, AGOP, M^{1/2}
 * and random features; test rows go through the same maps. With `resume` it goes on after the layers in it, which must
 * come from the same data and configuration; on the same device the metrics are those of a run in one piece.
 * Errors: 'input' for a row that is constant zero or a single class, 'doesNotFit' for too large n.
 */
export async function deepRfm(
  gpu: Gpu,
  data: DeepRfmData,
  config: DeepRfmConfig,
  progress: DeepRfmProgress = {},
  resume: DeepRfmState | null = null,
): Promise<DeepRfmResult> {
  const { train, test } = data;
  const { order, starts, counts } = classOrder(train.labels);
  const labels = Int32Array.from(order, (i) => train.labels[i]);
  const owned = new Set<Matrix>();
  const own = (matrix: Matrix): Matrix => {
    owned.add(matrix);
    return matrix;
  };
  const drop = (...matrices: Matrix[]): void => {
    for (const matrix of matrices) owned.delete(matrix);
    release(gpu, ...matrices);
  };
  try {
    const first = resume?.train ?? { ...train, x: permuteRows(train.x, train.cols, order) };
    const firstT = resume ? resume.test : test;
    let x = own(upload(gpu, first.rows, first.cols, first.x));
    let t = firstT && own(upload(gpu, firstT.rows, firstT.cols, firstT.x));
    if (!resume) {
      const statistics = own(allocate(gpu, 2, train.cols));
      const standardX = own(allocate(gpu, x.rows, x.cols));
      const standardT = t && own(allocate(gpu, t.rows, t.cols));
      await runBatch(gpu, (batch) => {
        columnStatistics(batch, x, statistics);
        standardize(batch, x, statistics, standardX);
        if (t && standardT) standardize(batch, t, statistics, standardT);
      });
      drop(x, statistics);
      if (t) drop(t);
      [x, t] = [standardX, standardT];
    }
    const y = own(upload(gpu, data.classes, train.rows, targets(labels, data.classes)));

    const layers: LayerMetrics[] = [...(resume?.layers ?? [])];
    const grams: GramPicture[] = [];
    for (let index = layers.length; index < config.depth; index++) {
      const layer = index + 1;
      const clock = createClock((phase) => {
        progress.signal?.throwIfAborted();
        progress.onPhase?.(layer, phase);
        enter(gpu, layer, phase);
      });
      enter(gpu, layer, null);
      const unit = own(allocate(gpu, x.rows, x.cols));
      await normalizeOrRefuse(gpu, x, unit, (row) => zeroRow(order[row], index));
      drop(x);
      const unitT = t && own(allocate(gpu, t.rows, t.cols));
      if (t && unitT) {
        await normalizeTest(gpu, t, unitT);
        drop(t);
      }

      const fitted = await fitKernel(gpu, unit, y, config, clock);
      own(fitted.k);
      own(fitted.squared);
      own(fitted.alpha);
      // Each phase works with sizes of its own: what the last one used would wait in vain.
      gpu.pool.trim();
      const trainAccuracy = accuracy(await predict(gpu, fitted.alpha, fitted.k), labels);
      drop(fitted.k);
      const testAccuracy =
        test && unitT ? await accuracyAt(gpu, unitT, unit, fitted.alpha, test.labels, config, clock) : null;
      const m = own(allocate(gpu, unit.cols, unit.cols));
      const mLow = own(allocate(gpu, unit.cols, unit.cols));
      const agop = await agopOf(gpu, unit, fitted, starts, config, m, mLow, clock);
      drop(fitted.squared, fitted.alpha);
      gpu.pool.trim();
      const root = own(allocate(gpu, unit.cols, unit.cols));
      const rootReport = await agopRoot(gpu, m, mLow, root, clock);
      drop(m, mLow);

      const map = await clock.phase('features', () =>
        featureMap(
          gpu,
          unit.cols,
          { kind: 'random', seed: config.seed, layerIndex: index, width: config.width, gamma: config.gamma },
          config.activation === 'cos',
        ),
      );
      own(map.w);
      if (map.phase) own(map.phase);
      const mx = own(allocate(gpu, unit.rows, unit.cols));
      const features = own(allocate(gpu, unit.rows, map.w.rows));
      await projectRows(gpu, unit, root, map, mx, features, clock);
      let featuresT: Matrix | null = null;
      if (unitT) {
        const mxT = own(allocate(gpu, unitT.rows, unitT.cols));
        featuresT = own(allocate(gpu, unitT.rows, map.w.rows));
        await projectRows(gpu, unitT, root, map, mxT, featuresT, clock);
        drop(mxT, unitT);
      }
      const stages = await stageMetrics(gpu, { input: unit, agop: mx, features }, starts, clock);
      let gram: GramPicture | null = null;
      if (config.gramLayers.includes(layer)) {
        gram = { layer, size: mx.rows, values: await clock.phase('metrics', () => pictureOf(gpu, mx)) };
        grams.push(gram);
      }
      drop(root, map.w, mx, unit);
      if (map.phase) drop(map.phase);
      [x, t] = [features, featuresT];

      const metrics: LayerMetrics = {
        layer,
        ...stages,
        trainAccuracy,
        testAccuracy,
        solve: fitted.solve,
        agop: { ...agop, ...rootReport },
        seconds: clock.seconds,
      };
      layers.push(metrics);
      gpu.pool.trim();
      if (progress.save) {
        enter(gpu, layer, null);
        const state = { layers: [...layers], train: await rowsOf(gpu, x), test: t && (await rowsOf(gpu, t)) };
        await progress.save(state, gram);
      }
      progress.onLayer?.(metrics);
    }
    return { layers, grams, classCounts: Array.from({ length: data.classes }, (_, c) => counts[c] ?? 0) };
  } finally {
    release(gpu, ...owned);
  }
}

async function rowsOf(gpu: Gpu, matrix: Matrix): Promise<FeatureRows> {
  return { x: await download(gpu, matrix), rows: matrix.rows, cols: matrix.cols };
}

function zeroRow(row: number, index: number): RfmError {
  return index === 0
    ? inputError(
        `training row ${row} (from 0) is zero after standardisation, so it has no direction; remove it, or check that the rows differ`,
      )
    : inputError(
        `layer ${index + 1}: all features of training row ${row} (from 0) are zero; use a larger --width, another --seed or --activation cos`,
      );
}

/** Y transposed (classes × n): +1 at the label, −1 elsewhere. */
function targets(labels: Int32Array, classes: number): Float32Array {
  const y = new Float32Array(classes * labels.length).fill(-1);
  labels.forEach((label, i) => {
    y[label * labels.length + i] = 1;
  });
  return y;
}

/** A test row may be zero (all ReLU features dead): it stays zero, and its prediction is whatever α gives there. */
async function normalizeTest(gpu: Gpu, raw: Matrix, unit: Matrix): Promise<void> {
  await runBatch(gpu, (batch) => normalizeRows(batch, raw, unit, batch.temporary(1, raw.rows)));
}

/** Share of test rows (unitT, m × d) that the predictor with centres `unit` (n × d) puts into their class. */
async function accuracyAt(
  gpu: Gpu,
  unitT: Matrix,
  unit: Matrix,
  alpha: Matrix,
  labels: Int32Array,
  config: DeepRfmConfig,
  clock: Clock,
): Promise<number> {
  return clock.phase('kernel', async () => {
    const k = allocate(gpu, unitT.rows, unit.rows);
    try {
      await runBatch(gpu, (batch) => kernelMatrix(batch, unitT, unit, k, config.kernel, config.bandwidth));
      return accuracy(await predict(gpu, alpha, k), labels);
    } finally {
      release(gpu, k);
    }
  });
}

async function pictureOf(gpu: Gpu, mx: Matrix): Promise<Float32Array> {
  const out = allocate(gpu, mx.rows, mx.rows);
  try {
    await runBatch(gpu, (batch) => gramPicture(batch, mx, out));
    return await download(gpu, out);
  } finally {
    release(gpu, out);
  }
}

/**
 * Device memory a run will hold at its peak, in bytes, an upper estimate: the rows and the largest of
 * the phases, each with the matrices it holds at once. `copies`: whether products read their factors from copies
 * (`copiesFactors`).
 */
export function predictPeakBytes(
  n: number,
  testN: number,
  d: number,
  classes: number,
  width: number,
  copies: boolean,
): number {
  const inner = Math.max(d, width || d);
  const bytes = (rows: number, cols: number): number => pooledSize(rows * strideOf(cols) * 4);
  const [square, row, metric] = [bytes(n, n), bytes(n, inner), bytes(inner, inner)];
  const rows = 2 * row + 2 * bytes(testN, inner) + 6 * bytes(classes, n) + bytes(testN, n);
  // Squared distances and their low part, the factor, and the panels of the factorisation.
  const copied = (matrices: number): number => (copies ? 1.2 * matrices : 0);
  const solve = copied(2 * square) + 3 * square + bytes(n, Math.ceil(n / 2)) + 2 * bytes(n, 32);
  // Squared distances, weights, the rows transposed with two origins, gradients and their coefficients.
  // Gradients are held a class at a time; classes are taken to be at most half as large again as their mean.
  const gradients = Math.min(gradientBytes(n, inner, classes), 1.5 * n * (n + inner) * 4);
  const jacobian = copied(row + gradients) + 2 * square + 3 * row + 2 * metric + gradients;
  const gram = copied(2 * square + 2 * row) + 4 * square + 5 * row + 2 * metric;
  const root = copied(4 * metric) + 10 * metric;
  const features = copied(2 * row + metric) + 2 * metric + 4 * row;
  return Math.ceil(rows + Math.max(solve, jacobian, gram, root, features));
}
