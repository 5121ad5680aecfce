import residualSource from '../../shaders/residual.wgsl';
import { RfmError } from '../errors.js';
import type { KernelName } from '../rfm/types.js';
import { type Batch, f32bits, runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import { allocateFactor, type CholeskyFactor, failingPivot, potrf, potrs, releaseFactor } from './cholesky.js';
import { addScaled, copyScaled } from './elementwise.js';
import { kernelFromDistances } from './kernel-matrix.js';

/** The relative residual every solve aims at. */
export const RESIDUAL_GOAL = 1e-6;
const MAX_REFINEMENTS = 10;

/** A kernel matrix given by its squared distances, squared + low (both n × n; see `squaredDistances`). */
export interface KernelSystem {
  squared: Matrix;
  low: Matrix;
  kernel: KernelName;
  bandwidth: number;
}

/** Outputs a kernel sums at once; more would not fit into registers. */
const MAX_CLASSES = 10;

/**
 * out = Y − A (K + ridge I) with A, Y, out: outputs × n, in double-float arithmetic. K is evaluated
 * from the squared distances in double-float, too: more accurately than float32 could store it.
 */
export function residual(
  batch: Batch,
  system: KernelSystem,
  alpha: Matrix,
  y: Matrix,
  out: Matrix,
  ridge: number,
): void {
  const { squared, low, kernel, bandwidth } = system;
  const rate = split(kernel === 'gaussian' ? 1 / (2 * bandwidth * bandwidth) : 1 / bandwidth);
  for (let first = 0; first < alpha.rows; first += MAX_CLASSES) {
    const classes = Math.min(MAX_CLASSES, alpha.rows - first);
    batch.scope({ op: 'residual', flops: 2 * squared.rows * squared.cols * classes }, () =>
      batch.dispatch(
        {
          name: 'residual',
          source: residualSource,
          constants: { GAUSSIAN: kernel === 'gaussian', CLASSES: classes },
        },
        [squared, alpha, y, low, out],
        [squared.rows, squared.stride, alpha.stride, first, ...rate, ...split(ridge), 0],
        [squared.rows],
      ),
    );
  }
}

/** A double as the bits of two float32 whose sum it is. */
function split(value: number): [high: number, low: number] {
  const high = Math.fround(value);
  return [f32bits(high), f32bits(value - high)];
}

export interface SolveReport {
  method: string;
  /** ‖(K + ridge I) α − Y‖ / ‖Y‖. */
  relativeResidual: number;
  refinements: number;
  /** Added to the diagonal of the factored matrix because a pivot was not positive; 0 if none was needed. */
  jitter: number;
}

/**
 * Solves (K + ridge I) α = Y for a kernel matrix K (n × n) and Y, α in transposed layout
 * (outputs × n): Cholesky in float32, then iterative refinement with residuals in double-float
 * until ≤ 1e-6 or no longer falling. A failing pivot is met with the smallest jitter that works, on
 * the factored matrix alone: the residual is always that of the system asked for. `work` is an n × n
 * matrix that receives the factor.
 */
export async function solveRidge(
  gpu: Gpu,
  system: KernelSystem,
  y: Matrix,
  alpha: Matrix,
  ridge: number,
  work: Matrix,
): Promise<SolveReport> {
  const factor = allocateFactor(gpu, work);
  const r = allocate(gpu, y.rows, y.cols);
  const candidate = allocate(gpu, y.rows, y.cols);
  try {
    const jitter = await factorWithJitter(gpu, system, factor, ridge);
    const normY = norm(await download(gpu, y));
    await runBatch(gpu, (batch) => {
      copyScaled(batch, y, r);
      potrs(batch, factor, r, alpha);
      residual(batch, system, alpha, y, r, ridge);
    });
    // Y = 0 has the solution 0.
    const relative = async () => norm(await download(gpu, r)) / (normY || 1);
    let relativeResidual = await relative();
    let refinements = 0;
    // At least one step, even where the goal is met: it is cheap and takes α to what float32 can hold.
    while (refinements < MAX_REFINEMENTS && (refinements === 0 || relativeResidual > RESIDUAL_GOAL)) {
      await runBatch(gpu, (batch) => {
        const correction = batch.temporary(y.rows, y.cols);
        potrs(batch, factor, r, correction);
        addScaled(batch, alpha, correction, candidate);
        residual(batch, system, candidate, y, r, ridge);
      });
      const next = await relative();
      if (!(next < relativeResidual)) break;
      await runBatch(gpu, (batch) => copyScaled(batch, candidate, alpha));
      relativeResidual = next;
      refinements++;
    }
    return { method: 'cholesky', relativeResidual, refinements, jitter };
  } finally {
    releaseFactor(gpu, factor);
    release(gpu, r, candidate);
  }
}

/** Factors K + (ridge + jitter) I, with jitter 0 where that works, else growing tenfold from 1e-7 of the largest diagonal entry, 1 for both kernels. */
async function factorWithJitter(
  gpu: Gpu,
  system: KernelSystem,
  factor: CholeskyFactor,
  ridge: number,
): Promise<number> {
  for (let jitter = 0; jitter < 1; jitter = jitter === 0 ? 1e-7 : jitter * 10) {
    await runBatch(gpu, (batch) => {
      kernelFromDistances(batch, system.squared, factor.l, system.kernel, system.bandwidth, ridge + jitter);
      potrf(batch, factor);
    });
    if ((await failingPivot(gpu, factor)) === 0) return jitter;
  }
  throw new RfmError(
    'internal',
    'the kernel matrix cannot be factored even with 0.1 added to its diagonal; use a larger --ridge, and check the data for NaN',
  );
}

const norm = (values: Float32Array): number => {
  let sum = 0;
  for (const v of values) sum += v * v;
  return Math.sqrt(sum);
};
