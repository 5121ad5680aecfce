import { describe, expect, it } from 'vitest';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { deepRfm } from '../../src/rfm/deep-rfm.js';
import { rfmLayer } from '../../src/rfm/layer.js';
import type { LayerOptions } from '../../src/rfm/options.js';
import { rfm } from '../../src/rfm/rfm.js';
import type { LayerInput } from '../../src/rfm/types.js';
import { expectBelow, reportErrors, useGpu } from '../support/gpu.js';
import { norm, normalMatrix } from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const [n, d, outputs] = [45, 7, 3];
const labels = Int32Array.from({ length: n }, (_, i) => i % outputs);
const x = normalMatrix(n, d, 1).data.map(
  (value, e) => value + 1.5 * Math.sin(1 + (labels[Math.floor(e / d)] + 1) * (e % d)),
);
const y = Float64Array.from({ length: n * outputs }, (_, e) =>
  labels[Math.floor(e / outputs)] === e % outputs ? 1 : -1,
);

const error = (found: ArrayLike<number>, expected: ArrayLike<number>, unit = 1): number =>
  norm(Array.from(found, (value, e) => value / unit - expected[e])) / norm(Array.from(expected));

describe('results do not depend on units and origins', () => {
  const features = { kind: 'random', seed: 1, layerIndex: 0, width: 16, gamma: 0.1 } as const;
  const layer = (input: Partial<LayerInput>, options: LayerOptions = {}) =>
    rfmLayer(gpu(), { x, n, d, y, outputs, labels, features, ...input }, options);

  it('a layer: rows and targets of any size', async () => {
    for (const agop of ['gram', 'jacobian'] as const) {
      const expected = await layer({}, { agop });
      for (const unit of [1e-200, 1e-22, 1e-18, 1e22, 1e200]) {
        const rows = await layer({ x: x.map((value) => value * unit) }, { agop });
        expectBelow('layer, rows in other units', error(rows.agop, expected.agop), 2e-6);
        expectBelow('layer, NC1 in other units', Math.abs(rows.metrics.nc1.agop / expected.metrics.nc1.agop - 1), 1e-5);
      }
      for (const unit of [1e-150, 1e-20, 1e19, 1e150]) {
        const targets = await layer({ y: y.map((value) => value * unit) }, { agop });
        expectBelow('layer, α of other targets', error(targets.alpha, expected.alpha, unit), 2e-6);
        expectBelow('layer, AGOP of other targets', error(targets.agop, expected.agop, unit * unit), 2e-6);
        expectBelow('layer, root of other targets', error(targets.agopSqrt, expected.agopSqrt), 1e-5);
      }
    }
  });

  it('a layer: AGOP of a narrow kernel, which any unit of it holds', async () => {
    for (const kernel of [laplace(0.004), gaussian(0.035)]) {
      // Of the nearest rows, 0.316 apart, kernel values are exp(−79) and exp(−41).
      const expected = await layer({}, { kernel, agop: 'jacobian' });
      const gram = await layer({}, { kernel, agop: 'gram' });
      expectBelow('narrow kernel, Gram form against Jacobians', error(gram.agop, expected.agop), 1e-5);
      const large = await layer({ y: y.map((value) => value * 1e8) }, { kernel, agop: 'jacobian' });
      expectBelow('narrow kernel, targets times 1e8', error(large.agop, expected.agop, 1e16), 1e-5);
      expect(Math.max(...expected.agop)).toBeGreaterThan(0);
    }
  });

  it('a layer: the Gram form is refused where nothing of it is left, and Jacobians are right', async () => {
    // Three points, and rows that are 1e-6 from them.
    const near = x.map((value, e) => Math.sin(1 + (labels[Math.floor(e / d)] + 1) * (e % d)) + 1e-6 * value);
    const refusal = await layer({ x: near }, { agop: 'gram' }).catch((error: Error) => error.message);
    expect(refusal).toMatch(/^agop gram: its terms are .*e\+1\d times .*; use agop jacobian/);
    expect((await layer({ x: near })).metrics.agop.path).toBe('jacobian');
  });

  it('rfm: rows with another origin, in another unit with the bandwidth, and targets of any size', async () => {
    const learn = async (rows: Float64Array, targets: Float64Array, bandwidth: number) =>
      rfm(
        gpu(),
        { x: rows, n, d, y: targets, outputs, testX: rows.subarray(0, 5 * d), testRows: 5 },
        { kernel: laplace(bandwidth), iterations: 2 },
      );
    const expected = await learn(x, y, 2);
    const predictions = expected.predictions ?? new Float64Array();
    for (const [offset, unit, size] of [
      [1e3, 1, 1],
      [1e6, 1, 1],
      [0, 1e-18, 1],
      [0, 1e200, 1],
      [0, 1, 1e-20],
      [0, 1, 1e19],
      [1e5, 1e-30, 1e100],
    ]) {
      const found = await learn(
        x.map((value) => (value + offset) * unit),
        y.map((value) => value * size),
        2 * unit,
      );
      expectBelow('rfm, M in other units', error(found.M, expected.M), 3e-6);
      expectBelow('rfm, predictions in other units', error(found.predictions ?? [], predictions, size), 3e-6);
    }
  });

  it('a run: columns far from zero and in other units', async () => {
    const run = async (rows: Float64Array) => {
      const train = { x: rows, labels, rows: n, cols: d };
      return (await deepRfm(gpu(), { train, test: null, classes: outputs }, { depth: 2, width: 16 })).layers[1].nc1;
    };
    const expected = await run(x);
    for (const map of [
      (value: number) => value + 1e7,
      (value: number) => value + 1.7e9,
      (value: number) => value * 1e-22,
      (value: number) => value * 1e22,
      (value: number, e: number) => (e % d === 0 ? value * 1e-30 : value),
      (value: number, e: number) => (e % d === 0 ? value * 1e30 : value),
    ]) {
      const found = await run(x.map(map));
      for (const stage of ['input', 'agop', 'features'] as const) {
        expectBelow('run, NC1 in other units', Math.abs(found[stage] / expected[stage] - 1), 1e-5);
      }
    }
  });
});
