import { EigenvalueDecomposition, Matrix as HostMatrix, solve } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { type DeepRfmData, type DeepRfmState, deepRfm } from '../../src/rfm/deep-rfm.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import type { LayerMetrics } from '../../src/rfm/types.js';
import { expectBelow, reportErrors, useGpu } from '../support/gpu.js';
import {
  agopOf,
  at,
  type Dense,
  dense,
  kernelMatrixOf,
  kernelWeight,
  normalMatrix,
  product,
  productNT,
  squaredDistance,
  startsOfSizes,
  transposed,
} from '../support/reference.js';

const opened = useGpu();
reportErrors();

const [N, TEST, D, CLASSES] = [90, 12, 11, 3];
const starts = startsOfSizes([30, 30, 30]);
const labels = Int32Array.from({ length: N }, (_, i) => Math.floor(i / 30));
const [kernel, bandwidth, ridge] = ['laplace', 2, 1e-3] as const;
const config: DeepRfmOptions = {
  depth: 2,
  kernel: laplace(bandwidth),
  ridge,
  activation: 'relu',
  width: 7,
  gamma: 0.1,
  seed: 3,
  agop: 'auto',
  agopSamples: 0,
  solver: 'auto',
  gramLayers: [2],
};

/** Features of a layer, all ≥ 0: those of the rows `dead` are zero. */
function features(rows: number, dead: readonly number[], seed: number): Dense {
  const noise = normalMatrix(rows, D, seed);
  return dense(rows, D, (i, j) =>
    dead.includes(i) ? 0 : Math.fround(Math.abs(at(noise, i, j)) + (j === Math.floor(i / 30) ? 3 : 0)),
  );
}

const unitRows = (x: Dense): Dense =>
  dense(x.rows, x.cols, (i, j) => {
    const length = Math.hypot(...Array.from({ length: x.cols }, (_, k) => at(x, i, k)));
    return length === 0 ? 0 : at(x, i, j) / length;
  });

function collapse(x: Dense): { nc1: number; nc2: number } {
  const means = dense(CLASSES, x.cols, (c, j) => {
    let sum = 0;
    for (let i = starts[c]; i < starts[c + 1]; i++) sum += at(x, i, j);
    return sum / (starts[c + 1] - starts[c]);
  });
  let within = 0;
  for (let i = 0; i < N; i++) {
    for (let j = 0; j < x.cols; j++) within += (at(x, i, j) - at(means, labels[i], j)) ** 2 / N;
  }
  const centred = dense(CLASSES, x.cols, (c, j) => {
    let sum = 0;
    for (let e = 0; e < CLASSES; e++) sum += at(means, e, j);
    return at(means, c, j) - sum / CLASSES;
  });
  const gram = productNT(centred, centred);
  let [between, nc2] = [0, 0];
  for (let c = 0; c < CLASSES; c++) {
    between += at(gram, c, c) / CLASSES;
    for (let e = 0; e < CLASSES; e++) {
      const cosine = at(gram, c, e) / Math.sqrt(at(gram, c, c) * at(gram, e, e));
      nc2 += (cosine - (c === e ? 1 : -1 / (CLASSES - 1))) ** 2 / CLASSES ** 2;
    }
  }
  return { nc1: within / between, nc2 };
}

/** A layer in float64. */
function reference(x: Dense, t: Dense) {
  const k = kernelMatrixOf(x, x, kernel, bandwidth);
  const system = HostMatrix.from1DArray(
    N,
    N,
    Array.from(k.data, (v, e) => v + (e % (N + 1) === 0 ? ridge : 0)),
  );
  const y = dense(N, CLASSES, (i, c) => (labels[i] === c ? 1 : -1));
  const alpha = solve(system, HostMatrix.from1DArray(N, CLASSES, Array.from(y.data)));
  const coefficients = dense(N, CLASSES, (i, c) => alpha.get(i, c));
  const weights = dense(N, N, (i, j) => kernelWeight(kernel, squaredDistance(x, i, x, j), bandwidth));
  const m = agopOf(x, transposed(coefficients), weights);
  const largest = Math.max(...Array.from({ length: D }, (_, j) => at(m, j, j)));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(
    HostMatrix.from1DArray(D, D, Array.from(m.data)),
    { assumeSymmetric: true },
  );
  const halves = dense(D, D, (i, j) => eigenvectorMatrix.get(i, j) * Math.max(realEigenvalues[j] / largest, 0) ** 0.25);
  const mx = product(x, productNT(halves, halves));
  const predictions = product(kernelMatrixOf(t, x, kernel, bandwidth), coefficients);
  const size = Math.max(...coefficients.data.map(Math.abs));
  return { input: collapse(x), agop: collapse(mx), mx, predictions, size };
}

