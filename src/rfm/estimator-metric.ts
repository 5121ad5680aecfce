/** The metric M of an estimator: full, or its diagonal alone. */

import type { Numbers } from '../numbers.js';
import { transpose } from '../ops/elementwise/transpose.js';
import { lengthOf } from '../ops/host-rows.js';
import { type KernelFamily, scaledFamily } from '../ops/kernels/families.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { rootOfFactor } from '../ops/sqrt-psd/sqrt-psd.js';
import { type RowGrid, type Rows, releasePanels, uploadRows } from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, release, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import type { Agop } from './agop.js';
import { nextFactor, timesFactor } from './rfm.js';

export type MetricForm = 'full' | 'diagonal';

/**
 * M = FᵀF, or the roots of a diagonal M: what rows are multiplied by. For kernels that depend on the axes F is the symmetric root of
 * M; for others any F will do, and has a row for each eigenvalue that counts. null: I.
 */
export type Metric =
  | { form: 'full'; factor: Float32Array; rank: number }
  | { form: 'diagonal'; roots: Float64Array }
  | null;

/**
 * The kernels of a metric, and what is left of it to multiply rows by: those of a distance by coordinates have a diagonal M as scales of
 * theirs, since rows times its roots would be rounded, and near values with them. The scales belong to the scope of `gpu`.
 */
export function underMetric(
  gpu: Gpu,
  family: KernelFamily,
  metric: Metric,
): { family: KernelFamily; rowMetric: Metric } {
  if (metric?.form !== 'diagonal' || !family.at(1).coordinates) return { family, rowMetric: metric };
  return { family: scaledFamily(family, upload(gpu, 1, metric.roots.length, metric.roots)), rowMetric: null };
}

/** Rows (n × d) times F, on the device. Release them with `releasePanels`. */
export const applyMetric = (outer: Gpu, grid: RowGrid, x: Float32Array, d: number, metric: Metric): Promise<Rows> =>
  owning(outer, async (gpu, keep) => {
    if (metric?.form !== 'full') return keep(uploadRows(gpu, grid, d, scaledRows(x, metric)));
    const raw = uploadRows(gpu, grid, d, x);
    const factor = upload(gpu, metric.rank, d, metric.factor);
    const rows = await timesFactor(gpu, raw, factor);
    releasePanels(gpu, raw);
    release(gpu, factor);
    return keep(rows);
  });

function scaledRows(x: Float32Array, metric: { roots: Float64Array } | null): Float32Array {
  if (metric === null) return x;
  const { roots } = metric;
  const out = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += roots.length) {
    for (let j = 0; j < roots.length; j++) out[start + j] = x[start + j] * roots[j];
  }
  return out;
}

/** The next full M over its largest entry, from the AGOP in rows times F (its matrix is released). */
export const nextFull = (outer: Gpu, agop: Agop, metric: Metric, kernel: RadialKernel): Promise<Metric> =>
  owning(outer, async (gpu) => {
    const before =
      metric?.form === 'full' ? upload(gpu, metric.rank, metric.factor.length / metric.rank, metric.factor) : null;
    const next = await nextFactor(gpu, agop, before);
    const [rank, d] = [next.rows, next.cols];
    if (!kernel.coordinates) return { form: 'full', factor: await download(gpu, next), rank };
    const l = allocate(gpu, d, rank);
    await sendBatch(gpu, (batch) => transpose(batch, next, l));
    // The columns are those of no pivoted factorisation, so nothing is known of their smallest singular value.
    const root = await rootOfFactor(gpu, { l, rank, smallestPivot: 0 });
    return { form: 'full', factor: await download(gpu, root), rank: d };
  });

/** The next diagonal M over its largest entry, from the AGOP's diagonal in rows times the roots. */
export function nextDiagonal(diagonal: Float64Array, metric: Metric): Metric {
  const squares = metric?.form === 'diagonal' ? metric.roots.map((root) => root * root) : null;
  const m = squares ? diagonal.map((value, j) => value * squares[j]) : diagonal;
  const largest = m.reduce((max, value) => Math.max(max, value), 0);
  return { form: 'diagonal', roots: m.map((value) => Math.sqrt(value / largest)) };
}

