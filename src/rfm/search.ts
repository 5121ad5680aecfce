/** Search for the settings of an estimator by validation: one trial tries all ridges of a kernel with one factorisation a fit. */

import { RfmError } from '../errors.js';
import { philoxUniform } from '../ops/features/philox.js';
import { transposeHost } from '../ops/host-rows.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { ridgePath } from '../ops/solve/ridge-path.js';
import { cut, releasePanels, uploadColumns } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import { owning } from '../runtime/owning.js';
import { agopDiagonalOf, agopOf } from './agop.js';
import { createClock, type LayerContext } from './context.js';
import {
  bandwidthOf,
  type EstimatorData,
  type EstimatorOptions,
  estimatorSize,
  exhausted,
  type IterationReport,
  reachOf,
  samplesOf,
} from './estimator.js';
import { applyMetric, type Metric, nextDiagonal, nextFull, underMetric } from './estimator-metric.js';
import { adopt, limitsOf, planRun } from './plan.js';
import { predict } from './predictions.js';
import { longestRow } from './rfm.js';

export interface TrialResult {
  /** The best score of all fits and ridges. */
  score: number;
  /** Updates of M before the fit that had it. */
  iteration: number;
  /** The best ridge of each fit up to that one: M was learned with these. */
  ridges: number[];
  /** The best score of each fit. */
  scores: number[];
}

/**
 * A trial: in each iteration all `ridges` are tried, the best by `score` (smaller is better) of predictions at the validation rows
 * (rows × outputs) is taken, and M is learned with it. Solutions have no refinement: a fit with the ridges it returns has.
 * @throws input error, or doesNotFit, as `fitEstimator` does.
 */
export async function searchTrial(
  gpu: Gpu,
  data: EstimatorData,
  options: EstimatorOptions,
  ridges: readonly number[],
  score: (predictions: Float64Array) => number,
): Promise<TrialResult> {
  // All ridges are outputs of one predictor.
  const stacked = { ...data, outputs: data.outputs * ridges.length, testN: data.validation?.rows ?? 0 };
  const size = estimatorSize(stacked, { ...options, solver: 'cholesky' });
  const plan = planRun({ ...size, solves: 'many' }, limitsOf(gpu, options.memoryLimit));
  const restore = adopt(gpu, plan, options.memoryLimit);
  const clock = createClock(gpu);
  const reports: Pick<IterationReport, 'score'>[] = [];
  const chosen: number[] = [];
  let metric: Metric = null;
  try {
    while (reports.length <= options.iterations && !exhausted(reports, options.patience)) {
      const last = reports.length === options.iterations;
      await owning(gpu, async (scope) => {
        const own = { data, options, ridges, score, metric, last };
        const found = await fitAll({ gpu: scope, plan, clock }, own);
        reports.push({ score: found.score });
        chosen.push(found.ridge);
        metric = found.metric;
      });
    }
  } finally {
    restore();
  }
  const scores = reports.map((report) => report.score ?? Number.NaN);
  const iteration = scores.indexOf(Math.min(...scores));
  if (iteration < 0) throw new RfmError('internal', 'a trial has no score');
  return { score: scores[iteration], iteration, ridges: chosen.slice(0, iteration + 1), scores };
}

interface TrialFit {
  data: EstimatorData;
  options: EstimatorOptions;
  ridges: readonly number[];
  score: (predictions: Float64Array) => number;
  metric: Metric;
  last: boolean;
}

/** A fit with each ridge, the best of them, and the M that it learns. */
async function fitAll(
  { gpu, plan, clock }: LayerContext,
  { data, options, ridges, score, metric, last }: TrialFit,
): Promise<{ score: number; ridge: number; metric: Metric }> {
  const { x, n, d, y, outputs, validation } = data;
  const { bandwidth, metricForm, agop, agopSamples } = options;
  if (!validation) throw new RfmError('internal', 'a trial needs rows to score by');
  const { family, rowMetric } = underMetric(gpu, options.family, metric);
  const rows = await applyMetric(gpu, plan.grid, x, d, rowMetric);
  const kernel = family.at(await bandwidthOf(gpu, rows, family, bandwidth));
  const system = { x: rows, kernel, kept: null };
  const targets = uploadColumns(gpu, plan.grid, outputs, transposeHost(y, n, outputs));
  const place = plan.solve.method === 'cholesky-host' ? 'host' : 'device';
  const { solutions } = await ridgePath(gpu, system, targets, ridges, place);
  releasePanels(gpu, targets);
  const coefficients = new Float64Array(ridges.length * outputs * n);
  solutions.forEach((alpha, r) => {
    coefficients.set(alpha, r * outputs * n);
  });
  const alpha = uploadColumns(gpu, plan.grid, ridges.length * outputs, coefficients);
  const tests = await applyMetric(gpu, cut(validation.rows, plan.grid.starts[1]), validation.x, d, rowMetric);
  const reach = await longestRow(gpu, rows);
  const all = await predict(gpu, tests, { system, alpha, coefficients }, await reachOf(gpu, kernel, reach, tests));
  releasePanels(gpu, tests, alpha);
  const scores = ridges.map((_, r) => {
    const own = Float64Array.from(
      { length: outputs * validation.rows },
      (_, e) => all[(Math.floor(e / outputs) * ridges.length + r) * outputs + (e % outputs)],
    );
    const value = score(own);
    return Number.isFinite(value) ? value : Number.POSITIVE_INFINITY;
  });
  const best = scores.indexOf(Math.min(...scores));
  if (last) return { score: scores[best], ridge: ridges[best], metric };
  const samples = samplesOf(agopSamples, n);
  const request = {
    starts: [0, n],
    agop,
    samples: samples === null ? null : evenlySpaced(n, samples),
    reach: 2 * reach,
  };
  const fitted = { system, alpha: uploadColumns(gpu, plan.grid, outputs, solutions[best]) };
  const context = { gpu, plan, clock };
  const next =
    metricForm === 'diagonal'
      ? nextDiagonal(await agopDiagonalOf(context, fitted, request), metric)
      : await nextFull(gpu, await agopOf(context, fitted, request), metric, kernel);
  return { score: scores[best], ridge: ridges[best], metric: next };
}

/** Streams of random numbers of a seed; see split.ts. */
const SEARCH_STREAM = 4;

/**
 * Point i, from 0 on, of a sequence that fills the unit cube of some dimensions evenly: Roberts' additive recurrence with the
 * generalised golden ratio (2018), shifted by numbers from the seed (Cranley and Patterson).
 */
export function lowDiscrepancy(i: number, dimensions: number, seed: number): number[] {
  // g > 1 with g^(dimensions + 1) = g + 1.
  let g = 2;
  for (let step = 0; step < 60; step++) g = (1 + g) ** (1 / (dimensions + 1));
  const shift = philoxUniform(dimensions, 0, SEARCH_STREAM, seed);
  return Array.from({ length: dimensions }, (_, k) => (shift[k] + (i + 1) * g ** -(k + 1)) % 1);
}
