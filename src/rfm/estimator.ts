/**
 * The estimator of tables: an RFM whose iterations are scored on validation rows, the best of which is kept. Kernels may depend on
 * the axes, M may be diagonal, and the bandwidth may follow the data.
 */

import { RfmError, say, the } from '../errors.js';
import type { AgopPath } from '../ops/agop/agop.js';
import { transposeHost } from '../ops/host-rows.js';
import { areSummedInOnePass } from '../ops/kernel-matrix/kernel-sums.js';
import type { KernelFamily } from '../ops/kernels/families.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { type Columns, cut, type Rows, releasePanels, uploadColumns } from '../ops/tiles.js';
import { compileAhead } from '../runtime/compile-ahead.js';
import type { Gpu } from '../runtime/gpu.js';
import { owning } from '../runtime/owning.js';
import { enter } from '../runtime/timing.js';
import { type AgopRequest, agopDiagonalOf, agopOf } from './agop.js';
import { layerPrograms } from './compile-ahead.js';
import { createClock, type LayerContext } from './context.js';
import { applyMetric, type Metric, type MetricForm, nextDiagonal, nextFull, underMetric } from './estimator-metric.js';
import { type FittedKernel, fitKernel, releaseFitted } from './fit.js';
import { medianDistance } from './median-distance.js';
import { adopt, type DeviceLimits, isPlannable, limitsOf, type ProblemSize, planRun, type RunPlan } from './plan.js';
import { predict } from './predictions.js';
import { longestRow } from './rfm.js';
import type { LayerMetrics, Solver } from './types.js';

/** Standardised rows of numbers in host memory, row-major; targets of size 1 or so. */
export interface EstimatorData {
  /** n × d. */
  x: Float32Array;
  n: number;
  d: number;
  /** n × outputs. */
  y: Float64Array;
  outputs: number;
  /** rows × d; null: none. */
  validation: { x: Float32Array; rows: number } | null;
}

/** A bandwidth, or the multiple of the median distance that it is in each iteration. */
export type Bandwidth = { length: number } | { multiple: number };

export interface EstimatorOptions {
  family: KernelFamily;
  bandwidth: Bandwidth;
  /** λ, added to the diagonal of the kernel matrix: in every fit, or in each, the last for those beyond. */
  ridge: number | readonly number[];
  /** Updates of M: there is one fit more. */
  iterations: number;
  metricForm: MetricForm;
  agop: AgopPath | 'auto';
  /** Rows whose Jacobians the AGOP sums, evenly spaced; 0: all. */
  agopSamples: number;
  solver: Solver;
  /** Iterations without a better score after which the fit ends; 0: none ends it. */
  patience: number;
  memoryLimit: number | null;
}

/** Predictions of one fit, rows × outputs. */
export interface Predicted {
  train: Float64Array;
  validation: Float64Array | null;
}

/** What is said of one fit. */
export interface IterationReport {
  /** Updates of M before it. */
  iteration: number;
  bandwidth: number;
  /** Smaller is better; null where nothing was scored. */
  score: number | null;
  solve: LayerMetrics['solve'];
}

/** A predictor: with the rows it was fitted to, all that predictions take. */
export interface FittedEstimator {
  iteration: number;
  bandwidth: number;
  ridge: number;
  metric: Metric;
  /** n × outputs. */
  alpha: Float64Array;
}

/** What a fit can go on from. */
export interface EstimatorState {
  /** Reports of the fits that are done. */
  reports: IterationReport[];
  /** M of the next fit. */
  metric: Metric;
  best: FittedEstimator | null;
}

export interface EstimatorHooks {
  /** The score of predictions, smaller for better ones; null: none, and the last fit is kept. */
  score: ((predicted: Predicted, iteration: number) => number | null) | null;
  /** Hears of each fit; M of the next one has been learned, and the state may be kept. May throw to stop. */
  onIteration?(report: IterationReport, state: EstimatorState): void;
}

export interface EstimatorResult {
  best: FittedEstimator;
  /** M after the last fit is not learned: as many as fits. */
  reports: IterationReport[];
  plan: RunPlan;
}

