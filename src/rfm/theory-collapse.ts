/**
 * Linearised Deep RFM on the device: a linear kernel with ridge λ̂, its AGOP as a sum over κ, and the feature map
 * x_i ↦ [√λ_map e_i ; x_i], without normalisation of rows and without division by the AGOP's maximum. Its Gram matrix follows
 * B ← κ⁻¹ S YᵀY S (see `predictCollapse`).
 *
 * The rate shows while the distance to the fixed point falls over many orders of magnitude. So the rows X are kept as the
 * fixed point X* = √b Y plus a difference Δ: products in two floats start from −X*, and what they leave is Δ with all the digits
 * of a float32. The distance of the Gram matrices is then Δ Xᵀ + X* Δᵀ, in which nothing cancels.
 */

import { addToPair } from '../ops/elementwise/add-to-pair.js';
import { addScaled, copyScaled } from '../ops/elementwise/elementwise.js';
import { transpose } from '../ops/elementwise/transpose.js';
import { philoxUniform } from '../ops/features/philox.js';
import { multiplyAccurately } from '../ops/gemm/accurate-products.js';
import { gemm } from '../ops/gemm/gemm.js';
import { transposeHost } from '../ops/host-rows.js';
import { allocateCollapse, collapseTraces, readCollapse } from '../ops/statistics/collapse.js';
import { exponentOf, largestMagnitudes } from '../ops/statistics/magnitude.js';
import { asPanel } from '../ops/tiles.js';
import { runBatch, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, block, download, type Matrix, type Pair, release, strideOf, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { allocatePair, lengthOfAll, scaledIdentity, solveLinear, uploadPair } from './linear-system.js';
import { type CollapsePrediction, type CollapseProblem, predictCollapse } from './theory.js';

/** One layer of linearised Deep RFM, after M^{1/2} and after the feature map. Norms of Gram matrices are ‖·‖_F / √classes. */
export interface CollapseLayer {
  /** Counts from 1. */
  layer: number;
  /** Of the Gram matrix from the fixed point. */
  gramError: number;
  /** Of the Gram matrix from YᵀY. */
  targetError: number;
  nc1: { agop: number; features: number };
  /** ‖(A + λ̂ I) α − Y‖ / ‖Y‖. */
  relativeResidual: number;
}

/** What linearised Deep RFM is told beside its problem. */
export interface CollapseRun {
  depth: number;
  /** Of the rows that the first layer starts from. */
  seed: number;
  signal?: AbortSignal;
  onLayer?(layer: CollapseLayer): void;
}

/** Stream of the Philox words of the first layer's rows. */
const ROWS_STREAM = 2;

/**
 * What the first layer starts from, n × n row-major: the unit vector of its class plus a vector of standard normal numbers
 * over √n in every row (Box and Muller, from Philox words of stream 2).
 */
export function collapseStart(sizes: readonly number[], seed: number): Float32Array {
  const n = sizes.reduce((sum, size) => sum + size, 0);
  const u = philoxUniform(2 * n * n, 0, ROWS_STREAM, seed);
  const x = new Float32Array(n * n);
  for (let e = 0; e < n * n; e++) {
    x[e] = (Math.sqrt(-2 * Math.log(u[2 * e])) * Math.cos(2 * Math.PI * u[2 * e + 1])) / Math.sqrt(n);
  }
  labelsOf(sizes).forEach((label, i) => {
    x[i * n + label] += 1;
  });
  return x;
}

/** Classes of rows in class order. */
const labelsOf = (sizes: readonly number[]): number[] => sizes.flatMap((size, c) => new Array<number>(size).fill(c));

/** What is the same in all layers. */
interface Task {
  problem: CollapseProblem;
  prediction: CollapsePrediction;
  /** n: rows; classes: outputs. */
  n: number;
  classes: number;
  starts: number[];
  labels: number[];
  /** Yᵀ as right-hand sides, classes × n. */
  targets: Matrix;
  /** X* (n × classes), and −√κ X*, from which the products of a layer start. */
  fixed: Pair;
  negative: Pair;
  /** λ̂ I. */
  ridge: Pair;
}

/**
 * Runs linearised Deep RFM and measures its distance to the fixed point, layer by layer.
 * @throws doesNotFit where n × n matrices do not fit on the device.
 */
export const linearCollapse = (
  outer: Gpu,
  problem: CollapseProblem,
  { depth, seed, signal, onLayer }: CollapseRun,
): Promise<CollapseLayer[]> =>
  owning(outer, async (gpu) => {
    const task = prepare(gpu, problem);
    const { n, classes } = task;
    const wide = featureRows(gpu, n, n, problem.lambdaMap);
    const start = upload(gpu, n, n, collapseStart(problem.sizes, seed));
    await sendBatch(gpu, (batch) => copyScaled(batch, start, block(wide.high, 0, strideOf(n), n, n)));
    release(gpu, start);
    const narrow = featureRows(gpu, n, classes, problem.lambdaMap);
    const layers: CollapseLayer[] = [];
    for (let layer = 1; layer <= depth; layer++) {
      signal?.throwIfAborted();
      const found = await runLayer(gpu, task, layer === 1 ? wide : narrow, narrow);
      layers.push({ layer, ...found });
      if (layer === 1) release(gpu, wide.high, wide.low);
      onLayer?.(layers[layer - 1]);
    }
    return layers;
  });

function prepare(gpu: Gpu, problem: CollapseProblem): Task {
  const { sizes, lambdaHat, kappa } = problem;
  const prediction = predictCollapse(problem);
  const labels = labelsOf(sizes);
  const [n, classes] = [labels.length, sizes.length];
  const starts = [0];
  for (const size of sizes) starts.push(starts[starts.length - 1] + size);
  const perClass = (value: (label: number) => number): Float64Array => {
    const out = new Float64Array(n * classes);
    labels.forEach((label, i) => {
      out[i * classes + label] = value(label);
    });
    return out;
  };
  const root = (label: number): number => Math.sqrt(prediction.fixedPoint[label]);
  return {
    ...{ problem, prediction, n, classes, starts, labels },
    targets: upload(
      gpu,
      classes,
      n,
      transposeHost(
        perClass(() => 1),
        n,
        classes,
      ),
    ),
    fixed: uploadPair(gpu, n, classes, perClass(root)),
    negative: uploadPair(
      gpu,
      n,
      classes,
      perClass((label) => -Math.sqrt(kappa) * root(label)),
    ),
    ridge: uploadPair(gpu, n, n, scaledIdentity(n, lambdaHat)),
  };
}

/** Rows after the feature map, [√λ_map I | X], with `cols` columns left for X; they begin at a multiple of four. */
function featureRows(gpu: Gpu, n: number, cols: number, lambdaMap: number): Pair {
  const width = strideOf(n) + cols;
  const values = new Float64Array(n * width);
  for (let i = 0; i < n; i++) values[i * width + i] = Math.sqrt(lambdaMap);
  return uploadPair(gpu, n, width, values);
}

/** The layer of the rows Φ; `next` receives the rows after the feature map of the next one. */
const runLayer = (outer: Gpu, task: Task, phi: Pair, next: Pair): Promise<Omit<CollapseLayer, 'layer'>> =>
  owning(outer, async (gpu) => {
    const { n, classes, problem, fixed } = task;
    const { alpha, relativeResidual } = await solveLinear(gpu, task, phi);
    const difference = await project(gpu, task, phi, alpha);
    const rows = allocatePair(gpu, n, classes);
    await sendBatch(gpu, (batch) => {
      addToPair(batch, fixed, difference, rows);
      for (const part of ['high', 'low'] as const) {
        copyScaled(batch, rows[part], block(next[part], 0, strideOf(n), n, classes));
      }
    });
    const errors = await gramErrors(gpu, task, rows.high, difference);
    const within = await scatter(gpu, difference, task.starts, 'within');
    const between = await scatter(gpu, rows.high, task.starts, 'between');
    const features = problem.lambdaMap > 0 ? await nc1Of(gpu, next.high, task.starts) : within / between;
    return { ...errors, nc1: { agop: within / between, features }, relativeResidual };
  });

/**
 * Δ = Φ M^{1/2} − X* (n × classes): with the gradient W = αᵀΦ the AGOP is M = κ⁻¹ WᵀW = FᵀF, and Φ Fᵀ is Φ M^{1/2} but for an
 * isometry, in the coordinates of the outputs.
 */
const project = (outer: Gpu, { n, classes, negative, problem }: Task, phi: Pair, alpha: Pair): Promise<Matrix> =>
  owning(outer, async (gpu, keep) => {
    const { rows, cols } = phi.high;
    const [gradient, raised] = [allocatePair(gpu, classes, cols), allocatePair(gpu, n, classes)];
    const difference = keep(allocate(gpu, n, classes));
    await runBatch(gpu, (batch) => {
      const [high, low] = [batch.temporary(cols, rows), batch.temporary(cols, rows)];
      transpose(batch, phi.high, high);
      transpose(batch, phi.low, low);
      const w = { a: alpha.high, lowOfA: alpha.low, b: high, lowOfB: low, out: gradient };
      multiplyAccurately(batch, w, 'NT', false);
      copyScaled(batch, negative.high, raised.high);
      copyScaled(batch, negative.low, raised.low);
      const product = { a: phi.high, lowOfA: phi.low, b: gradient.high, lowOfB: gradient.low };
      multiplyAccurately(batch, { ...product, out: raised, addend: raised }, 'NT', false);
      const sum = batch.temporary(n, classes);
      addScaled(batch, raised.high, raised.low, sum);
      copyScaled(batch, sum, difference, 1 / Math.sqrt(problem.kappa));
    });
    return difference;
  });

/** The distance of the Gram matrix to the fixed point, E = Δ Xᵀ + X* Δᵀ, and to YᵀY, which is E + (b − 1) YᵀY. */
const gramErrors = (
  outer: Gpu,
  { n, classes, labels, fixed, prediction }: Task,
  rows: Matrix,
  difference: Matrix,
): Promise<Pick<CollapseLayer, 'gramError' | 'targetError'>> =>
  owning(outer, async (gpu) => {
    const out = allocate(gpu, n, n);
    await sendBatch(gpu, (batch) => {
      gemm(batch, { a: difference, b: rows, out });
      gemm(batch, { a: fixed.high, b: difference, out, addend: out });
    });
    const error = await download(gpu, out);
    const toTargets = Float64Array.from(error);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        if (labels[i] === labels[j]) toTargets[i * n + j] += prediction.fixedPoint[labels[i]] - 1;
      }
    }
    return {
      gramError: lengthOfAll(error) / Math.sqrt(classes),
      targetError: lengthOfAll(toTargets) / Math.sqrt(classes),
    };
  });

/** tr Σ_W or tr Σ_B of rows in class order. */
const scatter = (outer: Gpu, x: Matrix, starts: readonly number[], which: 'within' | 'between'): Promise<number> =>
  owning(outer, async (gpu) => {
    const results = allocateCollapse(gpu);
    await sendBatch(gpu, (batch) => collapseTraces(batch, asPanel(x, x.rows), starts, results));
    // Both are over the square of the power of two below the largest entry.
    const [largest] = await largestMagnitudes(gpu, [x]);
    return (await readCollapse(gpu, results))[which] * 4 ** exponentOf(largest);
  });

const nc1Of = (outer: Gpu, x: Matrix, starts: readonly number[]): Promise<number> =>
  owning(outer, async (gpu) => {
    const results = allocateCollapse(gpu);
    await sendBatch(gpu, (batch) => collapseTraces(batch, asPanel(x, x.rows), starts, results));
    return (await readCollapse(gpu, results)).nc1;
  });
