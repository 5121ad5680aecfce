/** How a tree of kernel machines grows: the directions of its splits, and the rows of each leaf. */

import { RfmError } from '../errors.js';
import type { Numbers } from '../numbers.js';
import { evenlySpaced } from '../ops/solve/nystrom.js';
import type { Gpu } from '../runtime/gpu.js';
import { type EstimatorData, type EstimatorOptions, learnMetric } from './estimator.js';
import { type Metric, metricDiagonal, topEigenvectors } from './estimator-metric.js';
import { shuffled } from './split.js';
import { type Child, gathered, halve, leafOf, type Routing, type TreeSplit, treeShape } from './tree.js';

export interface GrowOptions {
  leafRows: number;
  /** Rows that a direction is learned from at most. */
  splitRows: number;
  seed: number;
  /** Of a machine of so many rows. */
  machine(rows: number): EstimatorOptions;
}

/** The splits, root first, and the training rows of each leaf, ascending. */
export interface GrownTree {
  splits: TreeSplit[];
  leaves: Int32Array[];
}

/**
 * Grows the tree of training rows. A split's direction is the top eigenvector of the AGOP of a machine with M = I that was fitted
 * to a sample of the node's rows.
 * @param known directions of the first splits, d numbers each.
 * @param onSplit hears of each split. May throw to stop.
 * @throws as `learnMetric` does, with the number of the split.
 */
export async function growTree(
  gpu: Gpu,
  data: EstimatorData,
  options: GrowOptions,
  known: readonly Float64Array[] = [],
  onSplit: (split: TreeSplit, number: number) => void = () => {},
): Promise<GrownTree> {
  const shape = treeShape(data.n, options.leafRows);
  const splits: TreeSplit[] = [];
  const leaves: Int32Array[] = [];
  const grow = async (at: Child, ids: Int32Array): Promise<void> => {
    if ('leaf' in at) {
      leaves[at.leaf] = ids;
      return;
    }
    const number = at.split;
    const own = shape.splits[number];
    const vector = known[number] ?? (await within(`split ${number + 1}`, directionOf(gpu, data, ids, options)));
    const { left, right, ...cut } = halve(data.x, ids, vector, options.seed);
    splits[number] = { ...own, vector, ...cut };
    onSplit(splits[number], number);
    await grow(own.left, left);
    await grow(own.right, right);
  };
  await grow(
    { split: 0 },
    Int32Array.from({ length: data.n }, (_, i) => i),
  );
  return { splits, leaves };
}

/** What is wrong with a part is said of it. */
export const within = <T>(part: string, work: Promise<T>): Promise<T> =>
  work.catch((error: unknown) => {
    throw error instanceof RfmError ? error.within(part) : error;
  });

async function directionOf(
  gpu: Gpu,
  data: EstimatorData,
  ids: Int32Array,
  options: GrowOptions,
): Promise<Float64Array> {
  const { d } = data;
  const drawn = shuffled(ids.length, options.seed).subarray(0, options.splitRows);
  const sample = partOf(data, Int32Array.from(drawn, (i) => ids[i]).sort());
  // Where nothing is to be told apart there is no AGOP: the rows are halved where they spread most.
  if (isConstant(sample.y, sample.outputs) || isConstant(sample.x, d)) return widestAxis(sample);
  const metric = await learnMetric(gpu, sample, options.machine(sample.n));
  return topEigenvectors(metric, d, 1)[0].vector;
}

/** Rows `ids` of the data, with no rows to score by. */
const partOf = ({ x, d, y, outputs }: EstimatorData, ids: Int32Array): EstimatorData => ({
  ...{ x: gathered(x, d, ids), n: ids.length, d, outputs, validation: null },
  y: Float64Array.from(
    { length: ids.length * outputs },
    (_, e) => y[ids[Math.floor(e / outputs)] * outputs + (e % outputs)],
  ),
});

/** Whether all rows (rows × cols) are the same. */
function isConstant(rows: Numbers, cols: number): boolean {
  for (let e = cols; e < rows.length; e++) if (rows[e] !== rows[e % cols]) return false;
  return true;
}

/** The axis along which rows have the largest variance. */
function widestAxis({ x, n, d }: EstimatorData): Float64Array {
  const [mean, spread] = [new Float64Array(d), new Float64Array(d)];
  for (let e = 0; e < n * d; e++) mean[e % d] += x[e] / n;
  for (let e = 0; e < n * d; e++) spread[e % d] += (x[e] - mean[e % d]) ** 2 / n;
  const widest = spread.reduce((best, value, j) => (value > spread[best] ? j : best), 0);
  return Float64Array.from({ length: d }, (_, j) => (j === widest ? 1 : 0));
}

