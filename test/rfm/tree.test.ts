import fc from 'fast-check';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { familyOf } from '../../src/ops/kernels/families.js';
import { type EstimatorData, type EstimatorOptions, fitEstimator, type Predictor } from '../../src/rfm/estimator.js';
import { metricMatrix } from '../../src/rfm/estimator-metric.js';
import { limitsOf } from '../../src/rfm/plan.js';
import { shuffled } from '../../src/rfm/split.js';
import {
  halve,
  leafOf,
  leafShares,
  type Routing,
  TEMPERATURES,
  type TreeSplit,
  treeShape,
} from '../../src/rfm/tree.js';
import { growTree, leafData, leafRows, meanMetric, optionsFor, routingOf } from '../../src/rfm/tree-grow.js';
import { planTree, predictTree, scoreTemperatures } from '../../src/rfm/tree-predict.js';
import { agopBy, euclideanReference, kernelMatrixBy } from '../support/coordinate-reference.js';
import { expectBelow, reportErrors, useGpu } from '../support/gpu.js';
import { at, dense, norm, normals, product, rounded, rowOf, solved, transposed } from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const family = familyOf({ kernel: 'laplace' });
const reference = euclideanReference('laplace', 1, 1, () => family.at(1));
const [BANDWIDTH, RIDGE] = [2, 0.02];

const options: EstimatorOptions = {
  ...{ family, bandwidth: { length: BANDWIDTH }, ridge: RIDGE, iterations: 2, metricForm: 'full' },
  ...{ agop: 'auto', agopSamples: 0, solver: 'auto', patience: 0, memoryLimit: null },
};

/** Rows whose targets turn on a direction that is no axis. */
function problem(n: number, d: number, seed: number): EstimatorData {
  const next = normals(seed);
  const x = rounded(dense(n, d, () => next()));
  const y = Float64Array.from({ length: n }, (_, i) => {
    const [a, b, c] = rowOf(x, i);
    return Math.tanh(2 * (a + 0.5 * b)) + 0.3 * c + 0.05 * next();
  });
  const validation = { x: Float32Array.from({ length: 40 * d }, () => next()), rows: 40 };
  return { x: Float32Array.from(x.data), n, d, y, outputs: 1, validation };
}

/** The median as everyone knows it. */
function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The top eigenvector of the AGOP of kernel ridge regression with M = I at some rows, in float64. */
function directionOf({ x, d, y }: EstimatorData, ids: ArrayLike<number>): number[] {
  const z = dense(ids.length, d, (i, j) => x[ids[i] * d + j]);
  const k = kernelMatrixBy(reference, z, z, BANDWIDTH);
  const system = dense(ids.length, ids.length, (i, j) => at(k, i, j) + (i === j ? RIDGE : 0));
  const alpha = solved(
    system,
    dense(ids.length, 1, (i) => y[ids[i]]),
  );
  const agop = agopBy(reference, { x: z, alpha: transposed(alpha), bandwidth: BANDWIDTH });
  const { eigenvectorMatrix } = new EigenvalueDecomposition(Matrix.from1DArray(d, d, Array.from(agop.data)), {
    assumeSymmetric: true,
  });
  return eigenvectorMatrix.getColumn(d - 1);
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, j) => sum + value * b[j], 0);

describe('the shape of a tree', () => {
  it('has halves until they are small enough, and leads to each part once', () =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 90 }), (n, most) => {
        const { splits, leaves } = treeShape(n, most);
        expect(leaves.reduce((sum, rows) => sum + rows, 0)).toBe(n);
        expect(splits).toHaveLength(leaves.length - 1);
        for (const rows of leaves) expect(rows).toBeLessThanOrEqual(most);
        if (splits.length === 0) return;
        for (const rows of leaves) expect(2 * rows + 1).toBeGreaterThanOrEqual(most);
        const led = splits.flatMap(({ left, right }) => [left, right].map((child) => JSON.stringify(child)));
        const parts = [
          ...splits.slice(1).map((_, k) => ({ split: k + 1 })),
          ...leaves.map((_, leaf) => ({ leaf })),
        ].map((child) => JSON.stringify(child));
        expect(led.sort()).toEqual(parts.sort());
      }),
      { numRuns: 40, seed: 5 },
    ));
});

