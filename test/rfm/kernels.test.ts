import { Matrix as HostMatrix, solve } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { generalizedLaplace } from '../../src/ops/kernels/generalized-laplace.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { rfmLayer } from '../../src/rfm/layer.js';
import type { LayerOptions } from '../../src/rfm/options.js';
import { rfm } from '../../src/rfm/rfm.js';
import { expectBelow, reportErrors, useGpu } from '../support/gpu.js';
import {
  agopOf,
  at,
  combined,
  dense,
  kernelMatrixOf,
  kernelWeight,
  norm,
  normalMatrix,
  rowOf,
  squaredDistance,
  transposed,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const [n, d, outputs] = [48, 7, 3];
const [bandwidth, ridge] = [1.5, 1e-3];
const labels = Int32Array.from({ length: n }, (_, i) => Math.floor((i * outputs) / n));
const raw = normalMatrix(n, d, 1);
const rows = dense(n, d, (i, j) => at(raw, i, j) / norm(rowOf(raw, i)));
const y = dense(n, outputs, (i, c) => (labels[i] === c ? 1 : -1));
const features = { kind: 'random', seed: 1, layerIndex: 0, width: 16, gamma: 0.1 } as const;
const input = { x: rows.data, n, d, y: y.data, outputs, labels, features };

const error = (found: ArrayLike<number>, expected: ArrayLike<number>): number =>
  norm(Array.from(found, (value, e) => value - expected[e])) / norm(Array.from(expected));

/** α and the AGOP in float64. */
function reference(q: number) {
  const k = combined(1, kernelMatrixOf(rows, rows, q, bandwidth));
  for (let i = 0; i < n; i++) k.data[i * n + i] += ridge;
  const alpha = solve(HostMatrix.from1DArray(n, n, [...k.data]), HostMatrix.from1DArray(n, outputs, [...y.data]));
  const coefficients = dense(n, outputs, (i, c) => alpha.get(i, c));
  // ∇_x k(x, z) = q (r/L)^q / r² · k (z − x).
  const unit = q / bandwidth ** q;
  const weights = dense(n, n, (i, j) => unit * kernelWeight(q, squaredDistance(rows, i, rows, j), bandwidth));
  return { alpha: coefficients.data, agop: agopOf(rows, transposed(coefficients), weights).data };
}

describe('a layer with a Laplace kernel with an exponent', () => {
  it.each([0.4, 0.8, 1.5, 2])('is that of float64, q = %s', async (q) => {
    const expected = reference(q);
    for (const agop of ['gram', 'jacobian'] as const) {
      const options: LayerOptions = { kernel: generalizedLaplace(bandwidth, q), ridge, agop };
      const found = await rfmLayer(gpu(), input, options);
      // As the Gaussian's, the kernel matrix of q = 2 has the larger condition number.
      expectBelow(`α, q = ${q}`, error(found.alpha, expected.alpha), q < 2 ? 2e-6 : 1e-5);
      expectBelow(`AGOP, q = ${q}, ${agop}`, error(found.agop, expected.agop), 5e-6);
      expect(found.metrics.solve.relativeResidual).toBeLessThan(1e-6);
    }
  });

  it('is that of laplace for q = 1, and of gaussian for q = 2', async () => {
    for (const [kernel, same] of [
      [generalizedLaplace(bandwidth, 1), laplace(bandwidth)],
      [generalizedLaplace(bandwidth, 2), gaussian(bandwidth / Math.SQRT2)],
    ]) {
      const [found, expected] = [
        await rfmLayer(gpu(), input, { kernel }),
        await rfmLayer(gpu(), input, { kernel: same }),
      ];
      expectBelow('α', error(found.alpha, expected.alpha), 1e-5);
      expectBelow('AGOP', error(found.agop, expected.agop), 5e-6);
      expectBelow('features', error(found.features, expected.features), 1e-5);
    }
  });

  it('is within float32 where kernel values are not, and where they are all 1', async () => {
    for (const width of [0.004, 1e6]) {
      const gram = await rfmLayer(gpu(), input, { kernel: generalizedLaplace(width, 0.8), agop: 'gram' });
      const expected = await rfmLayer(gpu(), input, { kernel: generalizedLaplace(width, 0.8), agop: 'jacobian' });
      expectBelow(`AGOP, bandwidth ${width}`, error(gram.agop, expected.agop), 1e-5);
    }
  });

  it('serves classic RFM', async () => {
    const learn = async (kernel: ReturnType<typeof laplace>) =>
      rfm(gpu(), { ...input, testX: rows.data.subarray(0, 5 * d), testRows: 5 }, { kernel, iterations: 2 });
    const [found, expected] = [await learn(generalizedLaplace(bandwidth, 1)), await learn(laplace(bandwidth))];
    expectBelow('M', error(found.M, expected.M), 3e-6);
    expectBelow('predictions', error(found.predictions ?? [], expected.predictions ?? []), 1e-5);
  });
});
