import argumentRoundingSource from '../../../shaders/features/argument_rounding.wgsl';
import philoxWeightsSource from '../../../shaders/features/philox_weights.wgsl';
import { inputError, say, the } from '../../errors.js';
import { type Batch, ceilDiv, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, firstRow, read, readWrite, specialize } from '../../runtime/kernel.js';
import { allocate, type Matrix, upload } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { rowGroup } from '../../runtime/variants.js';
import { relu, scaledCos } from '../elementwise/elementwise.js';
import { gemm, gemmWork } from '../gemm/gemm.js';
import type { Counts } from '../work.js';
import { philoxCauchy, philoxUniform, seedWords } from './philox.js';

const philox = defineKernel({
  name: 'philox',
  source: philoxWeightsSource,
  bindings: { out: readWrite('array<u32>') },
  params: {
    rows: 'u32',
    cols: 'u32',
    stride: 'u32',
    layer: 'u32',
    stream: 'u32',
    seedLow: 'u32',
    seedHigh: 'u32',
    scale: 'f32',
    firstRow: firstRow(),
  },
  constants: { SIGNED: 'bool' },
});
const philoxWeights = specialize(philox, 'philox_weights', { SIGNED: true });
const philoxWords = specialize(philox, 'philox_words', { SIGNED: false });

/** Operations of a Philox word, ten rounds; see `RowWork`. */
const WORD = 800;

/** Philox words (SIGNED false) or scale · (2u − 1) (true) for row-major element numbers of `out`. */
export function philoxFill(
  batch: Batch,
  out: Matrix,
  source: { seed: number | bigint; layer: number; stream: number },
  values: { signed: boolean; scale: number },
): void {
  const [low, high] = seedWords(source.seed);
  const { rows, cols, stride } = out;
  const { layer, stream } = source;
  batch.dispatch(values.signed ? philoxWeights : philoxWords, {
    bindings: { out },
    params: { rows, cols, stride, layer, stream, seedLow: low, seedHigh: high, scale: values.scale },
    grid: [ceilDiv(stride, 64), rows],
    work: { flops: WORD * stride },
  });
}

/** Random features: drawn from Philox, or given (weights width × d, phase width). */
export type FeatureWeights =
  | { kind: 'random'; seed: number; layerIndex: number; width: number; gamma: number }
  | { kind: 'given'; weights: Float32Array; width: number; phase: Float32Array | null };

/** Weights W (width × d) of a random-feature layer, and the phases (1 × width) of cosine features. */
export interface FeatureMap {
  w: Matrix;
  phase: Matrix | null;
}

/**
 * ReLU: W_ij ~ U(−1, 1)/√d. Cosine: W_ij ~ Cauchy(0, γ), phases ~ U(0, 2π). Cauchy weights are
 * made on the host in double precision: near its poles tan magnifies the rounding of its argument.
 */
export function featureMap(gpu: Gpu, d: number, weights: FeatureWeights, cosine: boolean): Promise<FeatureMap> {
  return owning(gpu, async (gpu, keep) => keep(await drawnMap(gpu, d, weights, cosine)));
}

async function drawnMap(gpu: Gpu, d: number, weights: FeatureWeights, cosine: boolean): Promise<FeatureMap> {
  if (weights.kind === 'given') {
    return {
      w: upload(gpu, weights.width, d, weights.weights),
      phase: weights.phase && upload(gpu, 1, weights.width, weights.phase),
    };
  }
  const width = weights.width || d;
  const { seed, layerIndex, gamma } = weights;
  if (cosine) {
    const cauchy = philoxCauchy(width * d, layerIndex, 0, seed, gamma);
    const phase = philoxUniform(width, layerIndex, 1, seed).map((u) => 2 * Math.PI * u);
    return { w: upload(gpu, width, d, cauchy), phase: upload(gpu, 1, width, phase) };
  }
  const w = allocate(gpu, width, d);
  await sendBatch(gpu, (batch) =>
    philoxFill(batch, w, { seed, layer: layerIndex, stream: 0 }, { signed: true, scale: 1 / Math.sqrt(d) }),
  );
  return { w, phase: null };
}

/** What φ(A Wᵀ) counts: A n × d, W width × d. */
export const featuresWork = (n: number, d: number, width: number): Counts => gemmWork(n, width, d);

/**
 * out (n × width) = φ(A Wᵀ) for A: n × d; φ = ReLU, or √(2/width) cos(· + phase). `roundings` (1 × n) receives for each
 * row how much rounding may change its cosines, summed over them; see `meanRounding`.
 */
export function applyFeatures(batch: Batch, a: Matrix, map: FeatureMap, out: Matrix, roundings?: Matrix): void {
  batch.scope({ op: 'features' }, () => {
    const projected = batch.temporary(out.rows, out.cols);
    gemm(batch, { a, b: map.w, out: projected });
    if (map.phase) scaledCos(batch, projected, map.phase, out, Math.sqrt(2 / map.w.rows));
    else relu(batch, projected, out);
    if (map.phase && roundings) {
      batch.dispatch(roundingKernel, {
        bindings: { a: projected, sums: roundings },
        params: { cols: projected.cols, stride: projected.stride },
        constants: { SIZE: rowGroup(batch.gpu) },
        grid: [projected.rows],
      });
    }
  });
}

const roundingKernel = defineKernel({
  name: 'argument_rounding',
  source: argumentRoundingSource,
  bindings: { a: read('array<f32>'), sums: readWrite('array<f32>') },
  params: { cols: 'u32', stride: 'u32', zero: 'zero' },
  constants: { SIZE: 'u32' },
});

/** Mean change of a cosine by the rounding of its argument from which on features are refused. */
const MOST_ROUNDING = 1e-2;

/**
 * The mean over all features of what `applyFeatures` found of their roundings: how many digits cosines have left.
 * @throws input error where they have less than two.
 */
export function meanRounding(roundings: ArrayLike<number>, width: number): number {
  let sum = 0;
  for (let i = 0; i < roundings.length; i++) sum += roundings[i];
  const mean = sum / (roundings.length * width);
  if (mean <= MOST_ROUNDING) return mean;
  throw inputError(
    `the arguments of cos are so large that rounding changes the features by ${mean.toPrecision(2)} on average, of at most 1`,
    say`use a smaller ${the.gamma}, or smaller ${the.weights}`,
  );
}