/** Sizes of a fit, for `planRun`. */
export function estimatorSize(
  data: Pick<EstimatorData, 'n' | 'd' | 'outputs'> & { testN: number },
  options: Pick<EstimatorOptions, 'family' | 'metricForm' | 'agop' | 'agopSamples' | 'solver'>,
): ProblemSize {
  const coordinates = options.family.at(1).coordinates !== undefined;
  const diagonal = options.metricForm === 'diagonal';
  return {
    ...{ n: data.n, testN: data.testN, d: data.d, outputs: data.outputs, width: 0 },
    // Neither has a Gram form.
    agop: coordinates || diagonal ? 'jacobian' : options.agop,
    agopSamples: samplesOf(options.agopSamples, data.n),
    solver: options.solver,
    holds: 'metric',
    ...{ diagonal, coordinates },
  };
}

export const samplesOf = (asked: number, n: number): number | null => (asked > 0 && asked < n ? asked : null);

/** How a fit is computed on a device. */
export const planEstimator = (data: EstimatorData, options: EstimatorOptions, device: DeviceLimits): RunPlan =>
  planRun(estimatorSize({ ...data, testN: data.validation?.rows ?? 0 }, options), device);

/**
 * Fits the estimator: from M = I on, each iteration is kernel ridge regression with distances of M, scored, and M becomes the AGOP
 * over its largest entry; the fit with the best score is kept.
 * @throws input error where rows coincide, the AGOP is zero or a system has no solution in float32; doesNotFit where the device
 * cannot hold it.
 */
export async function fitEstimator(
  gpu: Gpu,
  data: EstimatorData,
  options: EstimatorOptions,
  hooks: EstimatorHooks,
  resume: EstimatorState | null = null,
): Promise<EstimatorResult> {
  const plan = planEstimator(data, options, limitsOf(gpu, options.memoryLimit));
  const restore = adopt(gpu, plan, options.memoryLimit);
  const state: EstimatorState = resume
    ? { ...resume, reports: [...resume.reports] }
    : { reports: [], metric: null, best: null };
  const clock = createClock(gpu, (phase) => enter(gpu, state.reports.length + 1, phase));
  try {
    while (state.reports.length <= options.iterations && !exhausted(state.reports, options.patience)) {
      const iteration = state.reports.length;
      const last = iteration === options.iterations;
      await owning(gpu, async (scope) => {
        const context = { gpu: scope, plan, clock };
        const { fitted, predicted, kernel, agop } = await fitOnce(context, data, options, {
          metric: state.metric,
          iteration,
          last,
        });
        const score = hooks.score?.(predicted, iteration) ?? null;
        const report = { iteration, bandwidth: kernel.bandwidth, score, solve: fitted.solve };
        if (isBest(score, state.reports)) {
          const alpha = transposeHost(fitted.coefficients, data.outputs, data.n);
          state.best = {
            iteration,
            bandwidth: kernel.bandwidth,
            ridge: ridgeOf(options, iteration),
            metric: state.metric,
            alpha,
          };
        }
        state.reports.push(report);
        if (agop) state.metric = await agop();
        hooks.onIteration?.(report, state);
      });
    }
    if (!state.best) throw new RfmError('internal', 'the estimator kept no fit');
    return { best: state.best, reports: state.reports, plan };
  } finally {
    restore();
  }
}

/**
 * The M that the first fit of these rows learns, with M = I.
 * @throws as `fitEstimator` does.
 */
export async function learnMetric(gpu: Gpu, data: EstimatorData, options: EstimatorOptions): Promise<Metric> {
  const plan = planEstimator(data, options, limitsOf(gpu, options.memoryLimit));
  const restore = adopt(gpu, plan, options.memoryLimit);
  const clock = createClock(gpu, (phase) => enter(gpu, 1, phase));
  try {
    return await owning(gpu, async (scope) => {
      const { agop } = await fitOnce({ gpu: scope, plan, clock }, data, options, {
        ...{ metric: null, iteration: 0, last: false },
      });
      if (!agop) throw new RfmError('internal', 'a fit that is not the last learns no M');
      return agop();
    });
  } finally {
    restore();
  }
}

