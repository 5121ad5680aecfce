import { describe, expect, it } from 'vitest';
import { loadDataset } from '../../src/data/dataset.js';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { deepRfm } from '../../src/rfm/deep-rfm.js';
import { rfmLayer } from '../../src/rfm/layer.js';
import { rfm } from '../../src/rfm/rfm.js';
import type { KernelReport } from '../../src/rfm/types.js';
import { useGpu } from '../support/gpu.js';
import { at, collapsedRows, type Dense, dense, kernelMatrixOf, solved } from '../support/reference.js';

const gpu = useGpu();

const unitRows = (x: Dense): Dense =>
  dense(x.rows, x.cols, (i, j) => {
    let square = 0;
    for (let c = 0; c < x.cols; c++) square += at(x, i, c) ** 2;
    return at(x, i, j) / Math.sqrt(square);
  });

/** By the definitions, in float64. */
function reference(
  k: Dense,
  y: Dense,
  labels: ArrayLike<number>,
  ridge: number,
): Omit<KernelReport, 'optimum' | 'ratio'> {
  const alpha = solved(
    dense(k.rows, k.rows, (i, j) => at(k, i, j) + (i === j ? ridge : 0)),
    y,
  );
  const sums = { within: 0, between: 0 };
  const counts = { within: 0, between: 0 };
  for (let i = 0; i < k.rows; i++) {
    for (let j = 0; j < k.rows; j++) {
      if (i === j) continue;
      const which = labels[i] === labels[j] ? 'within' : 'between';
      sums[which] += at(k, i, j);
      counts[which]++;
    }
  }
  return {
    objective: ridge * y.data.reduce((sum, value, e) => sum + value * alpha.data[e], 0),
    within: sums.within / counts.within,
    between: sums.between / counts.between,
    rows: k.rows,
  };
}

const signs = (labels: ArrayLike<number>, classes: number): Dense =>
  dense(labels.length, classes, (i, c) => (labels[i] === c ? 1 : -1));

function expectReport(found: KernelReport | undefined, expected: ReturnType<typeof reference>): void {
  expect(found!.rows).toBe(expected.rows);
  for (const name of ['objective', 'within', 'between'] as const) {
    expect(Math.abs(found![name] / expected[name] - 1), name).toBeLessThan(1e-5);
  }
  expect(found!.ratio).toBeGreaterThan(1 - 1e-6);
  expect(found!.ratio).toBeCloseTo(found!.objective / found!.optimum, 8);
}

describe('the kernel of a layer', () => {
  it.each([
    ['spread out rows', 1, 'laplace', 2 ** 26],
    ['collapsed rows', 1e-3, 'laplace', 2 ** 26],
    ['a Gaussian kernel', 0.3, 'gaussian', 2 ** 26],
    ['rows in tiles', 0.1, 'laplace', 2 ** 13],
  ] as const)('has the objective and the mean entries of float64: %s', async (_, spread, name, tileBytes) => {
    const [n, d, classes] = [90, 12, 3];
    const x = collapsedRows(n, d, classes, spread, 5);
    // Not in class order, and of different sizes.
    const labels = Int32Array.from({ length: n }, (_, i) => Math.floor((i * classes) / n));
    labels.fill(1, 20, 30);
    const y = signs(labels, classes);
    const result = await rfmLayer(
      { ...gpu(), tileBytes },
      {
        ...{ x: Float32Array.from(x.data), n, d, y: Float32Array.from(y.data), outputs: classes, labels: null },
        features: { kind: 'random', seed: 1, layerIndex: 0, width: 8, gamma: 0.1 },
      },
      { kernel: name === 'laplace' ? laplace(2) : gaussian(2), ridge: 1e-3 },
    );
    const unit = unitRows(x);
    expectReport(result.metrics.kernel, reference(kernelMatrixOf(unit, unit, name, 2), y, labels, 1e-3));
  });

  it('is never better than the best one, and comes near it over the layers', async () => {
    const { layers } = await deepRfm(gpu(), loadDataset({ name: 'mnist-sample', n: 200, testN: 0 }), {
      depth: 4,
      width: 128,
    });
    const ratios = layers.map(({ kernel }) => kernel!.ratio);
    for (const ratio of ratios) expect(ratio).toBeGreaterThan(1 - 1e-6);
    expect(ratios[3]).toBeLessThan(ratios[0]);
    expect(layers[3].kernel!.within).toBeGreaterThan(layers[0].kernel!.within);
  });

  it('keeps its value in the unit of the targets, and is unknown for regression', async () => {
    const [n, d] = [40, 5];
    const x = collapsedRows(n, d, 2, 1, 3);
    const of = async (y: Float32Array) =>
      (
        await rfm(
          gpu(),
          { x: Float32Array.from(x.data), n, d, y, outputs: 1, testX: null, testRows: 0 },
          { iterations: 1 },
        )
      ).kernels;
    const labels = Int32Array.from({ length: n }, (_, i) => i % 2);
    const y = dense(n, 1, (i) => 300 * labels[i] - 100);
    const [first, second, ...others] = await of(Float32Array.from(y.data));
    expect(others).toEqual([]);
    expectReport(first, reference(kernelMatrixOf(x, x, 'laplace', 2), y, labels, 1e-3));
    expect(second.ratio).toBeGreaterThan(1 - 1e-6);
    const [regression] = await of(Float32Array.from(x.data.subarray(0, n)));
    expect(regression.objective).toBeGreaterThan(0);
    expect([regression.optimum, regression.ratio, regression.within]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
  });
});
