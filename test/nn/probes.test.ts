import { EigenvalueDecomposition, Matrix as HostMatrix } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { initialize } from '../../src/nn/init.js';
import { createModel, parametersOf, releaseModel } from '../../src/nn/models.js';
import { effectiveRank, principalAngles, probeHead } from '../../src/nn/probes.js';
import { flatShape } from '../../src/nn/tensor.js';
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

const rectified = (a: Dense): Dense => ({ ...a, data: a.data.map((v) => Math.max(v, 0)) });

/** NC1 and NC2 of rows in class order. */
function collapse(x: Dense, starts: readonly number[]): { nc1: number; nc2: number; within: number; between: number } {
  const classes = starts.length - 1;
  const means = dense(classes, x.cols, (c, j) => {
    let sum = 0;
    for (let i = starts[c]; i < starts[c + 1]; i++) sum += at(x, i, j);
    return sum / (starts[c + 1] - starts[c]);
  });
  let within = 0;
  for (let c = 0; c < classes; c++) {
    for (let i = starts[c]; i < starts[c + 1]; i++) {
      for (let j = 0; j < x.cols; j++) within += (at(x, i, j) - at(means, c, j)) ** 2 / x.rows;
    }
  }
  const centred = dense(classes, x.cols, (c, j) => {
    let sum = 0;
    for (let e = 0; e < classes; e++) sum += at(means, e, j);
    return at(means, c, j) - sum / classes;
  });
  const gram = productNT(centred, centred);
  let between = 0;
  let nc2 = 0;
  for (let c = 0; c < classes; c++) {
    between += at(gram, c, c) / classes;
    for (let e = 0; e < classes; e++) {
      const cosine = at(gram, c, e) / Math.sqrt(at(gram, c, c) * at(gram, e, e));
      nc2 += (cosine - (c === e ? 1 : -1 / (classes - 1))) ** 2 / classes ** 2;
    }
  }
  return { nc1: within / between, nc2, within, between };
}

/** Eigenvalues descending, eigenvectors as rows. */
function eigen(m: Dense): { values: number[]; vectors: Dense } {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(
    HostMatrix.from1DArray(m.rows, m.cols, Array.from(m.data)),
    { assumeSymmetric: true },
  );
  const order = [...realEigenvalues.keys()].sort((i, j) => realEigenvalues[j] - realEigenvalues[i]);
  return {
    values: order.map((i) => Math.max(realEigenvalues[i], 0)),
    vectors: dense(m.rows, m.cols, (r, c) => eigenvectorMatrix.get(c, order[r])),
  };
}

const close = (name: string, found: number, expected: number, bound = 1e-4): void =>
  expectBelow(name, Math.abs(found - expected) / Math.abs(expected), bound);