/** What layer 1 left: these rows. */
function stateOf(train: Dense, test: Dense): DeepRfmState {
  const rows = ({ data, rows, cols }: Dense) => ({ x: Float32Array.from(data), rows, cols });
  return { layers: [{ layer: 1 } as LayerMetrics], train: rows(train), test: rows(test), predictions: null };
}

const data: DeepRfmData = {
  train: { x: new Float32Array(N * 4), labels, rows: N, cols: 4 },
  test: { x: new Float32Array(TEST * 4), labels: labels.subarray(0, TEST), rows: TEST, cols: 4 },
  classes: CLASSES,
};

describe('rows whose features are all zero', () => {
  const allOfClass = Array.from({ length: 30 }, (_, i) => i);
  const cases: [string, 'gram' | 'jacobian', number[]][] = [
    ['one row', 'jacobian', [41]],
    ['one row', 'gram', [41]],
    ['rows of two classes', 'jacobian', [3, 40, 41, 58]],
    ['a whole class and one more row', 'jacobian', [...allOfClass, 77]],
  ];
  it.each(cases)('stay zero, are counted, and all that follows is as in float64: %s, %s', async (_name, form, dead) => {
    const [train, test] = [features(N, dead, 1), features(TEST, [0, 5], 2)];
    const found = await deepRfm(opened(), data, { ...config, agop: form }, { resume: stateOf(train, test) });
    const layer = found.layers[1];
    expect(layer.deadRows).toEqual({ train: dead.length, test: 2 });
    const expected = reference(unitRows(train), unitRows(test));
    // Zero rows of two classes coincide: coefficients are of the size 1/ridge, and each is rounded to float32.
    const bound = dead.length === 1 ? 1e-5 : 1e-4;
    for (const stage of ['input', 'agop'] as const) {
      const [nc1, nc2] = [layer.nc1[stage], layer.nc2[stage]];
      expectBelow(`NC1 ${stage}`, Math.abs(nc1 - expected[stage].nc1) / expected[stage].nc1, bound);
      expectBelow(`NC2 ${stage}`, Math.abs(nc2 - expected[stage].nc2) / expected[stage].nc2, bound);
    }
    expect([layer.nc1.features, layer.nc2.features].every(Number.isFinite)).toBe(true);
    found.predictions?.forEach((value, e) => {
      expectBelow('predictions', Math.abs(value - expected.predictions.data[e]) / Math.max(1, expected.size), 1e-6);
    });
    const mean = dense(1, D, (_, j) => {
      let sum = 0;
      for (let i = 0; i < N; i++) sum += at(expected.mx, i, j);
      return sum / N;
    });
    const centred = unitRows(dense(N, D, (i, j) => at(expected.mx, i, j) - at(mean, 0, j)));
    const cosines = product(centred, transposed(centred));
    found.grams[0].values.forEach((value, e) => {
      expectBelow('Gram picture', Math.abs(value - cosines.data[e]), 1e-4);
    });
  });

  it.each([0, 1])('are refused where fewer than two rows are left: %i', async (live) => {
    const dead = Array.from({ length: N - live }, (_, i) => i);
    const run = deepRfm(opened(), data, config, { resume: stateOf(features(N, dead, 1), features(TEST, [], 2)) });
    await expect(run).rejects.toMatchObject({
      kind: 'input',
      message: expect.stringMatching(
        new RegExp(`^layer 2: all features of ${N - live} of the ${N} training rows are zero, expected at least 2`),
      ),
    });
  });

  it('and rows that are not finite are told apart', async () => {
    const train = features(N, [4], 1);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      train.data[7 * D + 2] = value;
      const run = deepRfm(opened(), data, config, { resume: stateOf(train, features(TEST, [], 2)) });
      await expect(run).rejects.toMatchObject({
        kind: 'input',
        message: expect.stringMatching(/^layer 2: 1 of 90 rows/),
      });
    }
  });
});
