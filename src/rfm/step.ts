import { inputError } from '../errors.js';
import type { AgopPath } from '../ops/agop/agop.js';
import { agopCancellation, agopGram, agopJacobian, chooseAgopPath, MAX_CANCELLATION } from '../ops/agop/agop.js';
import type { SampledAgop } from '../ops/agop/agop-jacobian.js';
import { gradientsAreRounding } from '../ops/agop/agop-rounding.js';
import type { Weights } from '../ops/agop/gradients.js';
import { addRow, divideByRoot } from '../ops/elementwise/elementwise.js';
import { applyFeatures, type FeatureMap, meanRounding } from '../ops/features/features.js';
import { gemm } from '../ops/gemm/gemm.js';
import { kernelExcess, kernelMatrix, weightsFromDistances } from '../ops/kernel-matrix/kernel-matrix.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import {
  forEachDistanceTile,
  type KernelSystem,
  keepDistances,
  nearestDistance,
  releaseDistances,
  releaseLow,
} from '../ops/solve/kernel-system.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import { type SolveReport, solveRidge } from '../ops/solve/solve.js';
import { topEigenvalues } from '../ops/sqrt-psd/eigenvalues.js';
import {
  diagonalMaximum,
  type PivotedFactor,
  pivotedCholesky,
  RANK_TOLERANCE,
  rootOfFactor,
} from '../ops/sqrt-psd/sqrt-psd.js';
import { allocateCollapse, type Collapse, collapseTraces, readCollapse } from '../ops/statistics/collapse.js';
import {
  allocateColumns,
  allocateTriangle,
  type Columns,
  downloadColumns,
  gatherRows,
  type Rows,
  releasePanels,
  type StoredTriangle,
  tileCount,
} from '../ops/tiles.js';
import { finish, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import type { LayerPlan } from './plan.js';
import type { LayerMetrics } from './types.js';

export type Phase = keyof Omit<LayerMetrics['seconds'], 'total' | 'compilation'>;

/** Called as each phase begins; may throw to stop. */
export type OnPhase = (phase: Phase) => void;

/**
 * Times phases of one layer. A phase ends when the device has done what it was sent in it; the host goes on before that,
 * and records the next phase meanwhile. `times` waits for the last one. What shaders take to be compiled is counted by
 * itself, and in no phase: it depends on what the driver has kept of earlier runs.
 */
export function createClock(gpu: Gpu, onPhase: OnPhase = () => {}) {
  const seconds = { kernel: 0, solve: 0, agop: 0, sqrt: 0, features: 0, metrics: 0, total: 0, compilation: 0 };
  let ended = Promise.resolve(0);
  return {
    async phase<T>(name: Phase, work: () => Promise<T>): Promise<T> {
      onPhase(name);
      const started = performance.now();
      const compiled = gpu.compiling.seconds;
      const result = await work();
      const compilation = gpu.compiling.seconds - compiled;
      seconds.compilation += compilation;
      ended = Promise.all([ended, gpu.sent.last]).then(([before]) => {
        const now = performance.now();
        const elapsed = Math.max(0, (now - Math.max(before, started)) / 1000 - compilation);
        seconds[name] += elapsed;
        seconds.total += elapsed;
        return now;
      });
      // A failure on the device is reported by whoever waits for it next.
      ended.catch(() => {});
      return result;
    },
    async times(): Promise<typeof seconds> {
      await finish(gpu);
      await ended;
      return seconds;
    },
  };
}
export type Clock = ReturnType<typeof createClock>;

export interface KernelOptions {
  kernel: RadialKernel;
  ridge: number;
}

/** A fitted predictor f(x) = Σ_j α_j k(x, x_j). Release it with `releaseFitted`. */
export interface FittedKernel {
  /** The kernel matrix by its distances, for the AGOP. */
  system: KernelSystem;
  /** outputs × n: α transposed, on the device as float32, and on the host with all its digits. */
  alpha: Columns;
  coefficients: Float64Array;
  /** f at its own centres, outputs × n: K α = Y − ridge α − r, with the residual r of the solve. */
  trainScores: Float32Array;
  solve: SolveReport;
}

/** Distances that were kept, and α. */
export function releaseFitted(gpu: Gpu, { system, alpha }: FittedKernel): void {
  releaseDistances(gpu, system);
  releasePanels(gpu, alpha);
}

/**
 * Kernel ridge regression on the rows of x: α = (K + λI)⁻¹ Y. y is outputs × n (transposed). `plan` says which solver,
 * and whether distances are kept: then three n × n matrices are held at once, else the factor's triangle at most.
 */
export async function fitKernel(
  gpu: Gpu,
  x: Rows,
  y: Columns,
  { kernel, ridge }: KernelOptions,
  plan: LayerPlan,
  clock: Clock,
): Promise<FittedKernel> {
  const { grid } = x;
  const outputs = y.tiles[0].rows;
  const alpha = allocateColumns(gpu, grid, outputs);
  const low = allocateColumns(gpu, grid, outputs);
  const r = allocateColumns(gpu, grid, outputs);
  let system: KernelSystem = { x, kernel, kept: null };
  try {
    if (plan.keepDistances) system = await clock.phase('kernel', () => keepDistances(gpu, system));
    const solve = await clock.phase('solve', () =>
      solveRidge(gpu, system, y, { high: alpha, low }, r, ridge, plan.solve),
    );
    releaseLow(gpu, system);
    const [targets, high, rest, residuals] = await Promise.all(
      [y, alpha, low, r].map((part) => downloadColumns(gpu, part)),
    );
    const coefficients = Float64Array.from(high, (value, e) => value + rest[e]);
    const applied = ridge + (solve.addedRidge ?? 0);
    const trainScores = targets.map((target, e) => target - applied * coefficients[e] - residuals[e]);
    return { system, alpha, coefficients, trainScores, solve };
  } catch (error) {
    releaseDistances(gpu, system);
    releasePanels(gpu, alpha);
    throw error;
  } finally {
    releasePanels(gpu, low, r);
  }
}

export interface AgopReport extends SampledAgop {
  path: AgopPath;
  cancellation: number;
}

/** AGOP = unit · (m + low) (d × d, not divided by its maximum). Release both matrices. */
export interface Agop {
  m: Matrix;
  low: Matrix;
  /** 0 where float64 cannot hold it: kernel values are that small. */
  unit: number;
  report: AgopReport;
}

export interface AgopOptions {
  agop: AgopPath | 'auto';
  samples?: readonly number[] | null;
  /** Default 2, that of rows of length 1. */
  reach?: number;
  unit?: number;
}

/** −log of kernel values whose squares may be lost in a sum. */
const SMALL_VALUES = 20;
/** −log of kernel values that are 0 in float32. */
const NO_VALUES = 87;

/**
 * The distance that weights are relative to: 0, unless rows may be so far apart that kernel values are small.
 * @throws input error where all of them vanish.
 */
async function nearestOf(gpu: Gpu, system: KernelSystem, reach: number, unit: number): Promise<number> {
  const { x, kernel } = system;
  if (reach <= kernel.distanceAt(SMALL_VALUES) * kernel.bandwidth) return 0;
  const vanishing = kernel.distanceAt(NO_VALUES);
  const nearest = await nearestDistance(gpu, system);
  if (nearest === Number.POSITIVE_INFINITY)
    throw inputError('all rows coincide: no two are apart; give data that differ');
  if (nearest <= vanishing * kernel.bandwidth) return nearest;
  const median = unit * (await medianDistance(gpu, x));
  throw inputError(
    `--bandwidth: the nearest rows are ${(nearest * unit).toPrecision(3)} apart, more than the ${Math.floor(vanishing)} bandwidths at which kernel values vanish; the median distance is ${median.toPrecision(3)}: use --bandwidth ${median.toPrecision(2)}`,
  );
}

/** Rows that the median distance is taken of. */
const MEDIAN_ROWS = 64;

async function medianDistance(gpu: Gpu, x: Rows): Promise<number> {
  const ids = evenlySpaced(x.grid.n, MEDIAN_ROWS);
  const { cols } = x.tiles[0];
  const rows = allocate(gpu, ids.length, cols);
  try {
    await sendBatch(gpu, (batch) => gatherRows(batch, x, ids, rows));
    const values = await download(gpu, rows);
    const distances: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      for (let j = 0; j < i; j++) {
        let square = 0;
        for (let c = 0; c < cols; c++) square += (values[i * cols + c] - values[j * cols + c]) ** 2;
        distances.push(Math.sqrt(square));
      }
    }
    return distances.sort((a, b) => a - b)[Math.floor(distances.length / 2)];
  } finally {
    release(gpu, rows);
  }
}

