/**
 * A tree of kernel machines (Beaglehole, Holzmüller, Radhakrishnan, Belkin, xRFM, 2025): rows are halved along a direction until a
 * part is small enough for a machine of its own, a leaf; predictions go down the tree, near a threshold both ways.
 */

import type { Numbers } from '../numbers.js';
import { shuffled } from './split.js';

/** Where a side of a split leads: to another split or to a leaf, by their numbers from 0 on. */
export type Child = { split: number } | { leaf: number };

/** A split of so many training rows, and where its sides lead. */
export interface SplitShape {
  rows: number;
  left: Child;
  right: Child;
}

/** A split: a row x goes left where vector · x ≤ threshold. */
export interface TreeSplit extends SplitShape {
  /** The direction, of d numbers, of length 1. */
  vector: Float64Array;
  /** The median of vector · x over the training rows of the node. */
  threshold: number;
  /** Their interquartile range. */
  scale: number;
}

/** How rows come to leaves. Split 0 is the root, and a split comes before those that it leads to. */
export interface Routing {
  splits: readonly TreeSplit[];
  /** How many leaves there are. */
  leaves: number;
  /** T of soft routing, in interquartile ranges; 0: each row goes to a single leaf. */
  temperature: number;
}

/** Rows that a leaf has at most unless it is told otherwise. */
export const LEAF_ROWS = 60_000;
/** Rows that it is allowed at least. */
export const LEAST_LEAF_ROWS = 20;

/** The splits of n rows, root first, and the rows of each leaf, from left to right: halves until there are at most `leafRows`. */
export function treeShape(n: number, leafRows: number): { splits: SplitShape[]; leaves: number[] } {
  const splits: SplitShape[] = [];
  const leaves: number[] = [];
  const grow = (rows: number): Child => {
    if (rows <= leafRows) return { leaf: leaves.push(rows) - 1 };
    const split: SplitShape = { rows, left: { leaf: 0 }, right: { leaf: 0 } };
    const number = splits.push(split) - 1;
    split.left = grow(Math.ceil(rows / 2));
    split.right = grow(Math.floor(rows / 2));
    return { split: number };
  };
  grow(n);
  return { splits, leaves };
}

/** vector · x of rows `ids` of x (rows × d), in float64. */
function projections(x: Numbers, ids: ArrayLike<number>, vector: ArrayLike<number>): Float64Array {
  const d = vector.length;
  return Float64Array.from(ids, (id) => {
    let sum = 0;
    for (let j = 0; j < d; j++) sum += x[id * d + j] * vector[j];
    return sum;
  });
}

/**
 * Halves rows `ids` of x (rows × d) at the median of their projections on a vector of d numbers; the left half has the odd row.
 * Rows with the median itself, where there are many, are shared between the halves at random, by the seed.
 * @returns the median, the interquartile range, and the ids of each half, ascending.
 */
export function halve(
  x: Numbers,
  ids: Int32Array,
  vector: ArrayLike<number>,
  seed: number,
): { threshold: number; scale: number; left: Int32Array; right: Int32Array } {
  const values = projections(x, ids, vector);
  const order = shuffled(ids.length, seed).sort((a, b) => values[a] - values[b]);
  const half = Math.ceil(ids.length / 2);
  const part = (from: number, to: number): Int32Array =>
    order
      .slice(from, to)
      .map((i) => ids[i])
      .sort();
  const quantile = (share: number): number => quantileOf(share, ids.length, (i) => values[order[i]]);
  return {
    threshold: quantile(0.5),
    scale: quantile(0.75) - quantile(0.25),
    left: part(0, half),
    right: part(half, ids.length),
  };
}

/** A quantile of n ascending numbers, between two of them by their distance. */
function quantileOf(share: number, n: number, at: (i: number) => number): number {
  const place = share * (n - 1);
  const below = Math.floor(place);
  const above = Math.min(n - 1, below + 1);
  return at(below) + (place - below) * (at(above) - at(below));
}

/** The leaf that row `id` of x (rows × d) comes to where routing is hard. */
export function leafOf({ splits }: Pick<Routing, 'splits'>, x: Numbers, id: number): number {
  let at: Child = { split: 0 };
  while ('split' in at) {
    const { vector, threshold, left, right }: TreeSplit = splits[at.split];
    at = projections(x, [id], vector)[0] <= threshold ? left : right;
  }
  return at.leaf;
}

/** T that are tried, as in xRFM: 0, and 20 from 0.025 to 4.5 whose ratios are equal. */
export const TEMPERATURES: readonly number[] = [
  0,
  ...Array.from({ length: 20 }, (_, i) => 0.025 * (4.5 / 0.025) ** (i / 19)),
];

/** Leaves that lack less than this of a row's weight are all that it needs, and it needs no more than so many: as in xRFM. */
const KEPT_WEIGHT = 0.99;
const MOST_LEAVES = 12;

/** The weight of the right side of a split, at a distance from its threshold: a logistic of it over T times the scale. */
function rightWeight(distance: number, { scale }: TreeSplit, temperature: number): number {
  const unit = scale * temperature;
  // More than half of the node's rows have the median: what has it was shared between the sides.
  if (unit === 0) return distance === 0 ? 0.5 : distance > 0 ? 1 : 0;
  return 1 / (1 + Math.exp(-distance / unit));
}

/** Leaves of row `id` of x (rows × d) with their weights, whose sum is 1. */
function leavesOf(routing: Routing, x: Numbers, id: number): [leaf: number, weight: number][] {
  const { splits, temperature } = routing;
  if (temperature === 0) return [[leafOf(routing, x, id), 1]];
  const found: [leaf: number, weight: number][] = [];
  const walk = (at: Child, weight: number): void => {
    if (weight === 0) return;
    if ('leaf' in at) {
      found.push([at.leaf, weight]);
      return;
    }
    const split = splits[at.split];
    const right = rightWeight(projections(x, [id], split.vector)[0] - split.threshold, split, temperature);
    walk(split.left, weight * (1 - right));
    walk(split.right, weight * right);
  };
  walk({ split: 0 }, 1);
  found.sort((a, b) => b[1] - a[1]);
  let [kept, sum] = [0, 0];
  while (kept < Math.min(found.length, MOST_LEAVES) && sum < KEPT_WEIGHT) sum += found[kept++][1];
  return found.slice(0, kept).map(([leaf, weight]) => [leaf, weight / sum]);
}

/** What a leaf has to say: of which rows, and with which weight of each. */
export interface LeafShare {
  rows: Int32Array;
  weights: Float64Array;
}

/** Of each leaf the rows of x (rows × d) that it has a part in, ascending, with its weights: those of a row sum to 1. */
export function leafShares(routing: Routing, x: Numbers): LeafShare[] {
  const rows = x.length / routing.splits[0].vector.length;
  const found = Array.from({ length: routing.leaves }, () => ({ rows: [] as number[], weights: [] as number[] }));
  for (let id = 0; id < rows; id++) {
    for (const [leaf, weight] of leavesOf(routing, x, id)) {
      found[leaf].rows.push(id);
      found[leaf].weights.push(weight);
    }
  }
  return found.map((share) => ({ rows: Int32Array.from(share.rows), weights: Float64Array.from(share.weights) }));
}

/** Rows `ids` of x (rows × d). */
export function gathered(x: Float32Array, d: number, ids: Int32Array): Float32Array {
  const out = new Float32Array(ids.length * d);
  ids.forEach((id, i) => {
    out.set(x.subarray(id * d, (id + 1) * d), i * d);
  });
  return out;
}