describe('a split', () => {
  it('halves rows at the median of their projections', () => {
    for (const n of [2, 7, 60, 121]) {
      const { x, d } = problem(n, 3, n);
      const vector = [0.6, 0.8, 0];
      const ids = Int32Array.from({ length: n }, (_, i) => i);
      const values = Array.from(ids, (i) => 0.6 * x[i * d] + 0.8 * x[i * d + 1]);
      const { threshold, scale, left, right } = halve(x, ids, vector, 1);
      expect(threshold).toBeCloseTo(medianOf(values), 12);
      expect([...left]).toEqual([...ids].filter((i) => values[i] <= threshold));
      expect([...right]).toEqual([...ids].filter((i) => values[i] > threshold));
      if (n === 121) {
        const sorted = values.sort((a, b) => a - b);
        expect(scale).toBeCloseTo(sorted[90] - sorted[30], 12);
      }
    }
    // Of many rows with one value both halves have some, and each row is in one of them.
    const same = Float32Array.from({ length: 20 }, (_, i) => (i < 15 ? 0 : 1));
    const ids = Int32Array.from({ length: 20 }, (_, i) => i);
    const { threshold, left, right } = halve(same, ids, [1], 3);
    expect([threshold, left.length, right.length]).toEqual([0, 10, 10]);
    expect([...left, ...right].sort((a, b) => a - b)).toEqual([...ids]);
    expect([...right].filter((i) => i >= 15)).toEqual([15, 16, 17, 18, 19]);
  });

  it('is along the top eigenvector of the AGOP of a machine at a sample of the rows, as in float64', async () => {
    const data = problem(160, 4, 9);
    const own = { leafRows: 80, splitRows: 100, seed: 7, machine: () => options };
    const grown = await growTree(gpu(), data, own);
    expect(grown.splits).toHaveLength(1);
    const [{ vector, threshold }] = grown.splits;
    const expected = directionOf(data, shuffled(160, 7).slice(0, 100).sort());
    expectBelow('direction of a split', 1 - Math.abs(dot(vector, expected)) / norm(expected), 1e-6);
    const values = Array.from({ length: 160 }, (_, i) => dot(vector, data.x.subarray(i * 4, i * 4 + 4)));
    expect(threshold).toBeCloseTo(medianOf(values), 12);
    expect(grown.leaves.map((ids) => ids.length)).toEqual([80, 80]);
    // A direction that is known is taken, and the same tree grows from it.
    const again = await growTree(gpu(), data, { ...own, machine: () => expect.unreachable() as never }, [vector]);
    expect(again).toEqual(grown);
  });

  it('needs no AGOP where targets or rows are all the same', async () => {
    const next = normals(2);
    const x = Float32Array.from({ length: 3 * 90 }, (_, e) => (e % 3 === 1 ? 3 : 1) * next());
    const flat = { x, n: 90, d: 3, y: new Float64Array(90), outputs: 1, validation: null };
    const own = { leafRows: 45, splitRows: 45, seed: 0, machine: () => options };
    expect([...(await growTree(gpu(), flat, own)).splits[0].vector]).toEqual([0, 1, 0]);
    const coincident = { ...flat, x: new Float32Array(3 * 90).fill(0.5), y: Float64Array.from({ length: 90 }, next) };
    const tree = await growTree(gpu(), coincident, own);
    expect(tree.splits[0]).toMatchObject({ threshold: 0.5, scale: 0 });
    // Its leaves predict about the mean of their targets.
    const data = leafData(coincident, leafRows(tree, coincident, 0)[0]);
    const seen: number[] = [];
    const { reports } = await fitEstimator(gpu(), data, optionsFor(data, { ...options, bandwidth: { multiple: 1 } }), {
      score: ({ train }) => {
        seen.push(train[0]);
        return 0;
      },
    });
    expect(reports).toHaveLength(1);
    const mean = data.y.reduce((sum, value) => sum + value / 45, 0);
    expect(seen[0]).toBeCloseTo(mean, 3);
  });
});

/** Four leaves by the sign of one coordinate and of another one. */
const routing = (temperature: number, scales = [1, 2, 0.5]): Routing => {
  const of = (j: number, k: number, left: TreeSplit['left'], right: TreeSplit['right']): TreeSplit => ({
    ...{ rows: 100, vector: Float64Array.from([0, 1], (axis) => (axis === j ? 1 : 0)) },
    ...{ threshold: 0.1 * k, scale: scales[k], left, right },
  });
  const splits = [
    of(0, 0, { split: 1 }, { split: 2 }),
    of(1, 1, { leaf: 0 }, { leaf: 1 }),
    of(1, 2, { leaf: 2 }, { leaf: 3 }),
  ];
  return { splits, leaves: 4, temperature };
};

