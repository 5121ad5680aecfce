import { describe, expect, it } from 'vitest';
import { deepRfm } from '../../src/rfm/deep-rfm.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import type { FeatureRows } from '../../src/rfm/rows.js';
import type { LayerMetrics } from '../../src/rfm/types.js';
import { useGpu } from '../support/gpu.js';
import { at, collapsedRows, type Dense, dense, productNT, solved, squaredDistance } from '../support/reference.js';

const gpu = useGpu();

const CLASSES = 4;
const D = 30;

/** Rows in class order, so that labels need no sorting. */
function rowsOf(n: number, seed: number, classes = CLASSES) {
  const x = collapsedRows(n, D, classes, 1.5, seed);
  const labels = Int32Array.from({ length: n }, (_, i) => Math.floor((i * classes) / n));
  return { x: Float32Array.from(x.data), rows: n, cols: D, labels };
}

/** Standardised by the training rows, of length 1, in float64. */
function standardized(train: ReturnType<typeof rowsOf>, test: ReturnType<typeof rowsOf>): Dense {
  const mean = (j: number): number => sum(train.rows, (i) => train.x[i * D + j]) / train.rows;
  const means = Array.from({ length: D }, (_, j) => mean(j));
  const deviations = means.map((m, j) =>
    Math.sqrt(sum(train.rows, (i) => (train.x[i * D + j] - m) ** 2) / (train.rows - 1)),
  );
  const all = dense(train.rows + test.rows, D, (i, j) => {
    const value = i < train.rows ? train.x[i * D + j] : test.x[(i - train.rows) * D + j];
    return (value - means[j]) / deviations[j];
  });
  const lengths = Array.from({ length: all.rows }, (_, i) => Math.sqrt(sum(D, (j) => at(all, i, j) ** 2)));
  return dense(all.rows, D, (i, j) => at(all, i, j) / lengths[i]);
}

const sum = (count: number, term: (i: number) => number): number => {
  let total = 0;
  for (let i = 0; i < count; i++) total += term(i);
  return total;
};

interface Reference {
  nc1: LayerMetrics['nc1'];
  scores: Dense;
}

/**
 * The recursion in float64, of δ = 1 − U for cosines U: the gradient of output c at row i, times a row a, is
 * Σ_j w_ij α_jc (U_ja − U_ia), and the AGOP's inner products of rows are those of these numbers. 1 − J(u), J the arc-cosine
 * function, is δ − (sin θ − θ cos θ)/π with u = cos θ, in a series where θ is small.
 */
function reference(all: Dense, n: number, labels: Int32Array, depth: number): Reference[] {
  const [bandwidth, ridge] = [2, 1e-3];
  const N = all.rows;
  // The training rows against all.
  let delta = dense(N, N, (i, j) => sum(D, (k) => (at(all, i, k) - at(all, j, k)) ** 2) / 2);
  const y = dense(n, CLASSES, (i, c) => (labels[i] === c ? 1 : -1));
  const nc1Of = (gram: (i: number, j: number) => number): number => {
    const sizes = new Array<number>(CLASSES).fill(0);
    for (const label of labels) sizes[label]++;
    const blocks = dense(CLASSES, CLASSES, () => 0).data;
    let trace = 0;
    for (let i = 0; i < n; i++) {
      trace += gram(i, i);
      for (let j = 0; j < n; j++) {
        blocks[labels[i] * CLASSES + labels[j]] += gram(i, j) / sizes[labels[i]] / sizes[labels[j]];
      }
    }
    const own = sum(CLASSES, (c) => blocks[c * CLASSES + c]);
    const within = (trace - sum(CLASSES, (c) => sizes[c] * blocks[c * CLASSES + c])) / n;
    return within / (own / CLASSES - sum(CLASSES ** 2, (e) => blocks[e]) / CLASSES ** 2);
  };
  return Array.from({ length: depth }, () => {
    const distance = (i: number, j: number): number => Math.sqrt(2 * at(delta, i, j));
    const k = (i: number, j: number): number => (i === j ? 1 : Math.exp(-distance(i, j) / bandwidth));
    const alpha = solved(
      dense(n, n, (i, j) => k(i, j) + (i === j ? ridge : 0)),
      y,
    );
    const w = dense(n, n, (i, j) => (i === j ? 0 : k(i, j) / (bandwidth * distance(i, j))));
    const gradients = dense(N, n * CLASSES, (row, e) => {
      const [i, c] = [Math.floor(e / CLASSES), e % CLASSES];
      return sum(n, (j) => at(w, i, j) * at(alpha, j, c) * (at(delta, i, row) - at(delta, j, row)));
    });
    const b = productNT(gradients, gradients);
    const length = (i: number): number => Math.sqrt(at(b, i, i));
    const lag = (theta: number): number =>
      theta < 0.1
        ? theta ** 3 * (1 / 3 - theta ** 2 * (1 / 30 - theta ** 2 * (1 / 840 - theta ** 2 / 45360)))
        : Math.sin(theta) - theta * Math.cos(theta);
    const before = delta;
    delta = dense(N, N, (i, j) => {
      if (i === j) return 0;
      const square = squaredDistance(gradients, i, gradients, j) - (length(i) - length(j)) ** 2;
      const own = Math.max(0, square) / (2 * length(i) * length(j));
      return own - lag(2 * Math.asin(Math.sqrt(own / 2))) / Math.PI;
    });
    return {
      nc1: {
        input: nc1Of((i, j) => 1 - at(before, i, j)),
        agop: nc1Of((i, j) => at(b, i, j)),
        features: nc1Of((i, j) => (1 - at(delta, i, j)) * length(i) * length(j)),
      },
      scores: dense(N - n, CLASSES, (i, c) =>
        sum(n, (j) => Math.exp(-Math.sqrt(2 * at(before, n + i, j)) / bandwidth) * at(alpha, j, c)),
      ),
    };
  });
}

