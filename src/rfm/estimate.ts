/** Operations of a layer, and how long they will take by rates that were measured on the adapter. */

import { agopFlops } from '../ops/agop/agop.js';
import { allocateFactor, choleskyWork, potrf, releaseFactor } from '../ops/cholesky/cholesky.js';
import { addDiagonal, copyScaled } from '../ops/elementwise/elementwise.js';
import { featuresWork, philoxFill } from '../ops/features/features.js';
import { philoxCauchy } from '../ops/features/philox.js';
import { gemm, gemmWork, squaredDistances } from '../ops/gemm/gemm.js';
import { kernelMatrixWork } from '../ops/kernel-matrix/kernel-matrix.js';
import { solveFlops } from '../ops/solve/solve.js';
import { rootFlops } from '../ops/sqrt-psd/sqrt-psd.js';
import { runBatch, sendBatch } from '../runtime/batch.js';
import { raiseClock } from '../runtime/clock.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, release } from '../runtime/matrix.js';
import { agopPlanOf, type ProblemSize, type RunPlan } from './plan.js';
import type { LayerMetrics } from './types.js';

/** Operations a second, of the three kinds that a layer's time on the device goes into, and what the host adds. */
export interface Rates extends DeviceRates {
  /** Weights of cosine features, which the host draws while the device waits. */
  weight: number;
  /** Seconds from a command to its result on the host, which is nearly all that layers of few rows take. */
  trip: number;
}

interface DeviceRates {
  /** Matrix products. */
  product: number;
  /** Squared distances, from differences. */
  distance: number;
  /** The Cholesky factorisation. */
  cholesky: number;
}

type Phases = Omit<LayerMetrics['seconds'], 'total' | 'compilation' | 'metrics'>;
const PHASES = ['kernel', 'solve', 'agop', 'sqrt', 'features'] as const satisfies readonly (keyof Phases)[];
/** Operations of each phase by the rate they run at. */
type Operations = Record<keyof Phases, Partial<Record<keyof DeviceRates, number>>>;

/**
 * Floating-point operations of a layer with d features. The gradients lie in the span of the n rows, so an AGOP whose rank is
 * not known is taken to have min(d, n).
 */
function operationsOf(size: ProblemSize, d: number, plan: RunPlan, rank = Math.min(d, size.n)): Operations {
  const { n, testN, outputs, width } = size;
  const sizes = { n, d, outputs };
  const { keepDistances } = plan;
  const kept = keepDistances ? (plan.grid.starts.length === 2 ? 'whole' : 'tiles') : 'none';
  const distance = (keepDistances ? kernelMatrixWork(n, d).flops : 0) + 3 * testN * n * d;
  return {
    kernel: { distance, product: gemmWork(testN, outputs, n).flops },
    solve: solveFlops(sizes, plan.solve, keepDistances),
    agop: agopFlops(sizes, agopPlanOf(size, plan), kept),
    sqrt: { product: rootFlops(d, rank) },
    features: { product: featuresWork(n + testN, d, width || d).flops + gemmWork(n + testN, d, d).flops },
  };
}

const total = (parts: Partial<Record<keyof DeviceRates, number>>): number =>
  Object.values(parts).reduce((sum, value) => sum + value, 0);

const sumOf = (operations: Operations): number =>
  Object.values(operations).reduce((sum, parts) => sum + total(parts), 0);

/** Seconds of each phase. */
function secondsOf(operations: Operations, rates: DeviceRates): Record<keyof Phases, number> {
  return Object.fromEntries(
    Object.entries(operations).map(([phase, parts]) => [
      phase,
      Object.entries(parts).reduce((sum, [kind, flops]) => sum + flops / rates[kind as keyof DeviceRates], 0),
    ]),
  ) as Record<keyof Phases, number>;
}

export interface LayerEstimate {
  features: number;
  operations: number;
  seconds: Record<keyof Phases, number>;
  /** Seconds of commands and their results beside them. */
  trips: number;
  /** Sum of the seconds. */
  total: number;
}

/** What a layer takes beside its computation, in round trips to the device. */
const TRIPS = 160;

/** A layer with so many features; `rank` is that of its AGOP, where it is known. */
function estimateLayer(size: ProblemSize, features: number, plan: RunPlan, rates: Rates, rank?: number): LayerEstimate {
  const operations = operationsOf(size, features, plan, rank);
  const seconds = secondsOf(operations, rates);
  if (size.cosine) seconds.features += ((size.width || features) * features) / rates.weight;
  const trips = TRIPS * rates.trip;
  const total = Object.values(seconds).reduce((sum, value) => sum + value, trips);
  return { features, operations: sumOf(operations), seconds, trips, total };
}

/** The first layer, and where there are more, what each of them takes. */
export const estimateLayers = (size: ProblemSize, depth: number, plan: RunPlan, rates: Rates): LayerEstimate[] =>
  [size.d, ...(depth > 1 ? [size.width || size.d] : [])].map((features) => estimateLayer(size, features, plan, rates));

