import { inputError, RfmError } from '../errors.js';
import { featureMap } from '../ops/features/features.js';
import { classCountsOf, classOrder, type HostRows, permuteRows, standardize, transposeHost } from '../ops/host-rows.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { gramPicture } from '../ops/statistics/collapse.js';
import { allocateRows, cut, downloadRows, matricesOf, type Rows, uploadColumns, uploadRows } from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import { enter } from '../runtime/timing.js';
import { normalizeAll, normalizeOrRefuse } from './layer.js';
import { type DeepRfmOptions, deepRfmOptions } from './options.js';
import { adopt, limitsOf, PICTURE_ROWS, type ProblemSize, planRun, type RunPlan } from './plan.js';
import { refuseLostDifferences, scaledTargets } from './rows.js';
import {
  type Agop,
  accuracy,
  agopOf,
  agopRoot,
  createClock,
  fitKernel,
  type Phase,
  predict,
  projectRows,
  releaseFitted,
  stageMetrics,
} from './step.js';
import type { GramPicture, LayerMetrics } from './types.js';

/** Rows of numbers and their classes 0 … C − 1. */
export interface LabelledRows extends HostRows {
  labels: Int32Array;
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

/** What a layer starts from. */
interface StartRows {
  /** Training rows in class order. */
  train: FeatureRows;
  test: FeatureRows | null;
}

/** All that the layers so far leave to the next: their metrics, and the rows it starts from. */
export interface DeepRfmState extends StartRows {
  layers: LayerMetrics[];
  /** The last layer's; see `DeepRfmResult`. */
  predictions: Float32Array | null;
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
  /** f of the last layer at the test rows, test rows × classes; null without test rows. */
  predictions: Float32Array | null;
}

/** What `deepRfm` may be told beside its data and options: none of it changes the method. */
export interface DeepRfmRun {
  progress?: DeepRfmProgress;
  /** Goes on after the layers in it, which must come from the same data and options. */
  resume?: DeepRfmState | null;
  /** Made by `planOf` or `planRun`; the default is the fastest way that fits into what is known of the device's memory. */
  plan?: RunPlan;
  /** Bytes of device memory not to go beyond. */
  memoryLimit?: number | null;
}

/** Sizes of the data of a run. */
export type DataSize = Pick<ProblemSize, 'n' | 'testN' | 'd' | 'outputs'>;

/** All sizes of a run, for `planRun`. */
export function sizeOf(given: DeepRfmOptions, data: DataSize): ProblemSize {
  const { width, activation, agop, agopSamples, solver } = deepRfmOptions(given);
  return { ...data, width, cosine: activation === 'cos', agop, agopSamples: samplesOf(agopSamples, data.n), solver };
}

/** How a run will be computed on this device, and what it will hold there. */
export function planOf(
  gpu: Gpu,
  { train, test, classes }: DeepRfmData,
  options: DeepRfmOptions = {},
  memoryLimit: number | null = null,
): RunPlan {
  const data = { n: train.rows, testN: test?.rows ?? 0, d: train.cols, outputs: classes };
  return planRun(sizeOf(options, data), limitsOf(gpu, memoryLimit));
}

/** Number of rows for the AGOP where that is not all of them. */
const samplesOf = (agopSamples: number, n: number): number | null =>
  agopSamples > 0 && agopSamples < n ? agopSamples : null;

/**
 * Deep Recursive Feature Machine (Beaglehole, Súkeník, Mondelli, Belkin, NeurIPS 2024): training rows
 * are sorted by class and standardised, then `depth` layers of kernel ridge regression, AGOP, M^{1/2}
 * and random features; test rows go through the same maps. A row whose features are all zero stays zero in the layers
 * that follow, and is counted (`deadRows`). A run that resumes has, on the same device, the metrics of a
 * run in one piece.
 * Errors: 'input' for a training row that is zero after standardisation, for a layer in which fewer than two are not, or a
 * single class; 'doesNotFit' for too large n.
 */
export async function deepRfm(
  gpu: Gpu,
  data: DeepRfmData,
  given: DeepRfmOptions = {},
  run: DeepRfmRun = {},
): Promise<DeepRfmResult> {
  const config = deepRfmOptions(given);
  const { memoryLimit = null, plan = planOf(gpu, data, config, memoryLimit) } = run;
  const restore = adopt(gpu, plan, memoryLimit);
  try {
    return await runLayers(gpu, data, config, plan, run.progress ?? {}, run.resume ?? null);
  } finally {
    restore();
  }
}

async function runLayers(
  gpu: Gpu,
  data: DeepRfmData,
  config: Required<DeepRfmOptions>,
  plan: RunPlan,
  progress: DeepRfmProgress,
  resume: DeepRfmState | null,
): Promise<DeepRfmResult> {
  const { train, test } = data;
  const { order, starts } = classOrder(train.labels);
  const labels = Int32Array.from(order, (i) => train.labels[i]);
  const { grid } = plan;
  const samples = samplesOf(config.agopSamples, train.rows);
  const sampled = samples === null ? null : evenlySpaced(train.rows, samples);
  const owned = new Set<Matrix>();
  const own = <T extends Matrix | Rows>(held: T): T => {
    for (const matrix of matricesOf(held)) owned.add(matrix);
    return held;
  };
  const drop = (...all: (Matrix | Rows | null)[]): void => {
    for (const matrix of all.flatMap((held) => (held ? matricesOf(held) : []))) {
      owned.delete(matrix);
      release(gpu, matrix);
    }
  };
  let layer = 0;
  try {
    const first = resume ?? standardizedRows(train, test, order, config.kernel);
    const gridT = first.test && cut(first.test.rows, grid.starts[1]);
    let x = own(uploadRows(gpu, grid, first.train.cols, first.train.x));
    let t = first.test && gridT && own(uploadRows(gpu, gridT, first.test.cols, first.test.x));
    const { y: scaled, unit: targetUnit } = scaledTargets(targets(labels, data.classes), config.ridge);
    const y = own(uploadColumns(gpu, grid, data.classes, scaled));

    const layers: LayerMetrics[] = [...(resume?.layers ?? [])];
    const grams: GramPicture[] = [];
    let predictions = resume?.predictions ?? null;
    for (let index = layers.length; index < config.depth; index++) {
      layer = index + 1;
      const clock = createClock(gpu, (phase) => {
        progress.signal?.throwIfAborted();
        progress.onPhase?.(layer, phase);
        enter(gpu, layer, phase);
      });
      enter(gpu, layer, null);
      let unit = own(allocateRows(gpu, grid, x.tiles[0].cols));
      const deadRows = { train: 0, test: 0 };
      if (index === 0) await normalizeOrRefuse(gpu, x, unit, (row) => zeroRow(order[row]));
      else {
        deadRows.train = await countDead(gpu, x, unit, layer);
        if (train.rows - deadRows.train < 2) throw tooFewLive(deadRows.train, train.rows, layer);
      }
      drop(x);
      let unitT = t && own(allocateRows(gpu, t.grid, t.tiles[0].cols));
      if (t && unitT) {
        deadRows.test = await countDead(gpu, t, unitT, layer);
        drop(t);
      }
      const d = unit.tiles[0].cols;

      const fitted = await fitKernel(gpu, unit, y, config, plan, clock);
      let agop: Agop;
      let testAccuracy: number | null = null;
      try {
        if (test && unitT) {
          const at = unitT;
          const scores = await clock.phase('kernel', () => predict(gpu, at, unit, fitted, config));
          testAccuracy = accuracy(scores, test.labels);
          predictions = transposeHost(scores, data.classes, at.grid.n).map((score) => score * targetUnit);
        }
        agop = await agopOf(gpu, fitted, starts, { agop: config.agop, samples: sampled }, plan, clock);
      } finally {
        releaseFitted(gpu, fitted);
      }
      const waiting = plan.parkRows ? { x: await rowsOf(gpu, unit), t: unitT && (await rowsOf(gpu, unitT)) } : null;
      if (waiting) {
        drop(unit, unitT);
        gpu.pool.trim();
      }
      const rootReport = await agopRoot(gpu, agop.m, agop.low, clock);
      if (waiting) {
        gpu.pool.trim();
        unit = own(uploadRows(gpu, grid, d, waiting.x.x));
        unitT = waiting.t && gridT && own(uploadRows(gpu, gridT, d, waiting.t.x));
      }
      const root = own(rootReport.root);

      const map = await clock.phase('features', () =>
        featureMap(
          gpu,
          d,
          { kind: 'random', seed: config.seed, layerIndex: index, width: config.width, gamma: config.gamma },
          config.activation === 'cos',
        ),
      );
      own(map.w);
      if (map.phase) own(map.phase);
      const mx = own(allocateRows(gpu, grid, d));
      const features = own(allocateRows(gpu, grid, map.w.rows));
      const rounding = await projectRows(gpu, unit, root, map, mx, features, clock);
      let featuresT: Rows | null = null;
      if (unitT) {
        const mxT = own(allocateRows(gpu, unitT.grid, d));
        featuresT = own(allocateRows(gpu, unitT.grid, map.w.rows));
        await projectRows(gpu, unitT, root, map, mxT, featuresT, clock);
        drop(mxT, unitT);
      }
      const stages = await stageMetrics(gpu, { input: unit, agop: mx, features }, starts, clock);
      let gram: GramPicture | null = null;
      if (config.gramLayers.includes(layer)) {
        gram = await clock.phase('metrics', () => pictureOf(gpu, layer, mx, labels, data.classes));
        grams.push(gram);
      }
      drop(root, map.w, map.phase, mx, unit);
      [x, t] = [features, featuresT];

      const { rank, topEigenvalues } = rootReport;
      const metrics: LayerMetrics = {
        layer,
        ...stages,
        trainAccuracy: accuracy(fitted.trainScores, labels),
        testAccuracy,
        deadRows,
        solve: fitted.solve,
        agop: { ...agop.report, rank, topEigenvalues },
        ...(map.phase && { argumentRounding: rounding }),
        seconds: await clock.times(),
      };
      layers.push(metrics);
      if (progress.save) {
        enter(gpu, layer, null);
        const [train, test] = [await rowsOf(gpu, x), t && (await rowsOf(gpu, t))];
        await progress.save({ layers: [...layers], train, test, predictions }, gram);
      }
      progress.onLayer?.(metrics);
    }
    return { layers, grams, classCounts: classCountsOf(train.labels, data.classes), predictions };
  } catch (error) {
    throw layer > 0 ? inLayer(error, layer) : error;
  } finally {
    release(gpu, ...owned);
  }
}

async function rowsOf(gpu: Gpu, rows: Rows): Promise<FeatureRows> {
  return { x: await downloadRows(gpu, rows), rows: rows.grid.n, cols: rows.tiles[0].cols };
}

/** What the first layer starts from: standardised rows of length 1, training rows in class order. */
function standardizedRows(
  train: LabelledRows,
  test: LabelledRows | null,
  order: Int32Array,
  kernel: RadialKernel,
): StartRows {
  const standard = standardize(train, test, 'of length 1');
  refuseLostDifferences(train, standard.train, kernel);
  return {
    train: { ...train, x: permuteRows(standard.train, train.cols, order) },
    test: test && standard.test && { ...test, x: standard.test },
  };
}

/** What is wrong with the input of a layer names the layer. */
function inLayer(error: unknown, layer: number): unknown {
  if (!(error instanceof RfmError) || error.kind !== 'input' || /^(layer|training row) /.test(error.message))
    return error;
  return inputError(`layer ${layer}: ${error.message}`);
}

const zeroRow = (row: number): RfmError =>
  inputError(
    `training row ${row} (from 0) is zero after standardisation, so it has no direction; remove it, or check that the rows differ`,
  );

/** unit = rows of x divided by their lengths; the number of those that are zero, and stay it. */
async function countDead(gpu: Gpu, x: Rows, unit: Rows, layer: number): Promise<number> {
  const { zero, notFinite } = await normalizeAll(gpu, x, unit);
  if (notFinite.length === 0) return zero.length;
  throw inputError(
    `layer ${layer}: ${notFinite.length} of ${x.grid.n} rows have features that are not finite, or too large for their length to be; check the data for very large values`,
  );
}

const tooFewLive = (dead: number, rows: number, layer: number): RfmError =>
  inputError(
    `layer ${layer}: all features of ${dead} of the ${rows} training rows are zero, expected at least 2 rows with some; use a larger --width, another --seed or --activation cos`,
  );

/** Y transposed (classes × n): +1 at the label, −1 elsewhere. */
function targets(labels: Int32Array, classes: number): Float32Array {
  const y = new Float32Array(classes * labels.length).fill(-1);
  labels.forEach((label, i) => {
    y[label * labels.length + i] = 1;
  });
  return y;
}

/** The Gram picture of rows, of evenly spaced ones where there are many. Classes without rows keep their number in it. */
async function pictureOf(gpu: Gpu, layer: number, mx: Rows, labels: Int32Array, classes: number): Promise<GramPicture> {
  const ids = evenlySpaced(mx.grid.n, PICTURE_ROWS);
  const out = allocate(gpu, ids.length, ids.length);
  try {
    await sendBatch(gpu, (batch) => gramPicture(batch, mx, ids, out));
    const classCounts = new Array<number>(classes).fill(0);
    for (const id of ids) classCounts[labels[id]]++;
    return { layer, size: ids.length, classCounts, values: await download(gpu, out) };
  } finally {
    release(gpu, out);
  }
}
