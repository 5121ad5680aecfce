import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FeatureWeights } from '../../src/ops/features/features.js';
import { applyFeatures, featureMap, meanRounding } from '../../src/ops/features/features.js';
import { philoxUniform } from '../../src/ops/features/philox.js';
import { runBatch } from '../../src/runtime/batch.js';
import { download, release } from '../../src/runtime/matrix.js';
import { inputMessage } from '../data/helpers.js';
import {
  EDGE_SIZES,
  expectClose,
  expectEach,
  poisoned,
  put,
  RUNS,
  read,
  reportErrors,
  useGpu,
} from '../support/gpu.js';
import { at, type Dense, dense, normalMatrix, productNT } from '../support/reference.js';

const gpu = useGpu();
reportErrors();
const size = fc.constantFrom(...EDGE_SIZES);
const seed = fc.nat(1e6);

/** φ(A Wᵀ) on the device with the map it used. */
async function features(a: Dense, weights: FeatureWeights, cosine: boolean) {
  const map = await featureMap(gpu(), a.cols, weights, cosine);
  const x = put(gpu(), a);
  const out = poisoned(gpu(), a.rows, map.w.rows);
  await runBatch(gpu(), (batch) => applyFeatures(batch, x, map, out));
  const found = await read(gpu(), out);
  const w: Dense = { rows: map.w.rows, cols: map.w.cols, data: Float64Array.from(await download(gpu(), map.w)) };
  const phase = map.phase && Float64Array.from(await download(gpu(), map.phase));
  release(gpu(), x, out, map.w, ...(map.phase ? [map.phase] : []));
  return { found, w, phase };
}

const random = (seed: number, width: number, gamma = 1): FeatureWeights => ({
  kind: 'random',
  seed,
  layerIndex: 5,
  width,
  gamma,
});

/** √(2/D) cos(A Wᵀ + phase), and for each entry how far rounding may move the argument. */
function cosineReference(a: Dense, w: Dense, phase: Float64Array) {
  const argument = productNT(a, w);
  const magnitude = productNT({ ...a, data: a.data.map(Math.abs) }, { ...w, data: w.data.map(Math.abs) });
  const expected = dense(a.rows, w.rows, (i, j) => Math.sqrt(2 / w.rows) * Math.cos(at(argument, i, j) + phase[j]));
  return { expected, allowed: (i: number, j: number) => Math.sqrt(2 / w.rows) * (1 + at(magnitude, i, j)) };
}

describe('ReLU', () => {
  it('max(A Wᵀ, 0) with W ~ U(−1, 1)/√d', () =>
    fc.assert(
      fc.asyncProperty(size, size, size, seed, async (n, d, width, s) => {
        const a = normalMatrix(n, d, s);
        const { found, w, phase } = await features(a, random(s, width), false);
        expect([w.rows, w.cols, phase]).toEqual([width, d, null]);
        const scale = Math.fround(1 / Math.sqrt(d));
        expect(w.data).toEqual(philoxUniform(width * d, 5, 0, s).map((u) => Math.fround(scale * (2 * u - 1))));
        const plain = productNT(a, w);
        const expected = dense(n, width, (i, j) => Math.max(at(plain, i, j), 0));
        const length = Math.sqrt(plain.data.reduce((sum, v) => sum + v * v, 0));
        expectClose('ReLU features', found, expected, 5e-7, length);
        expect(found.data.every((v) => v >= 0)).toBe(true);
      }),
      RUNS,
    ));

  it('width 0 is the width of the input', async () => {
    expect((await features(normalMatrix(3, 13, 1), random(1, 0), false)).w.rows).toBe(13);
    expect((await features(normalMatrix(3, 13, 1), random(1, 0), true)).w.rows).toBe(13);
  });
});

describe('cosine', () => {
  it('√(2/D) cos(A Wᵀ + u) with Cauchy weights and uniform phases', () =>
    fc.assert(
      fc.asyncProperty(size, size, size, fc.constantFrom(0.01, 0.1), seed, async (n, d, width, gamma, s) => {
        const a = normalMatrix(n, d, s);
        const { found, w, phase } = await features(a, random(s, width, gamma), true);
        const cauchy = philoxUniform(width * d, 5, 0, s).map((u) => Math.fround(gamma * Math.tan(Math.PI * (u - 0.5))));
        expect(w.data).toEqual(cauchy);
        expect(phase).toEqual(philoxUniform(width, 5, 1, s).map((u) => Math.fround(2 * Math.PI * u)));
        const { expected, allowed } = cosineReference(a, w, phase!);
        expectEach('cosine features', found, expected, 5e-7, allowed);
      }),
      RUNS,
    ));

  it('takes given weights and phases', async () => {
    const [a, w] = [normalMatrix(17, 33, 1), normalMatrix(9, 33, 2)];
    const phase = Float32Array.from({ length: 9 }, (_, j) => j - 4);
    const given: FeatureWeights = { kind: 'given', weights: Float32Array.from(w.data), width: 9, phase };
    const { found } = await features(a, given, true);
    const { expected, allowed } = cosineReference(a, w, Float64Array.from(phase));
    expectEach('cosine features, given', found, expected, 5e-7, allowed);
  });

  it('says how much rounding changes them, and refuses where nothing is left', async () => {
    const [a, w] = [normalMatrix(17, 33, 1), normalMatrix(9, 33, 2)];
    const argument = productNT(a, w);
    const roundingAt = async (scale: number) => {
      const weights = Float32Array.from(w.data, (value) => value * scale);
      const given: FeatureWeights = { kind: 'given', weights, width: 9, phase: new Float32Array(9) };
      const map = await featureMap(gpu(), 33, given, true);
      const [x, out, roundings] = [put(gpu(), a), poisoned(gpu(), 17, 9), poisoned(gpu(), 1, 17)];
      await runBatch(gpu(), (batch) => applyFeatures(batch, x, map, out, roundings));
      const found = await download(gpu(), roundings);
      const features = await download(gpu(), out);
      release(gpu(), x, out, roundings, map.w, map.phase!);
      expect(features.every((value) => Math.abs(value) <= Math.fround(Math.sqrt(2 / 9)))).toBe(true);
      return found;
    };
    for (const scale of [1, 1e3]) {
      const expected = argument.data.reduce((sum, v) => sum + Math.abs(v) * scale * 2 ** -22, 0) / (17 * 9);
      expect(meanRounding(await roundingAt(scale), 9) / expected).toBeCloseTo(1, 4);
    }
    for (const scale of [1e9, 1e20, 1e30]) {
      const found = await roundingAt(scale);
      expect(inputMessage(() => meanRounding(found, 9))).toMatch(/arguments of cos .*; use a smaller gamma/);
    }
  });
});