/** Where a leaf's rows come from. */
export interface LeafRows {
  /** Training rows that the machine is fitted to. */
  train: Int32Array;
  /** Rows that were held out, and training rows, that it is scored by. */
  held: Int32Array;
  moved: Int32Array;
}

/** Where fewer rows come to a leaf to score by, training rows of it, this share of them at most, are scored by, too: as in xRFM. */
const ENOUGH_HELD = 1500;
const MOVED_SHARE = 0.2;

/**
 * The rows of each leaf: its training rows, and those of the held-out ones (rows × d) that come to it, as many as it has training
 * rows at most. Where these are fewer than 1,500, up to a fifth of the training rows is drawn by the seed to score by instead.
 */
export function leafRows({ splits, leaves }: GrownTree, { validation }: EstimatorData, seed: number): LeafRows[] {
  if (validation === null) return leaves.map((train) => ({ train, held: new Int32Array(0), moved: new Int32Array(0) }));
  const routed = leaves.map(() => [] as number[]);
  for (let id = 0; id < validation.rows; id++) routed[leafOf({ splits }, validation.x, id)].push(id);
  return leaves.map((ids, leaf) => {
    const held = Int32Array.from(evenlySpaced(routed[leaf].length, ids.length), (i) => routed[leaf][i]);
    const lacking = Math.max(0, Math.min(ENOUGH_HELD, ids.length) - held.length);
    const order = shuffled(ids.length, seed);
    const count = Math.min(lacking, Math.floor(MOVED_SHARE * ids.length));
    const part = (from: number, to: number): Int32Array =>
      order
        .slice(from, to)
        .map((i) => ids[i])
        .sort();
    return { train: part(count, ids.length), held, moved: part(0, count) };
  });
}

/** `count` of the training rows, drawn by the seed, and as many of the held-out ones at most, evenly spaced: as if they were a leaf. */
export const sampledRows = ({ n, validation }: EstimatorData, count: number, seed: number): LeafRows => ({
  train: shuffled(n, seed).slice(0, count).sort(),
  held: Int32Array.from(evenlySpaced(validation?.rows ?? 0, count)),
  moved: new Int32Array(0),
});

/** A leaf's rows as an estimator takes them: those to score by are the held-out ones, then the training rows. */
export function leafData(data: EstimatorData, { train, held, moved }: LeafRows): EstimatorData {
  const { x, d, validation } = data;
  const part = partOf(data, train);
  if (validation === null || held.length + moved.length === 0) return part;
  const rows = new Float32Array((held.length + moved.length) * d);
  rows.set(gathered(validation.x, d, held));
  rows.set(gathered(x, d, moved), held.length * d);
  return { ...part, validation: { x: rows, rows: held.length + moved.length } };
}

/** The options of a machine for these rows: where all targets or all rows are the same there is no M to learn. */
export function optionsFor({ x, d, y, outputs }: EstimatorData, options: EstimatorOptions): EstimatorOptions {
  const coincide = isConstant(x, d);
  if (!coincide && !isConstant(y, outputs)) return options;
  // Of rows that coincide no distance is above 0: any bandwidth predicts the same there.
  return { ...options, iterations: 0, ...(coincide && { bandwidth: { length: 1 } }) };
}

/** The mean of some M over d features, by weights whose sum is 1: of full ones the factors below each other, times the weights' roots. */
export function meanMetric(metrics: readonly Metric[], weights: readonly number[], d: number): Metric {
  if (metrics.every((metric) => metric === null)) return null;
  if (metrics.every((metric) => metric?.form !== 'full')) {
    const mean = new Float64Array(d);
    metrics.forEach((metric, l) => {
      metricDiagonal(metric, d).forEach((value, j) => {
        mean[j] += weights[l] * value;
      });
    });
    return { form: 'diagonal', roots: mean.map(Math.sqrt) };
  }
  const factors = metrics.map((metric) => (metric?.form === 'full' ? metric : { rank: d, factor: identity(d) }));
  const rank = factors.reduce((sum, own) => sum + own.rank, 0);
  const factor = new Float32Array(rank * d);
  let first = 0;
  factors.forEach((own, l) => {
    const root = Math.sqrt(weights[l]);
    own.factor.forEach((value, e) => {
      factor[first + e] = root * value;
    });
    first += own.rank * d;
  });
  return { form: 'full', factor, rank };
}

const identity = (d: number): Float32Array =>
  Float32Array.from({ length: d * d }, (_, e) => (e % (d + 1) === 0 ? 1 : 0));

/** How rows come to the leaves of a tree. */
export const routingOf = ({ splits, leaves }: GrownTree, temperature: number): Routing => ({
  splits,
  leaves: leaves.length,
  temperature,
});
