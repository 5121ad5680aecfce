/** The objective of kernel learning on the device, on the way from a kernel of random rows to the best one. */

import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { philoxUniform } from '../ops/features/philox.js';
import type { Gpu } from '../runtime/gpu.js';
import { downloadAll, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { scaledIdentity, solveLinear, uploadPair } from './linear-system.js';
import { kernelOptimum, type TargetClass } from './theory-kernel.js';

/** Shares of the best kernel in k = (1 − t) k_random + t k*. */
export const SHARES = [0, 0.25, 0.5, 0.75, 0.9, 0.99, 1] as const;

export interface KernelPoint {
  /** t. */
  share: number;
  /** J = μ ⟨Y, α⟩, and its share of J*. */
  objective: number;
  ratio: number;
  /** Mean entries of k within classes (off the diagonal) and between them. */
  within: number;
  between: number;
}

/** Columns of the random rows: unit vectors of numbers ≥ 0, whose kernel entries are about 0.7. */
const RANDOM_COLUMNS = 8;
const ROWS_STREAM = 3;

/**
 * J and J/J* of k = (1 − t) k_random + t k*, a linear kernel of rows Φ with all entries ≥ 0 and a diagonal of ones. J is convex, so
 * it falls towards J*. The targets' classes have their rows one after the other.
 * @throws input error for a ridge that float32 loses.
 */
export const kernelPath = (
  outer: Gpu,
  classes: readonly TargetClass[],
  ridge: number,
  { seed, signal }: { seed: number; signal?: AbortSignal },
): Promise<KernelPoint[]> =>
  owning(outer, async (gpu) => {
    const { overRidge, entries } = kernelOptimum(classes, ridge);
    const labels = classes.flatMap(({ rows }, c) => new Array<number>(rows).fill(c));
    const [n, outputs] = [labels.length, classes[0].targets.length];
    const y = new Float32Array(outputs * n);
    labels.forEach((label, i) => {
      for (let o = 0; o < outputs; o++) y[o * n + i] = classes[label].targets[o];
    });
    const system = { targets: upload(gpu, outputs, n, y), ridge: uploadPair(gpu, n, n, scaledIdentity(n, ridge)) };
    const best = rootRows(entries);
    const random = randomRows(n, seed);
    const points: KernelPoint[] = [];
    for (const share of SHARES) {
      signal?.throwIfAborted();
      const phi = mixedRows(random, best, labels, share);
      const objective = await owning(gpu, async (gpu) => {
        const { alpha } = await solveLinear(gpu, system, uploadPair(gpu, n, phi.cols, phi.values));
        const [high, low] = await downloadAll(gpu, [alpha.high, alpha.low]);
        return y.reduce((sum, value, e) => sum + ridge * value * (high[e] + low[e]), 0);
      });
      points.push({ share, objective, ratio: objective / (ridge * overRidge), ...meanEntries(phi, labels) });
    }
    return points;
  });

interface HostRows {
  values: Float64Array;
  cols: number;
}

/** Rows of R with R Rᵀ = the entries between classes: V Λ^{1/2}. */
function rootRows(entries: readonly (readonly number[])[]): HostRows {
  const k = entries.length;
  const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(
    new Matrix(entries.map((row) => [...row])),
    {
      assumeSymmetric: true,
    },
  );
  const values = new Float64Array(k * k);
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < k; j++)
      values[i * k + j] = eigenvectorMatrix.get(i, j) * Math.sqrt(Math.max(0, realEigenvalues[j]));
  }
  return { values, cols: k };
}

function randomRows(n: number, seed: number): HostRows {
  const u = philoxUniform(n * RANDOM_COLUMNS, 0, ROWS_STREAM, seed);
  for (let i = 0; i < n; i++) {
    const row = u.subarray(i * RANDOM_COLUMNS, (i + 1) * RANDOM_COLUMNS);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    for (let j = 0; j < RANDOM_COLUMNS; j++) row[j] /= length;
  }
  return { values: u, cols: RANDOM_COLUMNS };
}

/** [√(1 − t) random | √t best], the best rows being those of classes. */
function mixedRows(random: HostRows, best: HostRows, labels: readonly number[], share: number): HostRows {
  const cols = random.cols + best.cols;
  const values = new Float64Array(labels.length * cols);
  labels.forEach((label, i) => {
    for (let j = 0; j < random.cols; j++)
      values[i * cols + j] = Math.sqrt(1 - share) * random.values[i * random.cols + j];
    for (let j = 0; j < best.cols; j++)
      values[i * cols + random.cols + j] = Math.sqrt(share) * best.values[label * best.cols + j];
  });
  return { values, cols };
}

/** Sums of inner products are inner products of sums. */
function meanEntries({ values, cols }: HostRows, labels: readonly number[]): Pick<KernelPoint, 'within' | 'between'> {
  const classes = labels[labels.length - 1] + 1;
  const sums = new Float64Array(classes * cols);
  const sizes = new Array<number>(classes).fill(0);
  labels.forEach((label, i) => {
    sizes[label]++;
    for (let j = 0; j < cols; j++) sums[label * cols + j] += values[i * cols + j];
  });
  let [all, own] = [0, 0];
  for (let j = 0; j < cols; j++) {
    let total = 0;
    for (let c = 0; c < classes; c++) {
      total += sums[c * cols + j];
      own += sums[c * cols + j] ** 2;
    }
    all += total ** 2;
  }
  const n = labels.length;
  const squares = sizes.reduce((sum, size) => sum + size * size, 0);
  // The diagonal is 1.
  return { within: squares > n ? (own - n) / (squares - n) : Number.NaN, between: (all - own) / (n * n - squares) };
}