/** Products with more digits err by about 6e-11 of the terms: two digits are left here. */
const HOPELESS_CANCELLATION = 1e8;
/** Digits collapsed over 20 layers reach 1e6, a predictor that is constant 1e12. */
const SUSPECT_CANCELLATION = 1e9;
const ROUNDING_ALONE =
  'the AGOP is not defined: the gradients of the predictor are rounding alone, as where equal rows have opposite targets; check the labels or targets';

/**
 * The AGOP of the fitted predictor at its centres; starts: first row of each class, then n. May release the distances.
 * `reach`: no two rows are further apart. `unit`: what distances are multiples of, for messages.
 */
export async function agopOf(
  gpu: Gpu,
  { system, alpha }: Pick<FittedKernel, 'system' | 'alpha'>,
  starts: readonly number[],
  { agop, samples = null, reach = 2, unit = 1 }: AgopOptions,
  plan: LayerPlan,
  clock: Clock,
): Promise<Agop> {
  const { x, kernel } = system;
  const { n } = x.grid;
  const [d, outputs] = [x.tiles[0].cols, alpha.tiles[0].rows];
  return clock.phase('agop', async () => {
    const [m, low] = [allocate(gpu, d, d), allocate(gpu, d, d)];
    let stored: StoredTriangle | null = null;
    try {
      const nearest = await nearestOf(gpu, system, reach, unit);
      const scale = kernel.weightUnit(nearest) ** 2;
      if (tileCount(x.grid) === 1 && system.kept !== null) stored = await weightsOf(gpu, system, nearest);
      const weights: Weights = stored ? { kind: 'stored', triangle: stored } : { kind: 'computed', kernel, nearest };
      const input = { x, alpha, weights, starts };
      const cancellation = await agopCancellation(gpu, input);
      if (!(cancellation < SUSPECT_CANCELLATION) && (await gradientsAreRounding(gpu, input))) {
        throw inputError(ROUNDING_ALONE);
      }
      const cheapest = plan.gram && !samples ? chooseAgopPath(n, d, outputs, cancellation) : 'jacobian';
      const path = agop === 'auto' ? cheapest : agop;
      if (path === 'gram' && cancellation >= HOPELESS_CANCELLATION) {
        throw inputError(
          `--agop gram: its terms are ${cancellation.toExponential(2)} times their sum, which leaves no digits; use --agop jacobian or auto`,
        );
      }
      if (path === 'gram') {
        stored ??= await weightsOf(gpu, system, nearest);
        // Of fewer rows than features the AGOP is singular, and what rounding adds to it has its square root in the root:
        // M^{1/2}X was off by 1.4e-4 (CIFAR-10, n = 300), with more digits by 4e-6.
        const accurate = agop === 'gram' && (cancellation >= MAX_CANCELLATION || n <= d);
        await agopGram(gpu, { x, alpha, triangle: stored, accurate }, { high: m, low });
        return { m, low, unit: scale, report: { path, cancellation, samples: n, samplingError: 0 } };
      }
      const sampled = await agopJacobian(gpu, input, { high: m, low }, samples);
      return { m, low, unit: scale, report: { path, cancellation, ...sampled } };
    } catch (error) {
      release(gpu, m, low);
      throw error;
    } finally {
      stored?.release();
    }
  });
}

