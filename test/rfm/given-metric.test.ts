import { Matrix as HostMatrix, SingularValueDecomposition } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import type { LabelledRows } from '../../src/numbers.js';
import { deepRfm } from '../../src/rfm/deep-rfm.js';
import { givenRoot } from '../../src/rfm/given-metric.js';
import { factorMetric } from '../../src/rfm/metric.js';
import type { FeatureRows } from '../../src/rfm/rows.js';
import { throughLayers } from '../../src/rfm/through-layers.js';
import { reportErrors, useGpu } from '../support/gpu.js';
import {
  type Dense,
  dense,
  identity,
  normalMatrix,
  product,
  productNT,
  relativeError,
  transposed,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

/** Symmetric, with eigenvalues from 1 down in the first `rank` of orthonormal directions, and its square. */
function rootAndMetric(d: number, rank: number, seed: number): { root: Dense; metric: Dense } {
  const { leftSingularVectors } = new SingularValueDecomposition(
    HostMatrix.from1DArray(d, d, Array.from(normalMatrix(d, d, seed).data)),
  );
  const q = dense(d, d, (i, j) => leftSingularVectors.get(i, j));
  const scaled = dense(d, d, (i, j) => (i < rank ? q.data[i * d + j] * 0.9 ** (i % 40) : 0));
  const used = dense(d, d, (i, j) => (i < rank ? q.data[i * d + j] : 0));
  const root = product(transposed(used), scaled);
  return { root, metric: product(root, root) };
}

describe('a metric given to Deep RFM', () => {
  it.each([
    [1, 1],
    [2, 1],
    [31, 31],
    [64, 17],
    [127, 127],
    [130, 65],
  ])('has a root: %i × %i, rank %i', async (d, rank) => {
    const { root, metric } = rootAndMetric(d, rank, d);
    const factor = factorMetric(metric.data, d);
    const found = await givenRoot(gpu(), factor);
    const scale = Math.sqrt(factor.unit);
    const data = Float64Array.from(found!.root, (value) => value * scale);
    expect(found!.d).toBe(d);
    expect(relativeError({ rows: d, cols: d, data }, root)).toBeLessThan(2e-6);
  });

  const [n, d, tests] = [45, 11, 7];
  const rows = (count: number, seed: number): LabelledRows => ({
    x: Float32Array.from(normalMatrix(count, d, seed).data),
    labels: Int32Array.from({ length: count }, (_, i) => i % 3),
    ...{ rows: count, cols: d },
  });
  const data = { train: rows(n, 1), test: rows(tests, 2), classes: 3 };
  const options = { depth: 2, width: 12, seed: 3 };

  /** Layers of a run, and the rows after each. */
  async function run(given: Parameters<typeof deepRfm>[2]) {
    const roots: Float32Array[] = [];
    const after: { train: FeatureRows; test: FeatureRows | null }[] = [];
    const { layers, predictions } = await deepRfm(gpu(), data, given, {
      progress: {
        onRoot: (layer, root) => {
          roots[layer - 1] = root;
        },
        save: (state) => void after.push(state),
      },
    });
    return { layers: layers.map(({ seconds: _, ...layer }) => layer), predictions, roots, after };
  }

  it('changes nothing where it is a multiple of I', async () => {
    const metric = factorMetric(
      identity(d).data.map((value) => 4 * value),
      d,
    );
    const [plain, given] = [await run(options), await run({ ...options, metric })];
    expect(given.layers.map(({ testAccuracy }) => testAccuracy)).toEqual(
      plain.layers.map(({ testAccuracy }) => testAccuracy),
    );
    // Lengths are rounded once more.
    given.predictions?.forEach((value, e) => {
      expect(value).toBeCloseTo(plain.predictions?.[e] ?? Number.NaN, 5);
    });
  });

  it.each([
    ['all directions', 11],
    ['some directions', 4],
  ])('is between the standardised rows and the first layer: %s', async (_, rank) => {
    const { root, metric } = rootAndMetric(d, rank, 5);
    const own = { ...options, metric: factorMetric(metric.data, d) };
    const found = await run(own);
    // Rows of a run are standardised and of length 1; the same rows after M^{1/2} by float64 are those of a layer.
    const standard = standardised(data.train);
    const moved = unit(productNT(standard, root));
    expect(found.layers[0].nc1.input / nc1Of(moved, data.train.labels)).toBeCloseTo(1, 4);
    expect(found.layers[0].nc1.input / nc1Of(unit(standard), data.train.labels)).not.toBeCloseTo(1, 2);
    const stages = await throughLayers(gpu(), data.train, data.test, found.roots, own);
    found.after.forEach(({ test }, i) => {
      expect(stages[i + 1]).toEqual(test);
    });
  });

  it('is there for features of infinite width, too', async () => {
    const { metric } = rootAndMetric(d, 4, 5);
    const given = factorMetric(metric.data, d);
    const [finite, infinite] = [
      await run({ ...options, metric: given }),
      await deepRfm(gpu(), data, { ...options, width: 'inf', metric: given }),
    ];
    // The first layer's input, kernel and fit are the same.
    expect(infinite.layers[0].nc1.input / finite.layers[0].nc1.input).toBeCloseTo(1, 4);
    expect(infinite.layers[0].testAccuracy).toBe(finite.layers[0].testAccuracy);
  });

  it('that takes all of a row says so', async () => {
    // The metric sees column 1 alone, which is at its mean in every third row.
    const metric = factorMetric(dense(d, d, (i, j) => (i === 1 && j === 1 ? 1 : 0)).data, d);
    const x = data.train.x.map((value, e) => (e % d === 1 ? (Math.floor(e / d) % 3) - 1 : value));
    const train = { ...data.train, x };
    await expect(deepRfm(gpu(), { ...data, train }, { ...options, metric })).rejects.toThrow(
      /training row \d+ \(from 0\) is zero after the given metric/,
    );
  });
});

/** Columns of mean 0 and deviation 1. */
function standardised({ x, rows: count, cols }: LabelledRows): Dense {
  const statistics = Array.from({ length: cols }, (_, j) => {
    const column = Array.from({ length: count }, (_, i) => x[i * cols + j]);
    const mean = column.reduce((sum, value) => sum + value, 0) / count;
    return { mean, deviation: Math.sqrt(column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count) };
  });
  return unit(dense(count, cols, (i, j) => (x[i * cols + j] - statistics[j].mean) / statistics[j].deviation));
}

/** Rows over their lengths. */
function unit(a: Dense): Dense {
  const lengths = Array.from({ length: a.rows }, (_, i) =>
    Math.sqrt(a.data.subarray(i * a.cols, (i + 1) * a.cols).reduce((sum, value) => sum + value ** 2, 0)),
  );
  return dense(a.rows, a.cols, (i, j) => a.data[i * a.cols + j] / lengths[i]);
}

/** tr Σ_W / tr Σ_B. */
function nc1Of(a: Dense, labels: Int32Array): number {
  const mean = (ids: number[]): number[] =>
    Array.from({ length: a.cols }, (_, j) => ids.reduce((sum, i) => sum + a.data[i * a.cols + j], 0) / ids.length);
  const all = [...labels.keys()];
  const global = mean(all);
  const means = new Map([...new Set(labels)].map((c) => [c, mean(all.filter((i) => labels[i] === c))]));
  let [within, between] = [0, 0];
  for (const i of all) {
    const own = means.get(labels[i]) as number[];
    for (let j = 0; j < a.cols; j++) within += (a.data[i * a.cols + j] - own[j]) ** 2;
  }
  for (const own of means.values()) for (let j = 0; j < a.cols; j++) between += (own[j] - global[j]) ** 2;
  return within / labels.length / (between / means.size);
}
