/** Operations of a layer, and how long they will take by rates that were measured on the adapter. */

import { gramIsCheaper } from '../ops/agop/agop.js';
import { allocateFactor, choleskyWork, potrf, releaseFactor, trsmWork } from '../ops/cholesky/cholesky.js';
import { addDiagonal } from '../ops/elementwise/elementwise.js';
import { featuresWork, philoxFill } from '../ops/features/features.js';
import { philoxCauchy } from '../ops/features/philox.js';
import { gemm, squaredDistances } from '../ops/gemm/gemm.js';
import { rootFlops } from '../ops/sqrt-psd/sqrt-psd.js';
import { agopGramWork, agopJacobianWork, kernelMatrixWork } from '../ops/work.js';
import { runBatch } from '../runtime/batch.js';
import { raiseClock } from '../runtime/clock.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, release } from '../runtime/matrix.js';
import type { ProblemSize, RunPlan } from './plan.js';
import type { LayerMetrics } from './types.js';

/** Operations a second, of the three kinds that a layer's time on the device goes into, and what the host adds. */
export interface Rates extends DeviceRates {
  /** Weights of cosine features, which the host draws while the device waits. */
  weight: number;
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
/** Operations of each phase by the rate they run at. */
type Operations = Record<keyof Phases, Partial<Record<keyof DeviceRates, number>>>;

/** Products with the kernel matrix that a solve by conjugate gradients is taken to need. */
const USUAL_ITERATIONS = 40;
/** Residuals of a solve: of the first solution and of one or two refinements. */
const USUAL_RESIDUALS = 3;
/** Rows from which on the Gram form's terms are taken to cancel too much (34 times their sum at 10,000 CIFAR-10 images, 3 times at 1,000). */
const USUAL_GRAM_ROWS = 2000;

/** Floating-point operations of a layer with d features; the AGOP is taken to have full rank. */
function operationsOf(
  { n, testN, outputs, width, agopSamples, agop }: ProblemSize,
  d: number,
  plan: RunPlan,
): Operations {
  const all = kernelMatrixWork(n, d).flops;
  const { method } = plan.solve;
  const fills = plan.keepDistances ? 0 : 1 + USUAL_RESIDUALS;
  const substitutions = 2 * USUAL_RESIDUALS * trsmWork(n, outputs).flops;
  const iterative = method === 'conjugate-gradients';
  const landmarks = plan.solve.method === 'conjugate-gradients' ? plan.solve.landmarks : 0;
  const rows = agopSamples ?? n;
  const gram =
    plan.gram && agopSamples === null && (agop === 'gram' || (n < USUAL_GRAM_ROWS && gramIsCheaper(n, d, outputs)));
  const whole = plan.keepDistances && plan.grid.starts.length === 2;
  const rank = Math.min(d, n * outputs);
  return {
    kernel: { distance: (plan.keepDistances ? all : 0) + 3 * testN * n * d, product: 2 * testN * n * outputs },
    solve: iterative
      ? {
          distance: all * (USUAL_ITERATIONS + USUAL_RESIDUALS) + 3 * n * landmarks * d,
          product: USUAL_ITERATIONS * 2 * n * (n + 4 * landmarks) * outputs + 2 * n * landmarks * landmarks,
        }
      : { distance: all * fills, product: substitutions, cholesky: choleskyWork(n).flops },
    agop: gram
      ? { product: 2 * agopGramWork(n, d, outputs).flops, distance: plan.keepDistances ? 0 : all }
      : { product: agopJacobianWork(n, d, outputs, rows).flops, distance: whole ? 0 : 3 * rows * n * d },
    sqrt: { product: rootFlops(d, rank) },
    features: { product: featuresWork(n + testN, d, width || d).flops + 2 * (n + testN) * d * d },
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
  /** Sum of the seconds. */
  total: number;
}

/** The first layer, and where there are more, what each of them takes. */
export function estimateLayers(size: ProblemSize, depth: number, plan: RunPlan, rates: Rates): LayerEstimate[] {
  return [size.d, ...(depth > 1 ? [size.width || size.d] : [])].map((features) => {
    const operations = operationsOf(size, features, plan);
    const seconds = secondsOf(operations, rates);
    if (size.cosine) seconds.features += ((size.width || features) * features) / rates.weight;
    const total = Object.values(seconds).reduce((sum, value) => sum + value, 0);
    return { features, operations: sumOf(operations), seconds, total };
  });
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

/**
 * Measures the rates on an idle adapter, for a layer of n rows: the fastest of three runs each, after one that compiles.
 * What a factorisation takes beyond its products, block after block, grows with n and not with its operations.
 */
export async function measureRates(gpu: Gpu, n: number): Promise<Rates> {
  const rows = PROBE[gpu.adapter.type];
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
    };
  } finally {
    releaseFactor(gpu, factor);
    release(gpu, a, out, factored);
    gpu.pool.trim();
  }
}