const ridgeOf = ({ ridge }: Pick<EstimatorOptions, 'ridge'>, iteration: number): number =>
  typeof ridge === 'number' ? ridge : ridge[Math.min(iteration, ridge.length - 1)];

/** Whether the score is better than all before; where nothing is scored the last one is. */
export const isBest = (score: number | null, before: readonly IterationReport[]): boolean =>
  score === null || before.every((report) => report.score === null || score < report.score);

/** Whether so many fits in a row were no better than one before. */
export function exhausted(reports: readonly Pick<IterationReport, 'score'>[], patience: number): boolean {
  if (patience === 0) return false;
  let best = Number.POSITIVE_INFINITY;
  let since = 0;
  for (const { score } of reports) {
    since = score === null || score < best ? 0 : since + 1;
    best = Math.min(best, score ?? best);
  }
  return since >= patience;
}

/** A fit, its predictions, and what learns the next M from it (null for the last one). */
async function fitOnce(
  { gpu, plan, clock }: LayerContext,
  { x, n, d, y, outputs, validation }: EstimatorData,
  options: EstimatorOptions,
  { metric, iteration, last }: { metric: Metric; iteration: number; last: boolean },
): Promise<{
  fitted: FittedKernel;
  predicted: Predicted;
  kernel: RadialKernel;
  agop: (() => Promise<Metric>) | null;
}> {
  const { bandwidth, metricForm, agop: path, agopSamples } = options;
  const context = { gpu, plan, clock };
  const ridge = ridgeOf(options, iteration);
  const { family, rowMetric } = underMetric(gpu, options.family, metric);
  const rows = await applyMetric(gpu, plan.grid, x, d, rowMetric);
  const kernel = family.at(await bandwidthOf(gpu, rows, family, bandwidth));
  const targets = uploadColumns(gpu, plan.grid, outputs, transposeHost(y, n, outputs));
  compileAhead(gpu, layerPrograms(gpu, kernel, { n, d: rows.tiles[0].cols, outputs }));
  const fitted = await fitKernel(context, { x: rows, y: targets, kernel, ridge });
  releasePanels(gpu, targets);
  const reach = await longestRow(gpu, rows);
  let others: Float64Array | null = null;
  if (validation) {
    const tests = await applyMetric(gpu, cut(validation.rows, plan.grid.starts[1]), validation.x, d, rowMetric);
    const scores = await predict(gpu, tests, fitted, await reachOf(gpu, kernel, reach, tests));
    others = Float64Array.from(scores);
    releasePanels(gpu, tests);
  }
  const predicted = { train: Float64Array.from(transposeHost(fitted.trainScores, outputs, n)), validation: others };
  const samples = samplesOf(agopSamples, n);
  const request: AgopRequest = {
    starts: [0, n],
    agop: path,
    samples: samples === null ? null : evenlySpaced(n, samples),
    reach: 2 * reach,
  };
  if (last) return { fitted, predicted, kernel, agop: null };
  const agop = async (): Promise<Metric> => {
    if (metricForm === 'diagonal') {
      const diagonal = await agopDiagonalOf(context, fitted, request);
      releaseFitted(gpu, fitted);
      return nextDiagonal(diagonal, metric);
    }
    const found = await agopOf(context, fitted, request);
    releaseFitted(gpu, fitted);
    releasePanels(gpu, rows);
    return nextFull(gpu, found, metric, kernel);
  };
  return { fitted, predicted, kernel, agop };
}

/**
 * How far apart rows and the rows of a fit may be, whose longest is `longest`. Where that is too far already for what `sumKernels`
 * does with rows that are close, the others are not measured.
 */
export const reachOf = async (gpu: Gpu, kernel: RadialKernel, longest: number, rows: Rows): Promise<number> =>
  kernel.coordinates || longest > kernel.excessReach * kernel.bandwidth
    ? longest
    : longest + (await longestRow(gpu, rows));

