import { agopCancellation, agopGram, agopJacobian, chooseAgopPath } from '../ops/agop.js';
import { collapseTraces } from '../ops/collapse.js';
import { topEigenvalues } from '../ops/eigenvalues.js';
import { divideByRoot } from '../ops/elementwise.js';
import { applyFeatures, type FeatureMap } from '../ops/features.js';
import { gemm, squaredDistances } from '../ops/gemm.js';
import { kernelFromDistances, weightsFromDistances } from '../ops/kernel-matrix.js';
import { type SolveReport, solveRidge } from '../ops/solve.js';
import { diagonalMaximum, sqrtPsd } from '../ops/sqrt-psd.js';
import { runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import type { AgopPath, KernelName, LayerMetrics } from './types.js';

export type Phase = keyof Omit<LayerMetrics['seconds'], 'total'>;

/** Called as each phase begins; may throw to stop. */
export type OnPhase = (phase: Phase) => void;

/** Times phases of one layer. */
export function createClock(onPhase: OnPhase = () => {}) {
  const seconds = { kernel: 0, solve: 0, agop: 0, sqrt: 0, features: 0, metrics: 0, total: 0 };
  return {
    seconds,
    async phase<T>(name: Phase, work: () => Promise<T>): Promise<T> {
      onPhase(name);
      const started = performance.now();
      try {
        return await work();
      } finally {
        const elapsed = (performance.now() - started) / 1000;
        seconds[name] += elapsed;
        seconds.total += elapsed;
      }
    },
  };
}
export type Clock = ReturnType<typeof createClock>;

export interface FittedKernel {
  /** n × n kernel matrix. */
  k: Matrix;
  /** n × n squared distances. */
  squared: Matrix;
  /** outputs × n: α transposed. */
  alpha: Matrix;
  solve: SolveReport;
}

/** Kernel ridge regression on the rows of x: α = (K + λI)⁻¹ Y. y is outputs × n (transposed). Holds three n × n matrices. */
export async function fitKernel(
  gpu: Gpu,
  x: Matrix,
  y: Matrix,
  options: { kernel: KernelName; bandwidth: number; ridge: number },
  clock: Clock,
): Promise<FittedKernel> {
  const n = x.rows;
  const { kernel, bandwidth, ridge } = options;
  const squared = allocate(gpu, n, n);
  const low = allocate(gpu, n, n);
  const k = allocate(gpu, n, n);
  const alpha = allocate(gpu, y.rows, n);
  try {
    await clock.phase('kernel', () => runBatch(gpu, (batch) => squaredDistances(batch, x, x, squared, low)));
    const solve = await clock.phase('solve', async () => {
      // The factor is not needed after the solve: the kernel matrix takes its place.
      const report = await solveRidge(gpu, { squared, low, kernel, bandwidth }, y, alpha, ridge, k);
      await runBatch(gpu, (batch) => kernelFromDistances(batch, squared, k, kernel, bandwidth));
      return report;
    });
    return { k, squared, alpha, solve };
  } catch (error) {
    release(gpu, squared, k, alpha);
    throw error;
  } finally {
    release(gpu, low);
  }
}

export interface AgopReport {
  path: AgopPath;
  cancellation: number;
}

/** AGOP = out + low (d × d, not divided by its maximum) of the fitted predictor at its centres; starts: first row of each class, then n. */
export async function agopOf(
  gpu: Gpu,
  x: Matrix,
  fitted: FittedKernel,
  starts: readonly number[],
  options: { kernel: KernelName; bandwidth: number; agop: AgopPath | 'auto' },
  out: Matrix,
  low: Matrix,
  clock: Clock,
): Promise<AgopReport> {
  return clock.phase('agop', async () => {
    const weights = allocate(gpu, x.rows, x.rows);
    try {
      await runBatch(gpu, (batch) =>
        weightsFromDistances(batch, fitted.squared, weights, options.kernel, options.bandwidth),
      );
      const input = { x, alpha: fitted.alpha, weights, starts };
      const cancellation = await agopCancellation(gpu, input);
      const path =
        options.agop === 'auto' ? chooseAgopPath(x.rows, x.cols, fitted.alpha.rows, cancellation) : options.agop;
      if (path === 'gram') await runBatch(gpu, (batch) => agopGram(batch, input, out, low));
      else await agopJacobian(gpu, input, out, low);
      return { path, cancellation };
    } finally {
      release(gpu, weights);
    }
  });
}

const TOP_EIGENVALUES = 16;

/** root = (M / max M)^{1/2} for the AGOP M = m + low, its rank, and the largest eigenvalues of M / max M. */
export async function agopRoot(
  gpu: Gpu,
  m: Matrix,
  low: Matrix,
  root: Matrix,
  clock: Clock,
): Promise<{ rank: number; topEigenvalues: number[] }> {
  const unscaled = allocate(gpu, m.rows, m.cols);
  try {
    const { rank } = await clock.phase('sqrt', async () => {
      const report = await sqrtPsd(gpu, m, unscaled, low);
      await runBatch(gpu, (batch) => {
        const maximum = batch.temporary(1, 1);
        diagonalMaximum(batch, m, maximum);
        divideByRoot(batch, unscaled, maximum, root);
      });
      return report;
    });
    const values = await clock.phase('metrics', () => topEigenvalues(gpu, root, TOP_EIGENVALUES));
    return { rank, topEigenvalues: values };
  } finally {
    release(gpu, unscaled);
  }
}

/** mx (n × d) = X M^{1/2}, features (n × width) = φ(mx Wᵀ). */
export async function projectRows(
  gpu: Gpu,
  x: Matrix,
  root: Matrix,
  map: FeatureMap,
  mx: Matrix,
  features: Matrix,
  clock: Clock,
): Promise<void> {
  await clock.phase('features', () =>
    runBatch(gpu, (batch) => {
      gemm(batch, { a: x, b: root, out: mx });
      applyFeatures(batch, mx, map, features);
    }),
  );
}

/** NC1 and NC2 of rows in class order; starts: first row of each (non-empty) class, then the number of rows. */
export async function neuralCollapse(
  gpu: Gpu,
  x: Matrix,
  starts: readonly number[],
): Promise<{ nc1: number; nc2: number }> {
  const results = allocate(gpu, 1, 4);
  try {
    await runBatch(gpu, (batch) => collapseTraces(batch, x, starts, results));
    const [within, between, nc2] = await download(gpu, results);
    return { nc1: within / between, nc2 };
  } finally {
    release(gpu, results);
  }
}

/** NC1 and NC2 at the three stages of a layer. */
export async function stageMetrics(
  gpu: Gpu,
  stages: { input: Matrix; agop: Matrix; features: Matrix },
  starts: readonly number[],
  clock: Clock,
): Promise<Pick<LayerMetrics, 'nc1' | 'nc2'>> {
  return clock.phase('metrics', async () => {
    const input = await neuralCollapse(gpu, stages.input, starts);
    const agop = await neuralCollapse(gpu, stages.agop, starts);
    const features = await neuralCollapse(gpu, stages.features, starts);
    return {
      nc1: { input: input.nc1, agop: agop.nc1, features: features.nc1 },
      nc2: { input: input.nc2, agop: agop.nc2, features: features.nc2 },
    };
  });
}

/** Predictions Σ_j α_j k(·, x_j), transposed: outputs × m from α (outputs × n) and kernel values (m × n). */
export async function predict(gpu: Gpu, alpha: Matrix, k: Matrix): Promise<Float32Array> {
  const out = allocate(gpu, alpha.rows, k.rows);
  try {
    await runBatch(gpu, (batch) => gemm(batch, { a: alpha, b: k, out }));
    return await download(gpu, out);
  } finally {
    release(gpu, out);
  }
}

/** Share of columns of `scores` (outputs × n) whose largest entry is the label; with one output its sign decides. */
export function accuracy(scores: Float32Array, labels: Int32Array): number {
  const n = labels.length;
  const outputs = scores.length / n;
  let correct = 0;
  for (let i = 0; i < n; i++) {
    let best = 0;
    if (outputs === 1) best = scores[i] > 0 ? 1 : 0;
    else for (let c = 1; c < outputs; c++) if (scores[c * n + i] > scores[best * n + i]) best = c;
    if (best === labels[i]) correct++;
  }
  return correct / n;
}
