/** A tree of kernel machines on a device: what it will hold there, and what it predicts. */

import { RfmError } from '../errors.js';
import type { Gpu } from '../runtime/gpu.js';
import { type EstimatorData, type EstimatorOptions, estimatorSize, type Predictor, predictEstimator } from './estimator.js';
import { type DeviceLimits, planRun, type RunPlan } from './plan.js';
import {
  gathered,
  LEAF_ROWS,
  LEAST_LEAF_ROWS,
  type LeafShare,
  leafShares,
  type Routing,
  TEMPERATURES,
  treeShape,
} from './tree.js';

/** A tree as it will be, or null for one machine, and what the largest machine will hold on the device. */
export interface TreePlan {
  leafRows: number;
  shape: ReturnType<typeof treeShape> | null;
  /** Rows that the direction of a split is learned from at most. */
  splitRows: number;
  plan: RunPlan;
}

/** Of rows that the direction of a split is learned from, as in xRFM. */
const SPLIT_ROWS = 50_000;

/**
 * How rows become leaves on a device.
 * @param asked rows of a leaf at most; null: 60,000, or as many as fit.
 * @throws doesNotFit where the device cannot hold a leaf.
 */
export function planTree(
  { n, d, outputs, validation }: Pick<EstimatorData, 'n' | 'd' | 'outputs' | 'validation'>,
  options: EstimatorOptions,
  asked: number | null,
  device: DeviceLimits,
): TreePlan {
  const planOf = (rows: number): RunPlan => {
    const held = validation?.rows ?? 0;
    // Of a leaf: no more than its own rows.
    const testN = rows < n ? Math.min(held, rows) : held;
    return planRun(estimatorSize({ n: rows, d, outputs, testN }, options), device);
  };
  const leafRows = asked ?? mostRows(Math.min(n, LEAF_ROWS), planOf);
  if (n <= leafRows) return { leafRows, shape: null, splitRows: 0, plan: planOf(n) };
  const shape = treeShape(n, leafRows);
  const largest = Math.max(...shape.leaves);
  return { leafRows, shape, splitRows: Math.min(largest, SPLIT_ROWS), plan: planOf(largest) };
}

/** The most rows, of `most`, that can be planned. */
function mostRows(most: number, planOf: (rows: number) => RunPlan): number {
  const fits = (rows: number): boolean => {
    try {
      planOf(rows);
      return true;
    } catch (error) {
      if (error instanceof RfmError && error.kind === 'doesNotFit') return false;
      throw error;
    }
  };
  if (fits(most)) return most;
  let [low, high] = [0, most];
  while (high - low > Math.max(1, low / 100)) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  // Less than this is no leaf: the plan of all rows says what is missing.
  if (low < LEAST_LEAF_ROWS) planOf(most);
  return low;
}

/** A tree that predicts: its machines are read as they are needed. */
export interface TreePredictor {
  routing: Routing;
  outputs: number;
  leafAt(leaf: number): Predictor | Promise<Predictor>;
}

/**
 * Predictions (rows × outputs) of a tree at rows x (rows × d): of each row the mean of its leaves, by their weights.
 * @throws doesNotFit where the device cannot hold the rows of a leaf.
 */
export async function predictTree(
  gpu: Gpu,
  { routing, outputs, leafAt }: TreePredictor,
  x: Float32Array,
  memoryLimit: number | null = null,
): Promise<Float64Array> {
  const { length: d } = routing.splits[0].vector;
  const out = new Float64Array((x.length / d) * outputs);
  for (const [leaf, share] of leafShares(routing, x).entries()) {
    if (share.rows.length === 0) continue;
    const scores = await predictEstimator(gpu, await leafAt(leaf), gathered(x, d, share.rows), memoryLimit);
    addShare(out, share, (i, c) => scores[i * outputs + c], outputs);
  }
  return out;
}

/** Adds a leaf's scores of its rows, by their weights. */
function addShare(
  out: Float64Array,
  { rows, weights }: LeafShare,
  score: (i: number, output: number) => number,
  outputs: number,
): void {
  rows.forEach((id, i) => {
    for (let c = 0; c < outputs; c++) out[id * outputs + c] += weights[i] * score(i, c);
  });
}

/**
 * The scores (smaller is better) of a tree's predictions at rows x (rows × d) with each of `TEMPERATURES`; the tree's own is not used.
 * @param score of predictions, rows × outputs.
 * @throws as `predictTree` does.
 */
export async function scoreTemperatures(
  gpu: Gpu,
  { routing, outputs, leafAt }: TreePredictor,
  x: Float32Array,
  score: (predictions: Float64Array) => number,
  memoryLimit: number | null = null,
): Promise<{ temperature: number; score: number }[]> {
  const { length: d } = routing.splits[0].vector;
  const all: Float64Array[] = [];
  for (let leaf = 0; leaf < routing.leaves; leaf++) {
    all.push(await predictEstimator(gpu, await leafAt(leaf), x, memoryLimit));
  }
  return TEMPERATURES.map((temperature) => {
    const mixed = new Float64Array((x.length / d) * outputs);
    leafShares({ ...routing, temperature }, x).forEach((share, leaf) => {
      addShare(mixed, share, (i, c) => all[leaf][share.rows[i] * outputs + c], outputs);
    });
    return { temperature, score: score(mixed) };
  });
}
