import { inputError, say, the } from '../../errors.js';
import { sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { matrixBytes } from '../../runtime/matrix.js';
import { choleskyWork, inversesBytes, trsmWork } from '../cholesky/cholesky.js';
import {
  factorTiles,
  preparedForSolves,
  releaseTiledFactor,
  solveTiles,
  type TilePlace,
  tilesAtWorkBytes,
} from '../cholesky/tiled-cholesky.js';
import { wideBlocksBytes } from '../cholesky/wide-blocks.js';
import { addToPair } from '../elementwise/add-to-pair.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { longestOf } from '../host-rows.js';
import { kernelFromDistances, kernelMatrixWork } from '../kernel-matrix/kernel-matrix.js';
import { needsExactDistances } from '../kernel-matrix/pair-distances.js';
import type { NamedBytes, TiledSize } from '../tiled-size.js';
import { allocateColumns, type Columns, downloadColumns, releasePanels, triangleBytes } from '../tiles.js';
import { conjugateGradients, conjugateGradientsFlops, timesKernelBytes } from './conjugate-gradients.js';
import { type KernelSystem, type RidgeEquation, squaredTile, withExactDistances } from './kernel-system.js';
import { landmarkBytes, nystromPreconditioner, preconditionerBytes } from './nystrom.js';
import { type ColumnsPair, residual, residualBytes } from './residual.js';

/** The relative residual every solve aims at. */
export const RESIDUAL_GOAL = 1e-6;
const MAX_REFINEMENTS = 10;

/**
 * How a system is solved: 'cholesky' with the factor on the device, 'cholesky-host' with its tiles in host memory
 * between their uses, 'conjugate-gradients' without a factor: preconditioned by `landmarks` rows, with the kernel
 * matrix computed again in every iteration.
 */
export type SolveMethod = 'cholesky' | 'cholesky-host' | 'conjugate-gradients';
export type SolvePlan = { method: 'cholesky' | 'cholesky-host' } | { method: 'conjugate-gradients'; landmarks: number };

export interface SolveReport {
  method: SolveMethod;
  /** ‖(K + ridge I) α − Y‖ / ‖Y‖, for α with more digits than float32; the ridge includes `addedRidge`. */
  relativeResidual: number;
  refinements: number;
  /** Added to the diagonal of the factored matrix because a pivot was not positive; 0 if none was needed. */
  jitter: number;
  /** Added to the ridge because the system asked for has no solution that float32 can find; absent if nothing was. */
  addedRidge?: number;
  /** Products with the kernel matrix that conjugate gradients took; absent for a factorisation. */
  iterations?: number;
}

/** An approximate solver of (K + ridge I) X = B (outputs × n, one right-hand side a row); `b` is overwritten. */
export interface LinearSolver {
  readonly jitter: number;
  iterations?(): number;
  apply(b: Columns, out: Columns): Promise<void>;
  release(): void;
}

/** A larger residual is no solution. */
const LARGEST_RESIDUAL = 1e-3;
/** ‖α‖ / ‖Y‖ from which on the rounding of kernel values, 6e-8 each, is more than 3 % of predictions. */
const LARGEST_AMPLIFICATION = 5e5;

/**
 * Solves (K + ridge I) α = Y for a kernel matrix K (n × n); α = high + low in transposed layout (outputs × n); `r`
 * (outputs × n) receives the residual. A failing pivot is met with the smallest jitter that works, on the factored matrix
 * alone. A system that has no solution in float32 (repeated rows without a ridge; a wide Gaussian kernel) is solved with the
 * smallest ridge more, by powers of ten from 1e-7 on, that gives it one.
 * @throws input error where not even a ridge of 1 more does.
 */
export async function solveRidge(
  gpu: Gpu,
  equation: RidgeEquation,
  alpha: ColumnsPair,
  r: Columns,
  plan: SolvePlan,
): Promise<SolveReport> {
  for (let added = 0; added <= 1; added = added === 0 ? 1e-7 : added * 10) {
    const { amplification, ...report } = await solveOnce(
      gpu,
      { ...equation, ridge: equation.ridge + added },
      alpha,
      r,
      plan,
    );
    if (report.relativeResidual <= LARGEST_RESIDUAL && amplification <= LARGEST_AMPLIFICATION) {
      return { ...report, ...(added > 0 && { addedRidge: added }) };
    }
  }
  throw inputError(
    'the kernel system cannot be solved in float32, not even with 1 added to the ridge',
    say`use a larger ${the.ridge} or a smaller ${the.bandwidth}, and check for rows far from all others`,
  );
}

/**
 * A solver in float32 (see `SolveMethod`), then iterative refinement in double-float until the residual is ≤ 1e-6 or no
 * longer falls. The residual is that of high + low: α of 10,000 CIFAR-10 images rounded to float32 has one of 2e-6. Where α is
 * long (see `needsExactDistances`), the same once more by distances with all digits.
 */
async function solveOnce(
  gpu: Gpu,
  equation: RidgeEquation,
  { high: alpha, low }: ColumnsPair,
  r: Columns,
  plan: SolvePlan,
): Promise<SolveReport & { amplification: number }> {
  const { system, ridge, y } = equation;
  const { grid, tiles } = y;
  const [nextHigh, nextLow, correction, scratch] = [1, 2, 3, 4].map(() => allocateColumns(gpu, grid, tiles[0].rows));
  let solver: LinearSolver | null = null;
  try {
    solver =
      plan.method === 'conjugate-gradients'
        ? await iterativeSolver(gpu, system, ridge, plan.landmarks)
        : await factoredSystem(gpu, system, ridge, plan.method === 'cholesky' ? 'device' : 'host');
    const normY = norm(await downloadColumns(gpu, y));
    // Y = 0 has the solution 0.
    const relative = async (residuals: Columns) => norm(await downloadColumns(gpu, residuals)) / (normY || 1);
    await copyColumns(gpu, [y, scratch]);
    await solver.apply(scratch, alpha);
    await sendBatch(gpu, (batch) => alpha.tiles.forEach((tile, i) => void copyScaled(batch, tile, low.tiles[i], 0)));
    await residual(gpu, equation, { high: alpha, low }, r);
    const at = { alpha: { high: alpha, low }, r, next: { high: nextHigh, low: nextLow }, correction, scratch };
    let { relativeResidual, refinements } = await refine(gpu, equation, solver, at, relative);
    const values = await downloadColumns(gpu, alpha);
    if (needsExactDistances(system.kernel, system.x.tiles[0].cols, longestOf(values, tiles[0].rows))) {
      // The factor of the rounded matrix serves as well.
      const exact = { ...equation, system: await withExactDistances(gpu, system) };
      await residual(gpu, exact, at.alpha, r);
      const further = await refine(gpu, exact, solver, at, relative);
      relativeResidual = further.relativeResidual;
      refinements += further.refinements;
    }
    const iterations = solver.iterations?.();
    const { jitter } = solver;
    return {
      method: plan.method,
      relativeResidual,
      refinements,
      jitter,
      amplification: norm(values) / (normY || 1),
      ...(iterations !== undefined && { iterations }),
    };
  } finally {
    solver?.release();
    releasePanels(gpu, nextHigh, nextLow, correction, scratch);
  }
}

/** What refinement works with, outputs × n each: α, its residual, and where the next ones are made. */
interface Refined {
  alpha: ColumnsPair;
  r: Columns;
  next: ColumnsPair;
  correction: Columns;
  scratch: Columns;
}

/** Takes steps until the residual `r` of α meets the goal or no longer falls; `relative` says how large one is. */
async function refine(
  gpu: Gpu,
  equation: RidgeEquation,
  solver: LinearSolver,
  { alpha, r, next, correction, scratch }: Refined,
  relative: (residuals: Columns) => Promise<number>,
): Promise<{ relativeResidual: number; refinements: number }> {
  // At least one step, even where the goal is met: it is cheap and takes α to what float32 can hold. So it is on its way
  // while the host reads how large the residual was.
  const first = relative(r);
  first.catch(() => {});
  let relativeResidual = Number.POSITIVE_INFINITY;
  let refinements = 0;
  while (refinements < MAX_REFINEMENTS && (refinements === 0 || relativeResidual > RESIDUAL_GOAL)) {
    await copyColumns(gpu, [r, scratch]);
    await solver.apply(scratch, correction);
    await sendBatch(gpu, (batch) =>
      alpha.high.tiles.forEach((tile, i) => {
        const made = { high: next.high.tiles[i], low: next.low.tiles[i] };
        addToPair(batch, { high: tile, low: alpha.low.tiles[i] }, correction.tiles[i], made);
      }),
    );
    await residual(gpu, equation, next, scratch);
    const found = await relative(scratch);
    if (refinements === 0) relativeResidual = await first;
    if (!(found < relativeResidual)) break;
    await copyColumns(gpu, [next.high, alpha.high], [next.low, alpha.low], [scratch, r]);
    relativeResidual = found;
    refinements++;
  }
  return { relativeResidual, refinements };
}

const copyColumns = (gpu: Gpu, ...pairs: [from: Columns, to: Columns][]): Promise<void> =>
  sendBatch(gpu, (batch) => {
    for (const [from, to] of pairs) from.tiles.forEach((tile, i) => void copyScaled(batch, tile, to.tiles[i]));
  });

/**
 * Factors K + (ridge + jitter) I (n × n), with jitter 0 where that works, else growing tenfold from 1e-7 of the largest diagonal
 * entry, 1 for every kernel.
 * @param solves how many will follow: for many the factor is prepared.
 * @throws input error where not even 0.1 suffices.
 */
export async function factoredSystem(
  gpu: Gpu,
  system: KernelSystem,
  ridge: number,
  place: TilePlace,
  solves: 'few' | 'many' = 'few',
): Promise<LinearSolver> {
  const { kernel, x } = system;
  for (let jitter = 0; jitter < 1; jitter = jitter === 0 ? 1e-7 : jitter * 10) {
    const found = await factorTiles(
      gpu,
      x.grid,
      (batch, i, j, out) =>
        kernelFromDistances(batch, squaredTile(batch, system, i, j), out, kernel, i === j ? ridge + jitter : 0),
      place,
    );
    if ('factor' in found) {
      const factor = solves === 'many' ? await preparedForSolves(gpu, found.factor) : found.factor;
      return {
        jitter,
        apply: (b, out) => solveTiles(gpu, factor, b, out),
        release: () => releaseTiledFactor(gpu, factor),
      };
    }
  }
  throw inputError(
    'the kernel matrix cannot be factored even with 0.1 added to its diagonal',
    say`use a larger ${the.ridge}, and check the data for NaN`,
  );
}

/** A solve of conjugate gradients ends here; refinement does the rest, with better residuals. */
const INNER_TOLERANCE = 1e-4;

async function iterativeSolver(
  gpu: Gpu,
  system: KernelSystem,
  ridge: number,
  landmarks: number,
): Promise<LinearSolver> {
  const preconditioner = await nystromPreconditioner(gpu, system, ridge, landmarks);
  let iterations = 0;
  return {
    jitter: 0,
    iterations: () => iterations,
    async apply(b, out) {
      iterations += await conjugateGradients(gpu, { system, ridge, y: b }, preconditioner, out, INNER_TOLERANCE);
    },
    release: preconditioner.release,
  };
}

const norm = (values: Float32Array): number => {
  let sum = 0;
  for (const v of values) sum += v * v;
  return Math.sqrt(sum);
};

/** What a solve, or many with one factor, hold on the device beside rows, right-hand sides and distances that are kept. */
export function solveBytes(
  size: TiledSize,
  plan: SolvePlan,
  keepsDistances: boolean,
  solves: 'few' | 'many' = 'few',
): NamedBytes[] {
  const { grid, outputs } = size;
  if (plan.method === 'conjugate-gradients') {
    const { landmarks } = plan;
    return [
      { name: 'preconditioner', bytes: preconditionerBytes(grid, landmarks) },
      { name: 'right-hand sides by landmarks', bytes: 4 * matrixBytes(outputs, landmarks) },
      {
        name: 'tiles of the kernel matrix, copies of factors',
        bytes: Math.max(timesKernelBytes(size), landmarkBytes(size, landmarks)),
      },
    ];
  }
  const place = plan.method === 'cholesky' ? 'device' : 'host';
  const filling = tilesAtWorkBytes(size, place, keepsDistances ? 0 : 1);
  return [
    ...(place === 'device' ? [{ name: 'factor', bytes: triangleBytes(grid) }] : []),
    { name: 'inverses of diagonal blocks', bytes: inversesBytes(grid.n) },
    ...(place === 'device' && solves === 'many'
      ? [{ name: 'factor prepared for many solves', bytes: wideBlocksBytes(size) }]
      : []),
    { name: 'tiles at work, copies of factors', bytes: Math.max(filling, residualBytes(size, keepsDistances)) },
  ];
}

/** Columns of outputs × n that a fit holds: targets, coefficients, residuals. */
export const SOLVE_COLUMNS = 10;

/** Residuals of a solve: of the first solution and of one or two refinements. */
const USUAL_RESIDUALS = 3;

/** Operations of a solve of n rows by kind: squared distances that are not kept, products, the factorisation. */
export function solveFlops(
  { n, d, outputs }: { n: number; d: number; outputs: number },
  plan: SolvePlan,
  keepsDistances: boolean,
): { distance: number; product: number; cholesky?: number } {
  const all = kernelMatrixWork(n, d).flops;
  if (plan.method === 'conjugate-gradients') {
    const { distance, product } = conjugateGradientsFlops(n, d, outputs, plan.landmarks);
    return { distance: distance + all * USUAL_RESIDUALS, product };
  }
  return {
    distance: keepsDistances ? 0 : all * (1 + USUAL_RESIDUALS),
    product: 2 * USUAL_RESIDUALS * trsmWork(n, outputs).flops,
    cholesky: choleskyWork(n).flops,
  };
}