/** Weights of the four leaves of a row, in full. */
function weightsAt(x: number, y: number, temperature: number): number[] {
  const right = (distance: number, scale: number): number => 1 / (1 + Math.exp(-distance / (temperature * scale)));
  const [a, b, c] = [right(x, 1), right(y - 0.1, 2), right(y - 0.2, 0.5)];
  return [(1 - a) * (1 - b), (1 - a) * b, a * (1 - c), a * c];
}

describe('routing', () => {
  const next = normals(4);
  const x = Float32Array.from({ length: 2 * 300 }, next);
  /** Weights, rows × leaves. */
  const matrixOf = (tree: Routing): Float64Array => {
    const out = new Float64Array(300 * 4);
    leafShares(tree, x).forEach(({ rows, weights }, leaf) => {
      rows.forEach((row, i) => {
        out[row * 4 + leaf] = weights[i];
      });
    });
    return out;
  };

  it('near a split weighs both sides by a logistic of the distance over T interquartile ranges', () => {
    for (const temperature of [0.05, 0.4, 3]) {
      const found = matrixOf(routing(temperature));
      for (let i = 0; i < 300; i++) {
        const full = weightsAt(x[2 * i], x[2 * i + 1], temperature);
        // The largest ones that make up 99 %, over their sum.
        const order = [0, 1, 2, 3].sort((a, b) => full[b] - full[a]);
        let [sum, count] = [0, 0];
        while (sum < 0.99 && count < 4) sum += full[order[count++]];
        const kept = order.slice(0, count);
        for (let leaf = 0; leaf < 4; leaf++) {
          expect(found[i * 4 + leaf]).toBeCloseTo(kept.includes(leaf) ? full[leaf] / sum : 0, 12);
        }
      }
    }
  });

  it('goes to one leaf with T = 0, and with a small T nearly everywhere', () => {
    const [hard, sharp] = [matrixOf(routing(0)), matrixOf(routing(1e-9))];
    for (let i = 0; i < 300; i++) {
      const [a, b] = [x[2 * i], x[2 * i + 1]];
      const leaf = a <= 0 ? (b <= 0.1 ? 0 : 1) : b <= 0.2 ? 2 : 3;
      expect([...hard.subarray(4 * i, 4 * i + 4)]).toEqual([0, 1, 2, 3].map((l) => (l === leaf ? 1 : 0)));
      expect(leafOf(routing(0), x, i)).toBe(leaf);
    }
    expect(sharp).toEqual(hard);
  });

  it('shares what has the median where half of the rows have', () => {
    const tree = routing(0.5, [0, 1, 1]);
    const [weights] = [leafShares(tree, Float32Array.of(0, 50, -1e-3, 50, 1e-3, 50))];
    expect(weights.map(({ rows }) => [...rows])).toEqual([[], [0, 1], [], [0, 2]]);
    expect([...weights[1].weights, ...weights[3].weights]).toEqual([0.5, 1, 0.5, 1]);
  });
});

