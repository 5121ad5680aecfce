import { inputError, say, the } from '../errors.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { type KernelSystem, keepDistances, releaseDistances, releaseLow } from '../ops/solve/kernel-system.js';
import { type SolveReport, solveRidge } from '../ops/solve/solve.js';
import { allocateColumns, type Columns, downloadAllColumns, type Rows, releasePanels } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import { owning } from '../runtime/owning.js';
import type { LayerContext } from './context.js';

/** Rows of a layer and its targets. */
export interface RidgeProblem {
  /** n × d. */
  x: Rows;
  /** outputs × n: Y transposed. */
  y: Columns;
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
  /** Y as it was solved for, outputs × n. */
  targets: Float32Array;
  /** ⟨Y, (K + ridge I)⁻¹ Y⟩, to second order in the residual: ⟨Y + r, α⟩. */
  inner: number;
  /** With what was added to it. */
  ridge: number;
}

/** Distances that were kept, and α. */
export function releaseFitted(gpu: Gpu, { system, alpha }: FittedKernel): void {
  releaseDistances(gpu, system);
  releasePanels(gpu, alpha);
}

/**
 * Kernel ridge regression: α = (K + λI)⁻¹ Y. The plan says which solver, and whether distances are kept: then three n × n
 * matrices are held at once, else the factor's triangle at most. Release it with `releaseFitted`.
 */
export const fitKernel = (context: LayerContext, problem: RidgeProblem): Promise<FittedKernel> =>
  owning(context.gpu, async (gpu, keep) => {
    const { plan, clock } = context;
    const { x, y, kernel, ridge } = problem;
    const columns = (): Columns => allocateColumns(gpu, x.grid, y.tiles[0].rows);
    const [alpha, low, r] = [columns(), columns(), columns()];
    let system: KernelSystem = { x, kernel, kept: null };
    if (plan.keepDistances) system = await clock.phase('kernel', () => keepDistances(gpu, system));
    const solve = await clock.phase('solve', () =>
      solveRidge(gpu, { system, ridge, y }, { high: alpha, low }, r, plan.solve),
    );
    releaseLow(gpu, system);
    const [targets, high, rest, residuals] = await downloadAllColumns(gpu, [y, alpha, low, r]);
    const coefficients = Float64Array.from(high, (value, e) => value + rest[e]);
    const applied = ridge + (solve.addedRidge ?? 0);
    const trainScores = targets.map((target, e) => target - applied * coefficients[e] - residuals[e]);
    const inner = coefficients.reduce((sum, value, e) => sum + (targets[e] + residuals[e]) * value, 0);
    keep([alpha, system.kept]);
    return { system, alpha, coefficients, trainScores, solve, targets, inner, ridge: applied };
  });

/**
 * Share of columns of `scores` (outputs × n) whose largest entry is the label; with one output its sign decides.
 * @throws input error for a score that is not a finite number, which no comparison would find the largest.
 */
export function accuracy(scores: Float32Array, labels: Int32Array): number {
  const n = labels.length;
  const outputs = scores.length / n;
  const wrong = scores.find((score) => !Number.isFinite(score));
  if (wrong !== undefined) {
    throw inputError(`a prediction is ${wrong}: float32 cannot solve this system`, say`use a larger ${the.ridge}`);
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