describe('probes of a head', () => {
  const tiles: [string, number][] = [
    ['one tile', 60],
    ['two tiles', 32],
  ];
  it.each(tiles)('every quantity against float64, wider and narrower layers, rows in %s', async (_, most) => {
    const [n, inputs, width, outputs] = [60, 37, 24, 4];
    const starts = [0, 13, 30, 41, 60];
    const model = createModel(gpu(), 'mlp', { input: flatShape(inputs), outputs, depth: 3, width });
    await initialize(gpu(), parametersOf(model), { gain: 1.4, seed: 2 });
    const weights: Dense[] = [];
    for (const { value } of parametersOf(model)) {
      weights.push({ rows: value.rows, cols: value.cols, data: await numbers(gpu(), value) });
    }
    const x = normalMatrix(n, inputs, 3);
    const phi = putRows(gpu(), x, most);
    const { layers, variance } = await probeHead(gpu(), model.layers, phi, starts);
    const seen = [x];
    for (const w of weights.slice(0, -1)) seen.push(rectified(productNT(seen[seen.length - 1], w)));
    expect(layers.length).toBe(3);
    for (const [l, probe] of layers.entries()) {
      const w = weights[l];
      const agop = new Float64Array(w.cols * w.cols);
      for (let i = 0; i < n; i++) {
        let j = weights[3];
        for (let k = 2; k >= l; k--) {
          const masked = dense(j.rows, j.cols, (r, c) => (at(seen[k + 1], i, c) > 0 ? at(j, r, c) : 0));
          j = product(masked, weights[k]);
        }
        productNT(transposed(j), transposed(j)).data.forEach((v, e) => {
          agop[e] += v / n;
        });
      }
      const m: Dense = { rows: w.cols, cols: w.cols, data: agop };
      const { values, vectors } = eigen(m);
      const root = product(
        transposed(vectors),
        dense(m.rows, m.cols, (r, c) => Math.sqrt(values[r]) * at(vectors, r, c)),
      );
      const gram = productNT(transposed(w), transposed(w));
      close('correlation', probe.nfa, pearson(m, gram));
      close('correlation of the root', probe.nfaSqrt, pearson(root, gram));
      const stages = {
        input: collapse(seen[l], starts),
        right: collapse(productNT(seen[l], w), starts),
        output: collapse(seen[l + 1], starts),
        agop: collapse(product(seen[l], root), starts),
      };
      for (const stage of ['input', 'right', 'output', 'agop'] as const) {
        close(`NC1 of ${stage}`, probe.nc1[stage], stages[stage].nc1);
        close(`NC2 of ${stage}`, probe.nc2[stage], stages[stage].nc2);
      }
      const right = eigen(gram);
      const expected = right.values.slice(0, Math.min(w.rows, w.cols)).map(Math.sqrt);
      probe.singularValues.forEach((value, i) => {
        expectBelow('singular values', Math.abs(value - expected[i]) / expected[0], 1e-6);
      });
      close('effective rank', probe.effectiveRank, effectiveRank(expected));
      probe.agopEigenvalues.forEach((value, i) => {
        expectBelow('eigenvalues', Math.abs(value - values[i]) / values[0], 1e-5);
      });
      const top = (d: Dense) => d.data.slice(0, outputs * d.cols);
      principalAngles(top(right.vectors), top(vectors), outputs).forEach((angle, i) => {
        close('principal angles', probe.principalAngles[i], angle);
      });
    }
    const last = collapse(seen[3], starts);
    close('variance between', variance.between, last.between / (last.between + last.within));
    close('variance within', variance.within, last.within / (last.between + last.within));
    releasePanels(gpu(), phi);
    releaseModel(gpu(), model);
  });

  it('measures the same at any gain: a ReLU network has no scale', async () => {
    const [n, inputs, width, outputs] = [60, 37, 24, 4];
    const starts = [0, 13, 30, 41, 60];
    const x = normalMatrix(n, inputs, 3);
    const measured = async (gain: number, size: number) => {
      const model = createModel(gpu(), 'mlp', { input: flatShape(inputs), outputs, depth: 3, width });
      await initialize(gpu(), parametersOf(model), { gain, seed: 2 });
      const phi = putRows(gpu(), combined(size, x), size === 1 ? 32 : n);
      const found = await probeHead(gpu(), model.layers, phi, starts);
      releasePanels(gpu(), phi);
      releaseModel(gpu(), model);
      return found;
    };
    const expected = await measured(1, 1);
    // From 1e10 and 1e-10 on the outputs of this network are beyond float32, from 1e20 and 1e-20 on all its features are.
    for (const [gain, size] of [
      ...[1e-28, 1e-20, 1e-10, 1e-2, 100, 1e10, 1e20, 1e30].map((g) => [g, 1]),
      [1, 2 ** -100],
      [1, 2 ** 100],
      [1e-15, 1e25],
    ]) {
      const { layers, variance } = await measured(gain, size);
      for (const [l, probe] of layers.entries()) {
        const wanted = expected.layers[l];
        for (const stage of ['input', 'right', 'output', 'agop'] as const) {
          close('NC1 at any gain', probe.nc1[stage], wanted.nc1[stage], 1e-5);
          close('NC2 at any gain', probe.nc2[stage], wanted.nc2[stage], 1e-5);
        }
        close('correlation at any gain', probe.nfa, wanted.nfa, 1e-5);
        close('correlation of the root at any gain', probe.nfaSqrt, wanted.nfaSqrt, 1e-5);
        close('effective rank at any gain', probe.effectiveRank, wanted.effectiveRank, 1e-5);
        probe.singularValues.forEach((value, i) => {
          close('singular values at any gain', value / gain, wanted.singularValues[i], 1e-5);
        });
        // The AGOP at layer l (from 0) of three hidden layers and a read-out grows with the gain of the layers from it on.
        probe.agopEigenvalues.forEach((value, i) => {
          const unscaled = Math.sqrt(value) / gain ** (4 - l);
          close('roots of eigenvalues at any gain', unscaled, Math.sqrt(wanted.agopEigenvalues[i]), 1e-4);
        });
        probe.principalAngles.forEach((angle, i) => {
          expectBelow('angles at any gain', Math.abs(angle - wanted.principalAngles[i]), 1e-5);
        });
      }
      close('variance at any gain', variance.between, expected.variance.between, 1e-5);
    }
  });

  it('dead layers: what follows them is not defined, what comes before is', async () => {
    const model = createModel(gpu(), 'mlp', { input: flatShape(6), outputs: 3, depth: 3, width: 5 });
    await initialize(gpu(), parametersOf(model), { gain: 1, seed: 1 });
    // All results of the second hidden layer are negative, since its inputs are not.
    const { value } = parametersOf(model)[1];
    write(gpu(), value, new Float64Array(25).fill(-1));
    const phi = putRows(gpu(), normalMatrix(12, 6, 1), 12);
    const { layers, variance } = await probeHead(gpu(), model.layers, phi, [0, 4, 8, 12]);
    for (const [l, { nc1, nc2, nfa, nfaSqrt, agopEigenvalues, principalAngles, effectiveRank }] of layers.entries()) {
      expect([nfa, nfaSqrt, nc1.agop, nc2.agop]).toEqual(new Array(4).fill(Number.NaN));
      expect([agopEigenvalues, principalAngles]).toEqual([[], []]);
      expect(effectiveRank).not.toBeNaN();
      const defined = [nc1.input, nc1.right, nc1.output].map((v) => !Number.isNaN(v));
      expect(defined).toEqual([l < 2, l < 2, l < 1]);
    }
    expect(variance).toEqual({ between: Number.NaN, within: Number.NaN });
    releasePanels(gpu(), phi);
    releaseModel(gpu(), model);
  });

  it('a network whose last hidden layer is dead has no AGOP, and says NaN', async () => {
    const model = createModel(gpu(), 'mlp', { input: flatShape(6), outputs: 2, depth: 1, width: 4 });
    await initialize(gpu(), parametersOf(model), { gain: 1, seed: 1 });
    const dead = parametersOf(model)[0].value;
    gpu().device.queue.writeBuffer(dead.buffer, 0, new Float32Array(dead.rows * dead.stride));
    const phi = putRows(gpu(), normalMatrix(6, 6, 1), 6);
    const { layers } = await probeHead(gpu(), model.layers, phi, [0, 3, 6]);
    expect(layers[0].nfa).toBeNaN();
    expect(layers[0].singularValues).toEqual([]);
    expect(layers[0].effectiveRank).toBeNaN();
    releasePanels(gpu(), phi);
    releaseModel(gpu(), model);
  });
});

describe('principal angles', () => {
  it('small and right angles are exact', () => {
    const a = [1, 0, 0, 0, 0, 1, 0, 0];
    for (const angle of [1e-6, 0.3, 1.2, Math.PI / 2]) {
      const b = [Math.cos(angle), 0, Math.sin(angle), 0, 0, 1, 0, 0];
      const [first, second] = principalAngles(a, b, 2);
      expectBelow('no angle', Math.abs(first), 1e-12);
      expectBelow('given angle', Math.abs(second - angle), 1e-12);
    }
  });
});
