/** Ridge regression with a linear kernel, in products of two floats: for theory, where ten digits are wanted of small systems. */

import { inputError, say, the } from '../errors.js';
import { allocateFactor, failingPivot, potrf, potrs } from '../ops/cholesky/cholesky.js';
import { addToPair } from '../ops/elementwise/add-to-pair.js';
import { copyScaled } from '../ops/elementwise/elementwise.js';
import { multiplyAccurately } from '../ops/gemm/accurate-products.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, type Pair, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';

/** Numbers (row-major, rows × cols) on the device, each as the sum of two float32. Release both. */
export function uploadPair(gpu: Gpu, rows: number, cols: number, values: Float64Array): Pair {
  const high = Float32Array.from(values);
  const low = Float32Array.from(values, (value, e) => value - high[e]);
  return { high: upload(gpu, rows, cols, high), low: upload(gpu, rows, cols, low) };
}

/** A pair of undefined content. Release both. */
export const allocatePair = (gpu: Gpu, rows: number, cols: number): Pair => ({
  high: allocate(gpu, rows, cols),
  low: allocate(gpu, rows, cols),
});

/** value · I (n × n), row-major. */
export function scaledIdentity(n: number, value: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) out[i * n + i] = value;
  return out;
}

/** Euclidean. */
export function lengthOfAll(values: Float32Array | Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}

/** Steps of refinement at most: each takes six digits where λ̂ is no less than 1e-6 of the largest eigenvalue. */
const REFINEMENTS = 6;

/** What is solved: right-hand sides (outputs × n), and the ridge as a diagonal matrix (n × n). */
export interface LinearSystem {
  targets: Matrix;
  ridge: Pair;
}

/**
 * α with (Φ Φᵀ + ridge) α = Y, transposed: outputs × n, in two floats. phi: n × columns. Release both of α.
 * @throws input error where the ridge is lost beside the Gram matrix in float32.
 */
export const solveLinear = (
  outer: Gpu,
  { targets, ridge }: LinearSystem,
  phi: Pair,
): Promise<{ alpha: Pair; relativeResidual: number }> =>
  owning(outer, async (gpu, keep) => {
    const { rows: classes, cols: n } = targets;
    const gram = allocatePair(gpu, n, n);
    const factor = allocateFactor(gpu, allocate(gpu, n, n));
    await sendBatch(gpu, (batch) => {
      copyScaled(batch, ridge.high, gram.high);
      copyScaled(batch, ridge.low, gram.low);
      const product = { a: phi.high, b: phi.high, lowOfA: phi.low, lowOfB: phi.low };
      multiplyAccurately(batch, { ...product, out: gram, addend: gram }, 'NT', true);
      copyScaled(batch, gram.high, factor.l);
      potrf(batch, factor);
    });
    if ((await failingPivot(gpu, factor)) > 0) {
      throw inputError(
        'the linear system has no Cholesky factor in float32: its ridge is lost beside the Gram matrix',
        say`use a larger ${the.lambdaHat} or ${the.ridge}`,
      );
    }
    let [alpha, other] = [allocatePair(gpu, classes, n), allocatePair(gpu, classes, n)];
    const [residual, scratch, correction] = [
      allocatePair(gpu, classes, n),
      allocate(gpu, classes, n),
      allocate(gpu, classes, n),
    ];
    await sendBatch(gpu, (batch) => {
      copyScaled(batch, targets, alpha.high, 0);
      copyScaled(batch, targets, alpha.low, 0);
      copyScaled(batch, targets, residual.high);
    });
    const size = lengthOfAll(await download(gpu, targets));
    let best = Number.POSITIVE_INFINITY;
    for (let step = 0; step < REFINEMENTS; step++) {
      await sendBatch(gpu, (batch) => {
        copyScaled(batch, residual.high, scratch);
        potrs(batch, factor, scratch, correction);
        addToPair(batch, alpha, correction, other);
        // What is left of Y: Y − α (A + λ̂ I), of a symmetric matrix.
        copyScaled(batch, targets, residual.high);
        copyScaled(batch, targets, residual.low, 0);
        const product = { a: other.high, lowOfA: other.low, b: gram.high, lowOfB: gram.low, scale: -1 };
        multiplyAccurately(batch, { ...product, out: residual, addend: residual }, 'NT', false);
      });
      const found = lengthOfAll(await download(gpu, residual.high)) / size;
      if (!(found < best)) break;
      [alpha, other] = [other, alpha];
      if (found > best / 4) break;
      best = found;
    }
    return { alpha: keep(alpha), relativeResidual: best };
  });