/** The weights of all pairs of rows, in place of their distances. Release them. */
async function weightsOf(gpu: Gpu, system: KernelSystem, nearest: number): Promise<StoredTriangle> {
  const { kernel, x } = system;
  const triangle = allocateTriangle(gpu, x.grid);
  try {
    await forEachDistanceTile(gpu, system, false, (batch, i, j, { squared }) =>
      weightsFromDistances(batch, squared, triangle.tile(i, j), kernel, nearest),
    );
    releaseDistances(gpu, system);
    return triangle;
  } catch (error) {
    triangle.release();
    throw error;
  }
}

const TOP_EIGENVALUES = 16;

/** The root R = (M / max M)^{1/2} for the AGOP M = m + low, which are released; its rank, and the largest eigenvalues of M / max M. */
export async function agopRoot(
  gpu: Gpu,
  m: Matrix,
  low: Matrix,
  clock: Clock,
): Promise<{ root: Matrix; rank: number; topEigenvalues: number[] }> {
  const { root, rank } = await clock.phase('sqrt', async () => {
    const maximum = allocate(gpu, 1, 1);
    let factor: PivotedFactor;
    try {
      await sendBatch(gpu, (batch) => diagonalMaximum(batch, m, maximum));
      factor = await pivotedCholesky(gpu, { high: m, low }, RANK_TOLERANCE);
    } catch (error) {
      release(gpu, maximum);
      throw error;
    } finally {
      release(gpu, m, low);
    }
    try {
      const unscaled = await rootOfFactor(gpu, factor);
      const scaled = allocate(gpu, unscaled.rows, unscaled.cols);
      await sendBatch(gpu, (batch) => divideByRoot(batch, unscaled, maximum, scaled));
      release(gpu, unscaled);
      return { root: scaled, rank: factor.rank };
    } finally {
      release(gpu, maximum, factor.l);
    }
  });
  const values = await clock.phase('metrics', () => topEigenvalues(gpu, root, TOP_EIGENVALUES));
  return { root, rank, topEigenvalues: values };
}

