import { inputError, RfmError, say, the } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { classCountsOf, classOrder, columnStatistics, transposeHost } from '../ops/host-rows.js';
import { refuseCoordinates } from '../ops/kernels/kernel.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { gramPicture } from '../ops/statistics/collapse.js';
import { type Columns, cut, downloadRows, type Rows, releasePanels, uploadColumns, uploadRows } from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import { compileAhead } from '../runtime/compile-ahead.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { enter } from '../runtime/timing.js';
import type { Agop } from './agop.js';
import { layerPrograms } from './compile-ahead.js';
import { createClock, type LayerContext, type Phase } from './context.js';
import { accuracy, type FittedKernel } from './fit.js';
import { type GivenRoot, givenRoot, startAfterMetric } from './given-metric.js';
import { type InfiniteLayer, infiniteLayer, startCosines } from './infinite-width.js';
import { type KeepDeepRfm, type KeptAlpha, keptAlpha } from './kept.js';
import { layerBody } from './layer-body.js';
import { normalized, zeroRow } from './normalize.js';
import { type DeepRfmOptions, deepRfmOptions } from './options.js';
import { type AgopRoot, agopRoot, layerOutput, metricsOf } from './output.js';
import { adopt, limitsOf, PICTURE_ROWS, type ProblemSize, planRun, type RunPlan } from './plan.js';
import { predict } from './predictions.js';
import { type FeatureRows, type StartRows, scaledTargets, signTargets, standardizedRows } from './rows.js';
import type { GramPicture, LayerMetrics, Width } from './types.js';

export interface DeepRfmData {
  train: LabelledRows;
  test: LabelledRows | null;
  /** Number of outputs; classes without rows keep theirs. */
  classes: number;
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
  /** Receives M^{1/2} of every layer of finite width, d × d, with which `throughLayers` takes other rows through it. */
  onRoot?(layer: number, root: Float32Array): void;
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
  /** Told of all that predictions for other rows need, layer by layer; of the layers that this call computes. */
  keep?: KeepDeepRfm | null;
}

/** Sizes of the data of a run. */
export type DataSize = Pick<ProblemSize, 'n' | 'testN' | 'd' | 'outputs'>;

/** All sizes of a run, for `planRun`. */
export function sizeOf(given: DeepRfmOptions, data: DataSize): ProblemSize {
  const { width, activation, agop, agopSamples, solver, kernel } = deepRfmOptions(given);
  if (width === 'inf') {
    refuseCoordinates(kernel, 'a layer of infinite width');
    // Inner products with all rows take the place of features.
    const all = data.n + data.testN;
    const size = { ...data, d: Math.max(data.d, all), width: all, cosine: false, agop: 'gram' } as const;
    return { ...size, agopSamples: null, solver: 'cholesky' };
  }
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
 * are sorted by class and standardised (and multiplied by the root of a given metric), then `depth` layers of kernel ridge regression, AGOP, M^{1/2}
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
  const options = deepRfmOptions(given);
  const { memoryLimit = null, plan = planOf(gpu, data, options, memoryLimit), progress = {}, resume = null } = run;
  const keep = run.keep ?? null;
  if (keep && options.width === 'inf') throw noInfiniteModel();
  const restore = adopt(gpu, plan, memoryLimit);
  try {
    const { order, starts } = classOrder(data.train.labels);
    const labels = Int32Array.from(order, (i) => data.train.labels[i]);
    if (options.width === 'inf')
      return await runInfinite(
        gpu,
        { data, options, plan, progress, order, starts, labels, sampled: null, keep },
        resume,
      );
    const samples = samplesOf(options.agopSamples, data.train.rows);
    const sampled = samples === null ? null : evenlySpaced(data.train.rows, samples);
    return await runLayers(gpu, { data, options, plan, progress, order, starts, labels, sampled, keep }, resume);
  } finally {
    restore();
  }
}

