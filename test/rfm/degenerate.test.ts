import { describe, expect, it } from 'vitest';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { deepRfm } from '../../src/rfm/deep-rfm.js';
import { accuracy } from '../../src/rfm/fit.js';
import { rfmLayer } from '../../src/rfm/layer.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import { rfm } from '../../src/rfm/rfm.js';
import { useGpu } from '../support/gpu.js';
import { at, dense, normalMatrix, uniforms } from '../support/reference.js';

const gpu = useGpu();

const run = async (x: Float32Array, cols: number, labels: Int32Array, change: DeepRfmOptions = {}) => {
  const rows = labels.length;
  const classes = Math.max(...labels) + 1;
  return deepRfm(gpu(), { train: { x, labels, rows, cols }, test: null, classes }, { depth: 2, width: 64, ...change });
};

const ROUNDING = 'the gradients of the predictor are rounding alone, as where equal rows have opposite targets';

describe('one row a class', () => {
  it('NC1 is 0 at every stage of every layer, and NC2 is defined', async () => {
    const x = Float32Array.from(normalMatrix(8, 10, 1).data);
    const { layers } = await run(
      x,
      10,
      Int32Array.from({ length: 8 }, (_, i) => i),
    );
    for (const { nc1, nc2 } of layers) {
      expect(nc1).toEqual({ input: 0, agop: 0, features: 0 });
      for (const value of Object.values(nc2)) expect(value).toBeGreaterThan(1e-3);
    }
  });
});

describe('equal rows with opposite labels', () => {
  const [n, d] = [60, 10];
  const half = normalMatrix(n, d, 2);
  const next = uniforms(3);
  const shuffled = [...Array(n).keys()].map((i) => [next(), i]).sort((a, b) => a[0] - b[0]);
  const x = dense(2 * n, d, (i, j) => at(half, i < n ? i : shuffled[i - n][1], j));
  const labels = Int32Array.from({ length: 2 * n }, (_, i) => Number(i >= n));
  const features = Float32Array.from(x.data);

  it.each([
    ['Jacobians', { agop: 'jacobian' }],
    ['Gram space', { agop: 'gram' }],
    ['no ridge', { ridge: 0 }],
    ['a Gaussian kernel', { kernel: gaussian(2) }],
  ] as const)('have no AGOP, by %s', async (_, change) => {
    await expect(run(features, d, labels, change)).rejects.toThrow(ROUNDING);
  });

  it('nor in a layer on its own, nor in classic RFM', async () => {
    const y = Float32Array.from({ length: 4 * n }, (_, e) => (labels[e >> 1] === e % 2 ? 1 : -1));
    const random = { kind: 'random', seed: 0, layerIndex: 0, width: 16, gamma: 0.1 } as const;
    const input = { x: features, n: 2 * n, d, y, outputs: 2 };
    await expect(rfmLayer(gpu(), { ...input, labels, features: random })).rejects.toThrow(ROUNDING);
    await expect(rfm(gpu(), { ...input, testX: null, testRows: 0 }, { iterations: 2 })).rejects.toThrow(ROUNDING);
  });

  it('with other labels than targets: the AGOP is that of the targets, NC1 and NC2 are not defined', async () => {
    const y = Float32Array.from({ length: 2 * n }, (_, i) => (at(x, i, 0) > 0 ? 1 : -1));
    const random = { kind: 'random', seed: 0, layerIndex: 0, width: 16, gamma: 0.1 } as const;
    const { metrics } = await rfmLayer(gpu(), { x: features, n: 2 * n, d, y, outputs: 1, labels, features: random });
    const none = { input: Number.NaN, agop: Number.NaN, features: Number.NaN };
    expect([metrics.nc1, metrics.nc2]).toEqual([none, none]);
    expect(metrics.trainAccuracy).toBeCloseTo(0.5, 1);
  });
});

describe('accuracy', () => {
  it('refuses predictions that are not finite: the largest of NaN would be the first', () => {
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const scores = Float32Array.from([1, 2, 3, 4, wrong, 6]);
      expect(() => accuracy(scores, Int32Array.from([0, 0, 1]))).toThrow('float32 cannot solve this system');
    }
    expect(accuracy(Float32Array.from([1, 2, 3, 0, 3, 2]), Int32Array.from([0, 1, 1]))).toBeCloseTo(2 / 3, 12);
  });
});