/**
 * mx (n × d) = X M^{1/2} (+ 1 shift), features (n × width) = φ(mx Wᵀ); `turned` receives X M^{1/2} where there is a shift.
 * @returns how much rounding changes cosines on average; 0 for ReLU.
 * @throws input error where that leaves them no digits.
 */
export async function projectRows(
  gpu: Gpu,
  x: Rows,
  root: Matrix,
  map: FeatureMap,
  mx: Rows,
  features: Rows,
  clock: Clock,
  shift?: { row: Matrix; turned: Rows },
): Promise<number> {
  return clock.phase('features', async () => {
    const found = map.phase ? x.tiles.map((tile) => allocate(gpu, 1, tile.rows)) : [];
    try {
      for (const [i, tile] of x.tiles.entries()) {
        await sendBatch(gpu, (batch) => {
          if (shift) {
            gemm(batch, { a: tile, b: root, out: shift.turned.tiles[i] });
            addRow(batch, shift.turned.tiles[i], shift.row, mx.tiles[i]);
          } else gemm(batch, { a: tile, b: root, out: mx.tiles[i] });
          applyFeatures(batch, mx.tiles[i], map, features.tiles[i], found[i]);
        });
      }
      const roundings: number[] = [];
      for (const matrix of found) roundings.push(...(await download(gpu, matrix)));
      return map.phase ? meanRounding(roundings, map.w.rows) : 0;
    } finally {
      release(gpu, ...found);
    }
  });
}

/** NC1 and NC2 of rows in class order, NaN where not defined; starts: first row of each (non-empty) class, then the number of rows. */
export async function neuralCollapse(gpu: Gpu, x: Rows, starts: readonly number[]): Promise<Collapse> {
  const results = allocateCollapse(gpu);
  try {
    await sendBatch(gpu, (batch) => collapseTraces(batch, x, starts, results));
    return await readCollapse(gpu, results);
  } finally {
    release(gpu, results);
  }
}

