/** How long a fit of the estimator will take, from fits to some of its rows that are timed on the adapter. */

import { RfmError } from '../errors.js';
import { agopFlops } from '../ops/agop/agop.js';
import { choleskyWork } from '../ops/cholesky/cholesky.js';
import { kernelMatrixWork } from '../ops/kernel-matrix/kernel-matrix.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { solveFlops } from '../ops/solve/solve.js';
import { pivotedFlops } from '../ops/sqrt-psd/pivoted-cholesky.js';
import { rootFlops } from '../ops/sqrt-psd/sqrt-psd.js';
import { releasePanels, tileCount } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import { owning } from '../runtime/owning.js';
import { measureRates } from './estimate.js';
import {
  bandwidthOf,
  type EstimatorData,
  type EstimatorOptions,
  estimatorSize,
  fitEstimator,
  planEstimator,
} from './estimator.js';
import { applyMetric } from './estimator-metric.js';
import { MEDIAN_ROWS } from './median-distance.js';
import { agopPlanOf, type DeviceLimits, limitsOf, type RunPlan } from './plan.js';
import { leafData } from './tree-grow.js';

/** Seconds of fits, without the compilation of shaders. */
export interface FitSeconds {
  /** Of a fit that M is learned from, and of the last one, from which none is. */
  update: number;
  last: number;
}

/** Rows that fits are timed on: enough for whole tiles. */
const PROBE = { software: 1024, hardware: 4096 } as const;

/**
 * Measures how long fits to all rows will take. Fits to as many rows as there are, or to some evenly spaced ones, are timed; what is
 * beyond them follows from the operations: of the factorisation by its rate, of all else by pairs of rows.
 * @returns null where fits to these rows have no solution.
 */
export async function measureFits(
  gpu: Gpu,
  data: EstimatorData,
  options: EstimatorOptions,
): Promise<FitSeconds | null> {
  const some = partOf(data, PROBE[gpu.adapter.type]);
  const timed = await timeFits(gpu, some, options).catch((error: unknown) => {
    if (error instanceof RfmError && error.kind === 'input') return null;
    throw error;
  });
  if (timed === null || some.n === data.n) return timed;
  const median = await timeMedian(gpu, some, options);
  const { product, cholesky } = await measureRates(gpu, data.n);
  const rates = { product, column: (choleskyWork(data.n).flops * (1 / cholesky - 1 / product)) / data.n };
  const limits = limitsOf(gpu, options.memoryLimit);
  const [from, to] = [some, data].map((rows) => workOf(limits, rows, options, rates));
  return extrapolated(timed, median, from, to);
}

/**
 * Seconds of fits to all rows from those of fits to some.
 * @param median seconds that the bandwidth of a fit to some takes.
 */
export function extrapolated(timed: FitSeconds, median: number, from: FitWork, to: FitWork): FitSeconds {
  const grown = (seconds: number, part: 'update' | 'last'): number => {
    const apart = (work: FitWork): number => work.factor + (part === 'update' ? work.root : 0);
    const rest = Math.max(0, seconds - apart(from) - median) * (to[part] / from[part]);
    return apart(to) + median * (to.medians / from.medians) + rest;
  };
  return { update: grown(timed.update, 'update'), last: grown(timed.last, 'last') };
}

/** Evenly spaced rows, so many at most, and of those to score by the same share. */
function partOf(data: EstimatorData, most: number): EstimatorData {
  const { n, validation } = data;
  if (n <= most) return data;
  const held = validation ? Math.max(1, Math.round((validation.rows * most) / n)) : 0;
  return leafData(data, {
    train: Int32Array.from(evenlySpaced(n, most)),
    held: Int32Array.from(evenlySpaced(validation?.rows ?? 0, held)),
    moved: new Int32Array(0),
  });
}

/** Seconds of the second fit and of a last one; the first compiles. */
async function timeFits(gpu: Gpu, data: EstimatorData, options: EstimatorOptions): Promise<FitSeconds> {
  const ends: number[] = [];
  await fitEstimator(
    gpu,
    data,
    { ...options, iterations: 2, patience: 0 },
    {
      score: null,
      onIteration() {
        ends.push(performance.now() / 1000 - gpu.compiling.seconds);
      },
    },
  );
  return { update: ends[1] - ends[0], last: ends[2] - ends[1] };
}

/** Seconds that the bandwidth of a fit takes. */
const timeMedian = (outer: Gpu, data: EstimatorData, options: EstimatorOptions): Promise<number> =>
  owning(outer, async (gpu) => {
    const { family, bandwidth } = options;
    const { grid } = planEstimator(data, options, limitsOf(gpu, options.memoryLimit));
    const rows = await applyMetric(gpu, grid, data.x, data.d, null);
    const started = performance.now();
    await bandwidthOf(gpu, rows, family, bandwidth);
    const seconds = (performance.now() - started) / 1000;
    releasePanels(gpu, rows);
    return seconds;
  });

/** Adding a product to a residual in two floats, for each of the residuals of a solve; see residual.ts. */
const RESIDUALS = 3 * 75;

/** Products a second, and seconds that a column of a factorisation takes beside them. */
export interface FactorRates {
  product: number;
  column: number;
}

/** What a fit consists of: seconds of the factorisation and of the root of M, and what grows with pairs of rows. */
export interface FitWork {
  factor: number;
  root: number;
  /** Pairs whose distances the host sorts. */
  medians: number;
  /** Operations of a fit that M is learned from, and of the last one, beside these. */
  update: number;
  last: number;
}

/** The parts of fits to rows (n × d) on a device. */
export function workOf(
  limits: DeviceLimits,
  data: EstimatorData,
  options: EstimatorOptions,
  { product, column }: FactorRates,
): FitWork {
  const { n, d, outputs } = data;
  const testN = data.validation?.rows ?? 0;
  const plan: RunPlan = planEstimator(data, options, limits);
  const size = estimatorSize({ n, d, outputs, testN }, options);
  const { coordinates } = options.family.at(1);
  const solve = solveFlops(data, plan.solve, plan.keepDistances);
  const kept = plan.keepDistances ? (tileCount(plan.grid) === 1 ? 'whole' : 'tiles') : 'none';
  const agop = agopFlops(data, agopPlanOf(size, plan), kept);
  // A distance is a difference, a product and a sum; by coordinates each of these is so many operations.
  const dear = coordinates ? coordinates.operations / 3 : 1;
  const own = plan.keepDistances ? kernelMatrixWork(n, d).flops : 0;
  const last = dear * (own + solve.distance + 3 * testN * n * d) + solve.product + RESIDUALS * n * n * outputs;
  // By coordinates the gradients themselves are of differences.
  const learned = coordinates ? dear * agop.product + agop.distance : agop.product + agop.distance;
  const rank = Math.min(d, n);
  const root = coordinates ? rootFlops(d, rank) : pivotedFlops(d, rank);
  return {
    factor: solve.cholesky === undefined ? 0 : solve.cholesky / product + n * column,
    root: options.metricForm === 'diagonal' ? 0 : root / product,
    medians: Math.min(n, MEDIAN_ROWS) ** 2,
    ...{ last, update: last + learned },
  };
}
