import { describe, expect, it } from 'vitest';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { factorMetric } from '../../src/rfm/metric.js';
import { rfm } from '../../src/rfm/rfm.js';
import { expectBelow, reportErrors, useGpu } from '../support/gpu.js';
import {
  agopOf,
  at,
  combined,
  type Dense,
  dense,
  identity,
  kernelMatrixOf,
  kernelWeight,
  norm,
  normalMatrix,
  product,
  productNT,
  solved,
  squaredDistance,
  transposed,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

const [n, d, outputs, tests] = [50, 9, 3, 12];
const [bandwidth, ridge] = [2.5, 1e-3];
const x = normalMatrix(n, d, 1);
const testX = normalMatrix(tests, d, 2);
const y = dense(n, outputs, (i, c) => (at(x, i, c) > at(x, i, (c + 1) % outputs) ? 1 : -1));
const input = {
  ...{ x: x.data, n, d, y: y.data, outputs, testX: testX.data, testRows: tests },
};

const error = (found: ArrayLike<number> | null, expected: Dense): number =>
  norm(Array.from(found ?? [], (value, e) => value - expected.data[e])) / norm(expected);

/** A factor of rank r whose rows have sizes from 1 down. */
const factorOf = (r: number): Dense => {
  const f = normalMatrix(r, d, 5);
  return dense(r, d, (i, j) => (at(f, i, j) * 0.5) / (1 + i));
};
const gramOf = (f: Dense): Dense => product(transposed(f), f);

/** Kernel regression with the metric FᵀF, and the AGOP of it over its largest entry, in float64. */
function reference(f: Dense, name: 'laplace' | 'gaussian') {
  const [z, t] = [productNT(x, f), productNT(testX, f)];
  const k = combined(1, kernelMatrixOf(z, z, name, bandwidth));
  for (let i = 0; i < n; i++) k.data[i * n + i] += ridge;
  const alpha = solved(k, y);
  const weights = dense(n, n, (i, j) => kernelWeight(name, squaredDistance(z, i, z, j), bandwidth));
  const inner = agopOf(z, transposed(alpha), weights);
  const agop = product(transposed(f), product(inner, f));
  return {
    alpha,
    predictions: product(kernelMatrixOf(t, z, name, bandwidth), alpha),
    next: combined(1 / Math.max(...agop.data), agop),
  };
}

describe('rfm with a given metric', () => {
  const kernels = { laplace: laplace(bandwidth), gaussian: gaussian(bandwidth) };
  // With small distances, and with the Gaussian's smooth kernel, the condition number is 50 / ridge: errors are by so much larger.
  const cases: [name: 'laplace' | 'gaussian', rank: number, size: number][] = [
    ['laplace', d, 1],
    ['laplace', 4, 1],
    ['gaussian', d, 1],
    ['laplace', d, 0.003],
    ['gaussian', 4, 30],
  ];
  it.each(cases)(
    '%s, rank %d, times %d: kernel regression as float64 has it, then an iteration',
    async (name, r, size) => {
      const f = combined(Math.sqrt(size), factorOf(r));
      const m = gramOf(f);
      const expected = reference(f, name);
      const metric = factorMetric(m.data, d);
      expect(metric.rank).toBe(r);
      const options = { kernel: kernels[name], ridge };
      const fit = await rfm(gpu(), { ...input, metric }, { ...options, iterations: 0 });
      expectBelow('M as given', error(fit.M, m), 1e-6);
      expectBelow('α with a given metric', error(fit.alpha, expected.alpha), 1e-4);
      expectBelow('predictions with a given metric', error(fit.predictions, expected.predictions), 1e-4);
      expect(fit.solves).toHaveLength(1);
      expect(fit.iterations).toEqual([]);
      const one = await rfm(gpu(), { ...input, metric }, { ...options, iterations: 1 });
      expectBelow('M after an iteration', error(one.M, expected.next), 1e-4);
      expect(one.iterations).toHaveLength(1);
      const { factor, rank } = factorMetric(one.M, d);
      const learned: Dense = { rows: rank, cols: d, data: Float64Array.from(factor) };
      const unit = factorMetric(one.M, d).unit;
      const after = reference(combined(Math.sqrt(unit), learned), name);
      expectBelow('predictions after an iteration', error(one.predictions, after.predictions), 5e-4);
    },
  );

  it('no metric and no iterations: kernel regression with I', async () => {
    const expected = reference(identity(d), 'laplace');
    const found = await rfm(gpu(), input, { kernel: kernels.laplace, ridge, iterations: 0 });
    expect([...found.M]).toEqual([...identity(d).data]);
    expectBelow('predictions with I', error(found.predictions, expected.predictions), 1e-5);
  });

  it('its own M, given back, is where the last fit was', async () => {
    const options = { kernel: kernels.laplace, ridge };
    const learned = await rfm(gpu(), input, { ...options, iterations: 2 });
    const again = await rfm(gpu(), { ...input, metric: factorMetric(learned.M, d) }, { ...options, iterations: 0 });
    const wanted: Dense = { rows: tests, cols: outputs, data: learned.predictions ?? new Float64Array() };
    expectBelow('predictions with the M of before', error(again.predictions, wanted), 1e-4);
  });
});

describe('the factor of a metric', () => {
  it('gives M back in any unit, and drops what float32 has no digits of', () => {
    for (const unit of [1e-200, 1e-30, 1, 1e30, 1e200]) {
      const m = combined(unit, gramOf(factorOf(6)));
      const { factor, rank, unit: power } = factorMetric(m.data, d);
      expect(rank).toBe(6);
      const f: Dense = { rows: rank, cols: d, data: Float64Array.from(factor) };
      expectBelow('FᵀF', error(combined(power / unit, gramOf(f)).data, combined(1 / unit, m)), 1e-6);
    }
    expect(factorMetric(Float64Array.of(1, 0, 0, 1e-9), 2).rank).toBe(1);
  });

  it('takes rounding, and refuses what is more', () => {
    const rounded = Float32Array.from(gramOf(factorOf(5)).data);
    expect(factorMetric(rounded, d).rank).toBeGreaterThanOrEqual(5);
    expect(() => factorMetric(Float64Array.of(1, 0.01, 0.01, 0), 2)).toThrow(/semi-definite.*row 1, column 1/);
    expect(() => factorMetric(Float64Array.of(0, 1, 1, 0), 2)).toThrow(/semi-definite.*1\.00 in row 0, column 1/);
    expect(() => factorMetric(Float64Array.of(-1, 0, 0, -1), 2)).toThrow(/semi-definite.*-1\.00 in row 0, column 0/);
    expect(() => factorMetric(Float64Array.of(1, 1e-4, 0, 1), 2)).toThrow(/not symmetric: 0 in row 1, column 0/);
    // Below what rounding to float32 leaves.
    expect(factorMetric(Float64Array.of(1, 0, 0, -1e-7), 2).rank).toBe(1);
  });
});
