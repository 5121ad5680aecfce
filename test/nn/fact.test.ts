import { describe, expect, it } from 'vitest';
import { type FactIdentity, factIdentity } from '../../src/nn/fact.js';
import { initialize } from '../../src/nn/init.js';
import type { LossName } from '../../src/nn/loss.js';
import { createModel, parametersOf, releaseModel } from '../../src/nn/models.js';
import { prepareSamples } from '../../src/nn/samples.js';
import { trainSettings } from '../../src/nn/settings.js';
import { flatShape } from '../../src/nn/tensor.js';
import { trainNetworks } from '../../src/nn/train.js';
import { releasePanels } from '../../src/ops/tiles.js';
import { expectBelow, putRows, reportErrors, useGpu } from '../support/gpu.js';
import {
  at,
  combined,
  type Dense,
  dense,
  normalMatrix,
  pearson,
  product,
  productNT,
  transposed,
} from '../support/reference.js';
import { numbers, write } from './support.js';

const gpu = useGpu();
reportErrors();

const frobenius = (a: Dense): number => Math.sqrt(a.data.reduce((sum, v) => sum + v * v, 0));

interface Problem {
  weights: readonly Dense[];
  x: Dense;
  labels: Int32Array;
  loss: LossName;
  decay: number;
}

/** The identity in float64, sample by sample: R = −(1/(nλ)) Σ ∇_h ℓ_i hᵢᵀ, formed as it is written. */
function reference({ weights, x, labels, loss, decay }: Problem): FactIdentity[] {
  const hidden = weights.length - 1;
  const sums = weights.slice(0, hidden).map((w) => dense(w.cols, w.cols, () => 0));
  for (let i = 0; i < x.rows; i++) {
    const seen = [dense(1, x.cols, (_, j) => at(x, i, j))];
    for (const w of weights.slice(0, hidden)) {
      const y = productNT(seen[seen.length - 1], w);
      seen.push({ ...y, data: y.data.map((v) => Math.max(v, 0)) });
    }
    const o = productNT(seen[hidden], weights[hidden]);
    const exponentials = Array.from(o.data, (v) => Math.exp(v - Math.max(...o.data)));
    const total = exponentials.reduce((sum, v) => sum + v, 0);
    let gradient = dense(1, o.cols, (_, c) => {
      const wanted = c === labels[i];
      if (loss === 'cross-entropy') return exponentials[c] / total - (wanted ? 1 : 0);
      return (2 / o.cols) * (at(o, 0, c) - (wanted ? 1 : -1));
    });
    gradient = product(gradient, weights[hidden]);
    for (let l = hidden - 1; l >= 0; l--) {
      const masked = dense(1, gradient.cols, (_, j) => (at(seen[l + 1], 0, j) > 0 ? at(gradient, 0, j) : 0));
      gradient = product(masked, weights[l]);
      product(transposed(gradient), seen[l]).data.forEach((v, e) => {
        sums[l].data[e] -= v / (x.rows * decay);
      });
    }
  }
  return sums.map((r, l) => {
    const gram = product(transposed(weights[l]), weights[l]);
    const apart = dense(r.rows, r.cols, (a, b) => at(gram, a, b) - at(r, a, b));
    return { correlation: pearson(gram, r), difference: frobenius(apart) / frobenius(gram) };
  });
}

const close = (name: string, found: number, expected: number, bound: number): void =>
  expectBelow(name, Math.abs(found - expected) / Math.abs(expected), bound);