/** What is the same in all layers. */
interface Task {
  data: DeepRfmData;
  options: Required<DeepRfmOptions>;
  plan: RunPlan;
  progress: DeepRfmProgress;
  order: Int32Array;
  /** First row of each class that has rows, then n. */
  starts: number[];
  /** In class order. */
  labels: Int32Array;
  /** Rows whose Jacobians are summed; null: all. */
  sampled: readonly number[] | null;
  keep: KeepDeepRfm | null;
}

/** On the device: training rows in class order, test rows, and targets, of which one is `targetUnit`. */
interface LayerRows {
  x: Rows;
  t: Rows | null;
  y: Columns;
  targetUnit: number;
}

/** What one layer leaves; its features are the next one's rows. */
interface LayerDone {
  features: Rows;
  featuresT: Rows | null;
  metrics: LayerMetrics;
  gram: GramPicture | null;
  predictions: Float32Array | null;
}

const runLayers = (outer: Gpu, task: Task, resume: DeepRfmState | null): Promise<DeepRfmResult> =>
  owning(outer, async (gpu) => {
    const { data, options, progress } = task;
    // A second start waits longest for the first product to compile: it begins before the rows are made ready.
    const { rows: n, cols: d } = data.train;
    compileAhead(gpu, layerPrograms(gpu, options.kernel, { n, d, outputs: data.classes }));
    const metric = resume ? null : await givenRoot(gpu, options.metric);
    let rows = uploaded(gpu, task, resume ?? (await startRows(gpu, task, metric)));
    const { targetUnit } = rows;
    if (!resume) await task.keep?.start({ statistics: columnStatistics(data.train), metric, targetUnit });
    const layers: LayerMetrics[] = [...(resume?.layers ?? [])];
    const grams: GramPicture[] = [];
    let predictions = resume?.predictions ?? null;
    for (let layer = layers.length + 1; layer <= options.depth; layer++) {
      const done = await runLayer(gpu, task, rows, layer).catch((error) => {
        throw inLayer(error, layer);
      });
      rows = { ...rows, x: done.features, t: done.featuresT };
      predictions = done.predictions;
      if (done.gram) grams.push(done.gram);
      layers.push(done.metrics);
      if (progress.save) {
        enter(gpu, layer, null);
        const [train, test] = [await hostRows(gpu, rows.x), rows.t && (await hostRows(gpu, rows.t))];
        await progress.save({ layers: [...layers], train, test, predictions }, done.gram);
      }
      progress.onLayer?.(done.metrics);
    }
    return { layers, grams, classCounts: classCountsOf(data.train.labels, data.classes), predictions };
  });

/** The layers of infinite width: what one hands on to the next are the cosines of its rows. */
async function runInfinite(gpu: Gpu, task: Task, resume: DeepRfmState | null): Promise<DeepRfmResult> {
  const { data, options, plan, progress, starts, labels } = task;
  if (options.activation !== 'relu') throw inputError(say`${the.width} inf: only ReLU features have it`);
  const { y, unit } = scaledTargets(signTargets(labels, data.classes), options.ridge);
  const own = {
    ...{ kernel: options.kernel, ridge: options.ridge, starts, labels, classes: data.classes, y, targetUnit: unit },
    testLabels: data.test?.labels ?? null,
  };
  const pictured = evenlySpaced(data.train.rows, PICTURE_ROWS);
  const layers: LayerMetrics[] = [...(resume?.layers ?? [])];
  const grams: GramPicture[] = [];
  let predictions = resume?.predictions ?? null;
  let delta: FeatureRows = resume
    ? resume.train
    : await startCosines(gpu, await startRows(gpu, task, await givenRoot(gpu, options.metric)));
  for (let layer = layers.length + 1; layer <= options.depth; layer++) {
    const clock = createClock(gpu, (phase) => {
      progress.signal?.throwIfAborted();
      progress.onPhase?.(layer, phase);
      enter(gpu, layer, phase);
    });
    enter(gpu, layer, null);
    const picture = options.gramLayers.includes(layer) ? pictured : null;
    const done: InfiniteLayer = await infiniteLayer({ gpu, plan, clock }, own, { delta, layer, picture }).catch(
      (error) => {
        throw inLayer(error, layer);
      },
    );
    ({ delta, predictions } = done);
    if (done.gram) grams.push(done.gram);
    layers.push(done.metrics);
    await progress.save?.({ layers: [...layers], train: delta, test: null, predictions }, done.gram);
    progress.onLayer?.(done.metrics);
  }
  return { layers, grams, classCounts: classCountsOf(data.train.labels, data.classes), predictions };
}