/** The bandwidth of a fit to these rows (n × d). */
export const bandwidthOf = async (gpu: Gpu, rows: Rows, family: KernelFamily, bandwidth: Bandwidth): Promise<number> =>
  'length' in bandwidth ? bandwidth.length : bandwidth.multiple * (await medianDistance(gpu, rows, family));

/**
 * Rows that a software adapter predicts at once where kernel values are stored: these then stay in the processor's caches
 * between passes. Of 30,000 rows, 3,000 centres and 64 features a prediction took a tenth to a fifth less than in tiles of 4,096 rows (lavapipe, two cores).
 */
const CACHED_ROWS = 1024;

/** What predictions of a fitted estimator take. */
export interface Predictor extends Pick<FittedEstimator, 'bandwidth' | 'metric' | 'alpha'> {
  family: KernelFamily;
  /** The rows it was fitted to, n × d. */
  centers: Float32Array;
  n: number;
  d: number;
  outputs: number;
}

/**
 * Predictions (rows × outputs) at rows x (rows × d), in tiles: of any number of rows.
 * @throws doesNotFit where the device cannot hold the rows it was fitted to.
 */
export async function predictEstimator(
  gpu: Gpu,
  { family: plain, bandwidth, metric, alpha, centers, n, d, outputs }: Predictor,
  x: Float32Array,
  memoryLimit: number | null = null,
): Promise<Float64Array> {
  const rows = x.length / d;
  const whole = estimatorSize(
    { n, d, outputs, testN: Math.min(rows, n) },
    { family: plain, metricForm: metric?.form ?? 'full', agop: 'auto', agopSamples: 0, solver: 'auto' },
  );
  // Of the plan only the tiles count: nothing is solved.
  const device = limitsOf(gpu, memoryLimit);
  const fits = (testN: number): boolean => isPlannable({ ...whole, testN, diagonal: true }, device);
  let atOnce = whole.testN;
  // Where the rows of a fit had room, a few rows more have.
  while (device.memoryBytes !== null && atOnce > 1 && !fits(atOnce)) atOnce = Math.ceil(atOnce / 2);
  if (device.memoryBytes !== null && !fits(atOnce)) {
    throw new RfmError(
      'doesNotFit',
      `predictions from ${n} training rows with ${d} features do not fit into ${device.memoryBytes} bytes of device memory`,
      say`use a larger ${the.memoryLimit}`,
    );
  }
  const plan = planRun({ ...whole, testN: atOnce, diagonal: true }, device);
  const restore = adopt(gpu, plan, memoryLimit);
  try {
    return await owning(gpu, async (gpu) => {
      const { family, rowMetric } = underMetric(gpu, plain, metric);
      const kernel = family.at(bandwidth);
      const own = await applyMetric(gpu, plan.grid, centers, d, rowMetric);
      const coefficients = transposeHost(alpha, n, outputs);
      const columns: Columns = uploadColumns(gpu, plan.grid, outputs, coefficients);
      const fitted = { system: { x: own, kernel, kept: null }, alpha: columns, coefficients };
      const reach = await longestRow(gpu, own);
      const out = new Float64Array(rows * outputs);
      const stored = !areSummedInOnePass(gpu, kernel, { n, d: own.tiles[0].cols, outputs });
      const cached = stored && gpu.adapter.type === 'software' ? CACHED_ROWS : rows;
      const most = Math.min(plan.grid.starts[1], cached, Math.max(1, atOnce));
      for (let first = 0; first < rows; first += most) {
        const count = Math.min(most, rows - first);
        const part = x.subarray(first * d, (first + count) * d);
        const tests = await applyMetric(gpu, cut(count, most), part, d, rowMetric);
        const scores = await predict(gpu, tests, fitted, await reachOf(gpu, kernel, reach, tests));
        out.set(scores, first * outputs);
        releasePanels(gpu, tests);
      }
      return out;
    });
  } finally {
    restore();
  }
}