/** The diagonal of M, of d numbers. */
export function metricDiagonal(metric: Metric, d: number): Float64Array {
  if (metric === null) return new Float64Array(d).fill(1);
  if (metric.form === 'diagonal') return metric.roots.map((root) => root * root);
  const out = new Float64Array(d);
  metric.factor.forEach((value, e) => {
    out[e % d] += value * value;
  });
  return out;
}

/** The diagonal of M by the features' names, largest first. */
export function importancesOf(metric: Metric, features: readonly string[]): { feature: string; value: number }[] {
  const diagonal = metricDiagonal(metric, features.length);
  return [...diagonal.keys()]
    .sort((a, b) => diagonal[b] - diagonal[a])
    .map((j) => ({ feature: features[j], value: diagonal[j] }));
}

/** M, d × d: of a full one alone. */
export function metricMatrix(metric: Metric, d: number): Float64Array {
  const out = new Float64Array(d * d);
  if (metric?.form !== 'full') {
    metricDiagonal(metric, d).forEach((value, j) => {
      out[j * d + j] = value;
    });
    return out;
  }
  const { factor, rank } = metric;
  for (let r = 0; r < rank; r++) {
    const row = factor.subarray(r * d, (r + 1) * d);
    for (let i = 0; i < d; i++) if (row[i] !== 0) for (let j = 0; j < d; j++) out[i * d + j] += row[i] * row[j];
  }
  return out;
}

export interface Eigenvector {
  value: number;
  /** d entries, of length 1; the largest of them is positive. */
  vector: Float64Array;
}

/** Subspace steps: an eigenvalue half as large as the one before is then told apart to 1e-9. */
const STEPS = 30;

/** The `count` largest eigenvalues of M (d × d) with their vectors, by subspace iteration in float64 with the factor of M. */
export function topEigenvectors(metric: Metric, d: number, count: number): Eigenvector[] {
  const some = Math.min(count, d);
  if (metric?.form !== 'full') {
    const diagonal = metricDiagonal(metric, d);
    const order = [...diagonal.keys()].sort((a, b) => diagonal[b] - diagonal[a]).slice(0, some);
    return order.map((j) => ({
      value: diagonal[j],
      vector: Float64Array.from({ length: d }, (_, i) => (i === j ? 1 : 0)),
    }));
  }
  const { factor, rank } = metric;
  // A few more than asked for: the last ones converge slowest.
  let basis = orthonormal(Array.from({ length: Math.min(d, some + 4) }, (_, k) => startVector(d, k)));
  const image = (vector: Numbers): Float64Array => {
    const out = new Float64Array(d);
    for (let r = 0; r < rank; r++) {
      let dot = 0;
      for (let j = 0; j < d; j++) dot += factor[r * d + j] * vector[j];
      if (dot !== 0) for (let j = 0; j < d; j++) out[j] += dot * factor[r * d + j];
    }
    return out;
  };
  for (let step = 0; step < STEPS; step++) basis = orthonormal(basis.map(image));
  const found = basis.map((vector) => ({ value: lengthOf(image(vector)), vector: pointed(vector) }));
  return found.sort((a, b) => b.value - a.value).slice(0, some);
}

/** Vectors that differ, and are orthogonal to no axis. */
const startVector = (d: number, k: number): Float64Array =>
  Float64Array.from(
    { length: d },
    (_, j) => Math.cos(1 + (k + 1) * (j + 1) * Math.SQRT2) + (j % (k + 1) === 0 ? 0.5 : 0),
  );

/** With its largest entry positive. */
function pointed(vector: Float64Array): Float64Array {
  const largest = vector.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? vector.map((value) => -value) : vector;
}

/** Gram and Schmidt, twice; a vector that others span is left out. */
function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const out: Float64Array[] = [];
  for (const given of vectors) {
    const size = lengthOf(given);
    if (!(size > 0)) continue;
    const vector = given.map((value) => value / size);
    for (let pass = 0; pass < 2; pass++) {
      for (const other of out) {
        let dot = 0;
        for (let j = 0; j < vector.length; j++) dot += vector[j] * other[j];
        for (let j = 0; j < vector.length; j++) vector[j] -= dot * other[j];
      }
    }
    const left = lengthOf(vector);
    if (left > 1e-10) out.push(vector.map((value) => value / left));
  }
  return out;
}