/** Rates of no adapter in particular: where two layers on one adapter are compared, only their proportions count. */
const USUAL: Rates = { product: 4e10, distance: 2e10, cholesky: 1e10, weight: 2.5e7, trip: 0 };

/**
 * Seconds that each layer after the first will take, from what the first one took: phase by phase, by the operations of the
 * two. They may have far fewer features, and an AGOP of smaller rank. Compilation is in neither.
 * @param size of the run, of finite width.
 */
export function laterLayerSeconds(
  size: ProblemSize,
  plan: RunPlan,
  { agop, seconds }: Pick<LayerMetrics, 'agop' | 'seconds'>,
): number {
  const { d } = size;
  const width = size.width || d;
  const rank = Math.min(d, agop.rank ?? size.n);
  const first = estimateLayer(size, d, plan, USUAL, rank).seconds;
  const later = estimateLayer(size, width, plan, USUAL, Math.min(width, rank)).seconds;
  // Most of it are the largest eigenvalues, from products with the d × d root.
  const measured = seconds.metrics * (width / d) ** 2;
  return PHASES.reduce((sum, phase) => sum + seconds[phase] * (later[phase] / first[phase]), measured);
}

/** Of a run of `depth` layers, from `estimateLayers`. */
export const totalOf = (
  [first, other]: readonly LayerEstimate[],
  depth: number,
): Pick<LayerEstimate, 'operations' | 'total'> => ({
  operations: first.operations + (depth - 1) * (other?.operations ?? 0),
  total: first.total + (depth - 1) * (other?.total ?? 0),
});

/** Rows of the matrices that rates are measured on: large enough for full tiles, a fraction of a second. */
const PROBE = { software: 1024, hardware: 2048 } as const;
const REPEATS = 3;
/** Weights that the host's rate is measured on: a hundredth of a second. */
const PROBE_WEIGHTS = 2 ** 18;

/** Weights of cosine features that the host draws in a second. */
function weightRate(): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= REPEATS; i++) {
    const started = performance.now();
    philoxCauchy(PROBE_WEIGHTS, 0, 0, 0, 1);
    best = Math.min(best, performance.now() - started);
  }
  return PROBE_WEIGHTS / (best / 1000);
}

/** Seconds from a command to its result, the median of a few. */
async function roundTrip(gpu: Gpu): Promise<number> {
  const [one, two] = [allocate(gpu, 1, 1), allocate(gpu, 1, 1)];
  const times: number[] = [];
  for (let i = 0; i < 7; i++) {
    const started = performance.now();
    await sendBatch(gpu, (batch) => copyScaled(batch, one, two));
    await download(gpu, two);
    times.push((performance.now() - started) / 1000);
  }
  release(gpu, one, two);
  return times.sort((a, b) => a - b)[3];
}

/**
 * Measures the rates on an idle adapter, for a layer of n rows: the fastest of three runs each, after one that compiles.
 * What a factorisation takes beyond its products, block after block, grows with n and not with its operations.
 * @param rows of the matrices to measure on: fewer are sooner done, and show lower rates.
 */
export async function measureRates(gpu: Gpu, n: number, rows: number = PROBE[gpu.adapter.type]): Promise<Rates> {
  const [a, out, factored] = [1, 2, 3].map(() => allocate(gpu, rows, rows));
  const factor = allocateFactor(gpu, factored);
  const fastest = async (record: Parameters<typeof runBatch>[1]): Promise<number> => {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i <= REPEATS; i++) {
      const seconds = await runBatch(gpu, record);
      if (i > 0) best = Math.min(best, seconds);
    }
    return best;
  };
  try {
    const values = { signed: true, scale: 1 / rows };
    await runBatch(gpu, (batch) => philoxFill(batch, a, { seed: 1, layer: 0, stream: 3 }, values));
    await raiseClock(gpu, (batch) => gemm(batch, { a, b: a, out }));
    const product = (2 * rows ** 3) / (await fastest((batch) => gemm(batch, { a, b: a, out })));
    const distance = await fastest((batch) => squaredDistances(batch, a, a, out));
    const copy = await fastest((batch) => addDiagonal(batch, out, factored, 1));
    const cholesky = await fastest((batch) => {
      addDiagonal(batch, out, factored, rows);
      potrf(batch, factor);
    });
    const probed = choleskyWork(rows).flops / product;
    const column = Math.max(cholesky - copy - probed, 0) / rows;
    const { flops } = choleskyWork(n);
    return {
      product,
      distance: kernelMatrixWork(rows, rows).flops / distance,
      cholesky: flops / (flops / product + n * column),
      weight: weightRate(),
      trip: await roundTrip(gpu),
    };
  } finally {
    releaseFactor(gpu, factor);
    release(gpu, a, out, factored);
    gpu.pool.trim();
  }
}