describe('the FACT identity of a head', () => {
  const [n, inputs, width, outputs] = [1300, 19, 12, 4];
  const labels = Int32Array.from({ length: n }, (_, i) => Math.floor((i * outputs) / n));
  const cases: [loss: LossName, gain: number, size: number, decay: number][] = [
    ['mse', 1.3, 1, 1e-3],
    ['mse', 0.4, 1, 0.7],
    ['mse', 1e-3, 1, 1e-12],
    ['mse', 1, 2 ** -20, 1e-2],
    ['cross-entropy', 1.3, 1, 1e-3],
  ];
  it.each(cases)('%s, gain %d, rows of size %d, decay %d: as float64 has it', async (loss, gain, size, decay) => {
    const model = createModel(gpu(), 'mlp', { input: flatShape(inputs), outputs, depth: 3, width });
    await initialize(gpu(), parametersOf(model), { gain, seed: 5 });
    const weights: Dense[] = [];
    for (const { value } of parametersOf(model)) {
      weights.push({ rows: value.rows, cols: value.cols, data: await numbers(gpu(), value) });
    }
    const x = combined(size, normalMatrix(n, inputs, 3));
    // More rows than go through at once, in tiles that end elsewhere.
    const phi = putRows(gpu(), x, 500);
    const found = await factIdentity(gpu(), model.layers, phi, { labels, loss, weightDecay: decay });
    const expected = reference({ weights, x, labels, loss, decay });
    expect(found.length).toBe(3);
    for (const [l, { correlation, difference }] of found.entries()) {
      expectBelow('FACT correlation', Math.abs(correlation - expected[l].correlation), 1e-5);
      close('FACT difference', difference, expected[l].difference, 1e-5);
    }
    releasePanels(gpu(), phi);
    releaseModel(gpu(), model);
  });

  it('without a gradient there is no correlation, and all of WᵀW is missing; without weights there is neither', async () => {
    const model = createModel(gpu(), 'mlp', { input: flatShape(6), outputs: 2, depth: 2, width: 4 });
    await initialize(gpu(), parametersOf(model), { gain: 1, seed: 1 });
    write(gpu(), parametersOf(model)[1].value, new Float64Array(16));
    const phi = putRows(gpu(), normalMatrix(6, 6, 1), 6);
    const problem = { labels: Int32Array.of(0, 0, 0, 1, 1, 1), loss: 'mse', weightDecay: 0.1 } as const;
    const found = await factIdentity(gpu(), model.layers, phi, problem);
    expect(found).toEqual([
      { correlation: Number.NaN, difference: expect.closeTo(1, 6) },
      { correlation: Number.NaN, difference: Number.NaN },
    ]);
    releasePanels(gpu(), phi);
    releaseModel(gpu(), model);
  });
});

describe('a training with weight decay', () => {
  const [n, d, classes] = [60, 10, 3];
  const noise = normalMatrix(n, d, 7);
  const labels = Int32Array.from({ length: n }, (_, i) => i % classes);
  const x = Float32Array.from(
    noise.data,
    (v, e) => 0.5 * v + 2 * Math.sin(1 + (labels[Math.floor(e / d)] + 1) * (e % d)),
  );
  const data = prepareSamples({ train: { x, labels, rows: n, cols: d }, test: null, classes }, null);
  const settings = (loss: LossName, weightDecay: number) =>
    trainSettings({
      ...{ model: 'mlp', depth: 2, width: 16, init: 1, learningRate: 0.05, momentum: 0.9, loss, weightDecay },
      ...{ epochs: 600, batch: n, measureEvery: 600, seeds: [0] },
    });

  it.each(['mse', 'cross-entropy'] as const)('%s: the identity comes to hold', async (loss) => {
    const { records } = await trainNetworks(gpu(), data, settings(loss, 0.02));
    const [before, after] = records[0].measurements;
    for (const [l, { fact }] of after.layers.entries()) {
      const first = before.layers[l].fact;
      if (!fact || !first) throw new Error('nothing measured');
      expect(first.correlation).toBeLessThan(0.95);
      expect(first.difference).toBeGreaterThan(0.5);
      expectBelow('FACT correlation short of 1', 1 - fact.correlation, 0.005);
      expectBelow('FACT difference after training', fact.difference, 0.05);
    }
  });

  it('has none without weight decay', async () => {
    const { records } = await trainNetworks(gpu(), data, { ...settings('mse', 0), epochs: 1 });
    for (const { layers } of records[0].measurements)
      for (const layer of layers) expect(layer).not.toHaveProperty('fact');
  });
});