describe('a tree on a device', () => {
  const data = problem(150, 4, 21);
  const own = { leafRows: 40, splitRows: 38, seed: 3, machine: () => options };

  it('predicts the mean of its leaves by their weights, and says how each temperature scores', async () => {
    const tree = await growTree(gpu(), data, own);
    const rows = leafRows(tree, data, 3);
    const predictors: Predictor[] = [];
    for (const part of rows) {
      const of = leafData(data, part);
      const { best } = await fitEstimator(gpu(), of, options, { score: null });
      predictors.push({ ...best, family, centers: of.x, n: of.n, d: 4, outputs: 1 });
    }
    const x = data.validation!.x;
    // Each leaf in float64.
    const all = predictors.map(({ metric, alpha, centers, n, bandwidth }) => {
      const factor = metric?.form === 'full' ? metric : expect.unreachable();
      const f = transposed(dense(factor.rank, 4, (i, j) => factor.factor[i * 4 + j]));
      const [z, t] = [dense(n, 4, (i, j) => centers[i * 4 + j]), dense(40, 4, (i, j) => x[i * 4 + j])];
      const k = kernelMatrixBy(reference, product(t, f), product(z, f), bandwidth);
      return product(
        k,
        dense(n, 1, (i) => alpha[i]),
      ).data;
    });
    const mixed = (temperature: number): Float64Array => {
      const out = new Float64Array(40);
      leafShares(routingOf(tree, temperature), x).forEach(({ rows: ids, weights }, leaf) => {
        ids.forEach((id, i) => {
          out[id] += weights[i] * all[leaf][id];
        });
      });
      return out;
    };
    const predictor = { outputs: 1, leafAt: (leaf: number) => predictors[leaf] };
    for (const temperature of [0, 0.3]) {
      const found = await predictTree(gpu(), { ...predictor, routing: routingOf(tree, temperature) }, x);
      const expected = mixed(temperature);
      expectBelow('predictions of a tree', norm(found.map((v, i) => v - expected[i])) / norm(expected), 1e-5);
    }
    const tried = await scoreTemperatures(gpu(), { ...predictor, routing: routingOf(tree, 0) }, x, (found) =>
      norm(found),
    );
    expect(tried.map(({ temperature }) => temperature)).toEqual(TEMPERATURES);
    for (const { temperature, score } of tried)
      expectBelow('scores of temperatures', Math.abs(score / norm(mixed(temperature)) - 1), 1e-5);
  });

  it('gives leaves the held-out rows that come to them, and a fifth of their own', async () => {
    const tree = await growTree(gpu(), data, own);
    const rows = leafRows(tree, data, 3);
    expect(rows.map(({ train, moved }) => [train.length, moved.length])).toEqual([
      [31, 7],
      [30, 7],
      [31, 7],
      [30, 7],
    ]);
    rows.forEach(({ train, held, moved }, leaf) => {
      expect([...train, ...moved].sort((a, b) => a - b)).toEqual([...tree.leaves[leaf]]);
      for (const id of held) expect(leafOf(tree, data.validation!.x, id)).toBe(leaf);
    });
    expect(rows.flatMap(({ held }) => [...held]).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 40 }, (_, i) => i),
    );
    const part = leafData(data, rows[2]);
    expect([part.n, part.validation?.rows]).toEqual([31, rows[2].held.length + 7]);
    expect(part.validation?.x.slice(-4)).toEqual(data.x.slice(4 * rows[2].moved[6], 4 * rows[2].moved[6] + 4));
    expect(part.y[5]).toBe(data.y[rows[2].train[5]]);
    // Without rows to score by all are trained on.
    const all = leafRows(tree, { ...data, validation: null }, 3);
    expect(all.map(({ train }) => train.length)).toEqual([38, 37, 38, 37]);
  });

  it('has leaves that memory allows, unless it is told how large they are', () => {
    const large = { n: 6000, d: 100, outputs: 1, validation: null };
    const device = { ...limitsOf(gpu(), null), memoryBytes: 16 * 2 ** 20 };
    const found = planTree(large, options, null, device);
    expect(found.shape?.leaves.length).toBeGreaterThan(1);
    expect(found.plan.peakBytes).toBeLessThanOrEqual(device.memoryBytes);
    expect(Math.max(...(found.shape?.leaves ?? []))).toBeLessThanOrEqual(found.leafRows);
    expect(planTree({ ...large, n: found.leafRows }, options, null, device).shape).toBeNull();
    expect(planTree({ ...large, n: 1000 }, options, 300, device)).toMatchObject({ leafRows: 300, splitRows: 250 });
    expect(() => planTree(large, options, 6000, device)).toThrow(
      new RegExp(
        `needs at least \\d+ bytes of device memory, .*; use leaf rows ${found.leafRows}, or a larger memory limit$`,
      ),
    );
    expect(() => planTree(large, options, null, { ...device, memoryBytes: 2 ** 16 })).toThrow(/needs at least/);
    expect(planTree({ ...large, n: 60_001 }, options, null, { ...device, memoryBytes: null }).shape?.leaves).toEqual([
      30_001, 30_000,
    ]);
  });
});

it('the mean M of leaves is that of their matrices, by their weights', () => {
  const next = normals(8);
  const full = (rank: number) => ({
    form: 'full' as const,
    rank,
    factor: Float32Array.from({ length: rank * 3 }, next),
  });
  const metrics = [full(2), null, full(3)];
  const weights = [0.5, 0.2, 0.3];
  const expected = metrics
    .map((metric) => metricMatrix(metric, 3))
    .reduce((sum, m, l) => sum.map((value, e) => value + weights[l] * m[e]), new Float64Array(9));
  const found = metricMatrix(meanMetric(metrics, weights, 3), 3);
  expectBelow('mean M', norm(found.map((value, e) => value - expected[e])) / norm(expected), 1e-6);
  const diagonal = meanMetric([{ form: 'diagonal', roots: Float64Array.of(2, 0, 1) }, null], [0.25, 0.75], 3);
  expect(diagonal).toEqual({ form: 'diagonal', roots: Float64Array.of(1.75, 0.75, 1).map(Math.sqrt) });
});