/** What the first layer starts from. */
const startRows = (gpu: Gpu, { data, options, order, plan }: Task, metric: GivenRoot | null): Promise<StartRows> =>
  startAfterMetric(gpu, metric, standardizedRows(data.train, data.test, order, options.kernel), plan.grid.starts[1]);

/** The rows that a layer starts from, and the targets. */
function uploaded(gpu: Gpu, { data, options, plan, labels }: Task, { train, test }: StartRows): LayerRows {
  const { grid } = plan;
  const { y, unit } = scaledTargets(signTargets(labels, data.classes), options.ridge);
  return {
    x: uploadRows(gpu, grid, train.cols, train.x),
    t: test && uploadRows(gpu, cut(test.rows, grid.starts[1]), test.cols, test.x),
    y: uploadColumns(gpu, grid, data.classes, y),
    targetUnit: unit,
  };
}

const runLayer = (outer: Gpu, task: Task, rows: LayerRows, layer: number): Promise<LayerDone> =>
  owning(outer, async (gpu, keep) => {
    const { data, options, plan, progress, starts, labels, sampled } = task;
    const clock = createClock(gpu, (phase) => {
      progress.signal?.throwIfAborted();
      progress.onPhase?.(layer, phase);
      enter(gpu, layer, phase);
    });
    enter(gpu, layer, null);
    const context = { gpu, plan, clock };
    const { x, t, deadRows } = await unitRows(gpu, task, rows, layer);
    const { kernel, ridge, agop, activation, seed, width, gamma } = options;
    let alpha = null as KeptAlpha | null;
    const body = await layerBody(context, {
      ...{ x, y: rows.y, kernel, ridge, targetUnit: rows.targetUnit },
      agop: { starts, agop, samples: sampled },
      use: async (fitted) => {
        if (task.keep) alpha = await keptAlpha(gpu, fitted);
        return (
          t && data.test && onTestRows(context, fitted, t, { labels: data.test.labels, targetUnit: rows.targetUnit })
        );
      },
    });
    const parked = await rootWithRowsParked(context, body.agop, x, t);
    const { root } = parked.root;
    const output = await layerOutput(context, parked.x, parked.t, {
      ...{ root, starts, shift: null, cosine: activation === 'cos' },
      weights: { kind: 'random', seed, layerIndex: layer - 1, width: finite(width), gamma },
    });
    if (task.keep && alpha) await task.keep.layer(gpu, { layer, centers: parked.x, ...alpha, root, map: output.map });
    if (progress.onRoot) progress.onRoot(layer, await download(gpu, root));
    const gram = options.gramLayers.includes(layer)
      ? await clock.phase('metrics', () => pictureOf(gpu, layer, output.mx, labels, data.classes))
      : null;
    const measured = { layer, labels, testAccuracy: body.used?.accuracy ?? null, deadRows };
    return {
      features: keep(output.features),
      featuresT: keep(output.others),
      metrics: metricsOf(measured, body, parked.root, output, await clock.times()),
      gram,
      predictions: body.used?.predictions ?? null,
    };
  });

/** Layers of infinite width go another way. */
function finite(width: Width): number {
  if (width === 'inf') throw new RfmError('internal', 'features of infinite width are not drawn');
  return width;
}