/** NC1 and NC2 at the three stages of a layer. */
export async function stageMetrics(
  gpu: Gpu,
  stages: { input: Rows; agop: Rows; features: Rows },
  starts: readonly number[],
  clock: Clock,
): Promise<Pick<LayerMetrics, 'nc1' | 'nc2'>> {
  return clock.phase('metrics', async () => {
    // All are sent before any is read back.
    const [input, agop, features] = await Promise.all(
      [stages.input, stages.agop, stages.features].map((rows) => neuralCollapse(gpu, rows, starts)),
    );
    return {
      nc1: { input: input.nc1, agop: agop.nc1, features: features.nc1 },
      nc2: { input: input.nc2, agop: agop.nc2, features: features.nc2 },
    };
  });
}

/**
 * Predictions Σ_j α_j k(t_i, x_j) at the rows of t, transposed: outputs × m from α (outputs × n). The terms cancel, so they
 * are summed with low parts: in float32 alone, predictions from 10,000 rows differed by 1.5e-4 between sizes of tiles.
 * Where the bandwidth is many times `reach` (no two rows are further apart) kernel values are 1 but for what float32
 * rounds away, and α nearly cancels: there k − 1 is summed, and Σ_j α_j added in float64.
 */
export async function predict(
  gpu: Gpu,
  t: Rows,
  x: Rows,
  { alpha, coefficients }: Pick<FittedKernel, 'alpha' | 'coefficients'>,
  { kernel }: Pick<KernelOptions, 'kernel'>,
  reach = 2,
): Promise<Float32Array> {
  const outputs = alpha.tiles[0].rows;
  const flat = reach <= kernel.excessReach * kernel.bandwidth;
  const out = allocateColumns(gpu, t.grid, outputs);
  const lows = allocateColumns(gpu, t.grid, outputs);
  try {
    for (const [i, rows] of t.tiles.entries()) {
      const sum = { high: out.tiles[i], low: lows.tiles[i] };
      for (const [j, centers] of x.tiles.entries()) {
        await sendBatch(gpu, (batch) => {
          const k = batch.temporary(rows.rows, centers.rows);
          (flat ? kernelExcess : kernelMatrix)(batch, rows, centers, k, kernel);
          gemm(batch, { a: alpha.tiles[j], b: k, out: sum, ...(j > 0 && { addend: sum }) });
        });
      }
    }
    const sums = await downloadColumns(gpu, out);
    if (!flat) return sums;
    const [n, m] = [x.grid.n, t.grid.n];
    const totals = Array.from({ length: outputs }, (_, c) =>
      coefficients.subarray(c * n, (c + 1) * n).reduce((total, value) => total + value, 0),
    );
    return sums.map((value, e) => value + totals[Math.floor(e / m)]);
  } finally {
    releasePanels(gpu, out);
    releasePanels(gpu, lows);
  }
}

/**
 * Share of columns of `scores` (outputs × n) whose largest entry is the label; with one output its sign decides.
 * @throws input error for a score that is not a finite number, which no comparison would find the largest.
 */
export function accuracy(scores: Float32Array, labels: Int32Array): number {
  const n = labels.length;
  const outputs = scores.length / n;
  const wrong = scores.find((score) => !Number.isFinite(score));
  if (wrong !== undefined) {
    throw inputError(`a prediction is ${wrong}: float32 cannot solve this system; use a larger --ridge`);
  }
  let correct = 0;
  for (let i = 0; i < n; i++) {
    let best = 0;
    if (outputs === 1) best = scores[i] > 0 ? 1 : 0;
    else for (let c = 1; c < outputs; c++) if (scores[c * n + i] > scores[best * n + i]) best = c;
    if (best === labels[i]) correct++;
  }
  return correct / n;
}
