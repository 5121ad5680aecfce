/** A tree of kernel machines on a device: what it will hold there, and what it predicts. */

import { RfmError, say, the } from '../errors.js';
import type { Gpu } from '../runtime/gpu.js';
import {
  type EstimatorData,
  type EstimatorOptions,
  estimatorSize,
  type Predictor,
  predictEstimator,
} from './estimator.js';
import { type DeviceLimits, isPlannable, type ProblemSize, planRun, type RunPlan } from './plan.js';
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

/** Rows that the direction of a split is learned from: as many as a leaf has, but no fewer and no more than these. */
const SPLIT_ROWS = { least: 2000, most: 50_000 };

/**
 * How rows become leaves on a device.
 * @param asked rows of a leaf at most; null: 60,000, or as many as fit; Infinity: a single machine.
 * @throws doesNotFit where the device cannot hold a leaf.
 */
export function planTree(
  { n, d, outputs, validation }: Pick<EstimatorData, 'n' | 'd' | 'outputs' | 'validation'>,
  options: EstimatorOptions,
  asked: number | null,
  device: DeviceLimits,
): TreePlan {
  const sizeOf = (rows: number): ProblemSize => {
    const held = validation?.rows ?? 0;
    // Of a leaf: no more than its own rows.
    return estimatorSize({ n: rows, d, outputs, testN: rows < n ? Math.min(held, rows) : held }, options);
  };
  const planOf = (rows: number): RunPlan => {
    try {
      return planRun(sizeOf(rows), device);
    } catch (error) {
      const most = Number.isFinite(asked) ? mostRows(rows, fits) : 0;
      if (!(error instanceof RfmError && error.kind === 'doesNotFit') || most < LEAST_LEAF_ROWS) throw error;
      throw new RfmError(error.kind, error.problem, say`use ${the.leafRows} ${most}, or a larger ${the.memoryLimit}`);
    }
  };
  const fits = (rows: number): boolean => isPlannable(sizeOf(rows), device);
  const leafRows = asked ?? mostRows(Math.min(n, LEAF_ROWS), fits);
  // Less than this is no leaf: the plan says what is missing.
  if (n <= leafRows || leafRows < LEAST_LEAF_ROWS) return { leafRows, shape: null, splitRows: 0, plan: planOf(n) };
  const shape = treeShape(n, leafRows);
  const largest = Math.max(...shape.leaves);
  const wanted = Math.min(n, SPLIT_ROWS.most, Math.max(largest, SPLIT_ROWS.least));
  const splitRows = wanted <= largest || fits(wanted) ? wanted : largest;
  return { leafRows, shape, splitRows, plan: planOf(Math.max(largest, splitRows)) };
}

/** The most rows, of `most`, that fit. */
function mostRows(most: number, fits: (rows: number) => boolean): number {
  if (fits(most)) return most;
  let [low, high] = [0, most];
  while (high - low > Math.max(1, low / 100)) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
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