/** How well the predictor does on the test rows: its accuracy, and f, test rows × classes, in the unit of the targets. */
async function onTestRows(
  { gpu, clock }: LayerContext,
  fitted: FittedKernel,
  t: Rows,
  { labels, targetUnit }: { labels: Int32Array; targetUnit: number },
): Promise<{ accuracy: number; predictions: Float32Array }> {
  const scores = await clock.phase('kernel', () => predict(gpu, t, fitted));
  const byOutput = transposeHost(scores, labels.length, scores.length / labels.length);
  return { accuracy: accuracy(byOutput, labels), predictions: scores.map((score) => score * targetUnit) };
}

/** The rows of a layer divided by their lengths, in place of the rows, and how many are zero. */
async function unitRows(
  gpu: Gpu,
  { data, options, order }: Task,
  { x, t }: LayerRows,
  layer: number,
): Promise<{ x: Rows; t: Rows | null; deadRows: LayerMetrics['deadRows'] }> {
  const n = data.train.rows;
  const train = await normalized(gpu, x, layer);
  if (layer === 1 && train.zero.length > 0) throw zeroRow(order[train.zero[0]], options.metric !== null);
  if (n - train.zero.length < 2) throw tooFewLive(train.zero.length, n, layer);
  const test = t && (await normalized(gpu, t, layer));
  const deadRows = { train: train.zero.length, test: test?.zero.length ?? 0 };
  return { x: train.rows, t: test?.rows ?? null, deadRows };
}

/** The root of the AGOP. The rows wait in host memory meanwhile, where the plan says so. */
async function rootWithRowsParked(
  context: LayerContext,
  agop: Agop,
  x: Rows,
  t: Rows | null,
): Promise<{ root: AgopRoot; x: Rows; t: Rows | null }> {
  const { gpu, plan } = context;
  if (!plan.parkRows) return { root: await agopRoot(context, agop), x, t };
  const all = [x, ...(t ? [t] : [])];
  const waiting = [];
  for (const rows of all) waiting.push({ grid: rows.grid, ...(await hostRows(gpu, rows)) });
  releasePanels(gpu, ...all);
  gpu.pool.trim();
  const root = await agopRoot(context, agop);
  gpu.pool.trim();
  const [back, backT = null] = waiting.map((rows) => uploadRows(gpu, rows.grid, rows.cols, rows.x));
  return { root, x: back, t: backT };
}

async function hostRows(gpu: Gpu, rows: Rows): Promise<FeatureRows> {
  return { x: await downloadRows(gpu, rows), rows: rows.grid.n, cols: rows.tiles[0].cols };
}

/** What is wrong with the input of a layer names the layer. */
function inLayer(error: unknown, layer: number): unknown {
  if (!(error instanceof RfmError) || error.kind !== 'input' || /^(layer|training row) /.test(error.message))
    return error;
  return error.within(`layer ${layer}`);
}

const noInfiniteModel = (): RfmError =>
  inputError(
    say`${the.width} inf: features of infinite width are known as inner products of the given rows alone, so that there is no model for other rows`,
    say`give ${the.width} as a number, or save no model`,
  );

const tooFewLive = (dead: number, rows: number, layer: number): RfmError =>
  inputError(
    `layer ${layer}: all features of ${dead} of the ${rows} training rows are zero, expected at least 2 rows with some`,
    say`use a larger ${the.width}, another ${the.seed} or ${the.activation} cos`,
  );

/** The Gram picture of rows, of evenly spaced ones where there are many. Classes without rows keep their number in it. */
const pictureOf = (outer: Gpu, layer: number, mx: Rows, labels: Int32Array, classes: number): Promise<GramPicture> =>
  owning(outer, async (gpu) => {
    const ids = evenlySpaced(mx.grid.n, PICTURE_ROWS);
    const out = allocate(gpu, ids.length, ids.length);
    await sendBatch(gpu, (batch) => gramPicture(batch, mx, ids, out));
    const classCounts = new Array<number>(classes).fill(0);
    for (const id of ids) classCounts[labels[id]]++;
    return { layer, size: ids.length, classCounts, values: await download(gpu, out) };
  });