const data = (n: number, testN: number) => ({ train: rowsOf(n, 3), test: rowsOf(testN, 4), classes: CLASSES });

describe('ReLU features of infinite width', () => {
  it('are the arc-cosine recursion of float64 over 10 layers, within 1e-4', async () => {
    const { train, test, classes } = data(44, 10);
    const rows = standardized(train, test);
    const expected = reference(rows, 44, train.labels, 10);
    const { layers, predictions, grams } = await deepRfm(
      gpu(),
      { train, test, classes },
      { depth: 10, width: 'inf', gramLayers: [2] },
    );
    layers.forEach((layer, l) => {
      for (const stage of ['input', 'agop', 'features'] as const) {
        const [found, wanted] = [layer.nc1[stage], expected[l].nc1[stage]];
        // Below 1e-4 NC1 is made of differences that cosines in float32 hardly hold.
        const allowed = 1e-4 * wanted + 1e-8;
        expect(Math.abs(found - wanted), `layer ${l + 1}, ${stage}: ${found}`).toBeLessThan(allowed);
      }
    });
    expect(layers[9].nc1.features).toBeLessThan(0.01 * layers[0].nc1.input);
    const scores = expected[9].scores.data;
    for (const [e, value] of predictions!.entries()) expect(Math.abs(value - scores[e])).toBeLessThan(1e-4);
    expect(grams).toHaveLength(1);
    expect(grams[0].values[0]).toBeCloseTo(1, 6);
  });

  it('are what finite widths approach, by half for each factor of four', async () => {
    // Ten classes: of four, five seeds give too few numbers that differ.
    const problem = { train: rowsOf(120, 3, 10), test: null, classes: 10 };
    const cosines = async (options: DeepRfmOptions): Promise<FeatureRows> => {
      let last: FeatureRows | null = null;
      await deepRfm(
        gpu(),
        problem,
        { depth: 1, ...options },
        {
          progress: {
            save: ({ train }) => {
              last = train;
            },
          },
        },
      );
      return last!;
    };
    const limit = await cosines({ width: 'inf' });
    const errors: number[] = [];
    for (const width of [64, 256, 1024]) {
      let square = 0;
      for (let seed = 1; seed <= 5; seed++) {
        const { x, rows, cols } = await cosines({ width, seed });
        const inner = (i: number, j: number): number => sum(cols, (k) => x[i * cols + k] * x[j * cols + k]);
        const lengths = Array.from({ length: rows }, (_, i) => Math.sqrt(inner(i, i)));
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < i; j++) {
            square += (inner(i, j) / lengths[i] / lengths[j] - 1 + limit.x[i * rows + j]) ** 2;
          }
        }
      }
      errors.push(Math.sqrt(square));
    }
    const ratios = errors.slice(1).map((error, i) => errors[i] / error);
    for (const ratio of ratios) expect(Math.abs(ratio / 2 - 1), `ratios ${ratios}`).toBeLessThan(0.2);
  });

  it('go on after a resume, and do not depend on a seed', async () => {
    const problem = data(30, 8);
    const options = { depth: 3, width: 'inf' } as const;
    const states: Parameters<
      NonNullable<NonNullable<NonNullable<Parameters<typeof deepRfm>[3]>['progress']>['save']>
    >[0][] = [];
    const whole = await deepRfm(gpu(), problem, options, { progress: { save: (state) => void states.push(state) } });
    const rest = await deepRfm(gpu(), problem, { ...options, seed: 9 }, { resume: states[0] });
    expect(rest.layers.map(({ nc1, nc2 }) => ({ nc1, nc2 }))).toEqual(
      whole.layers.map(({ nc1, nc2 }) => ({ nc1, nc2 })),
    );
    expect(rest.predictions).toEqual(whole.predictions);
  });

  it('are refused for cosines, and where they are more than one tile', async () => {
    await expect(deepRfm(gpu(), data(30, 0), { width: 'inf', activation: 'cos' })).rejects.toThrow(/only ReLU/);
    await expect(deepRfm({ ...gpu(), tileBytes: 2 ** 12 }, data(60, 0), { width: 'inf' })).rejects.toThrow(/one tile/);
  });
});
