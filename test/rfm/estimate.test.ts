import { expect, it } from 'vitest';
import { estimateLayers, type Rates, totalOf } from '../../src/rfm/estimate.js';
import { type DeviceLimits, type ProblemSize, planRun } from '../../src/rfm/plan.js';

const size: ProblemSize = {
  n: 1000,
  testN: 500,
  d: 3072,
  outputs: 10,
  width: 700,
  agop: 'auto',
  agopSamples: null,
  solver: 'auto',
};
const device: DeviceLimits = {
  bindingBytes: 2 ** 31 - 4,
  bufferBytes: 2 ** 32 - 4,
  tileBytes: 2 ** 26,
  memoryBytes: null,
  textureSide: null,
};
const rates: Rates = { product: 1e12, distance: 5e11, cholesky: 1e11, weight: 1e6, trip: 0 };

it('cosine features take the time in which the host draws their weights, and nothing else changes', () => {
  const plan = planRun(size, device);
  const relu = estimateLayers(size, 2, plan, rates);
  const cosine = estimateLayers({ ...size, cosine: true }, 2, plan, rates);
  const drawn = [(700 * 3072) / 1e6, (700 * 700) / 1e6];
  cosine.forEach(({ seconds, total, operations }, i) => {
    expect(seconds.features).toBeCloseTo(relu[i].seconds.features + drawn[i], 9);
    expect(total).toBeCloseTo(relu[i].total + drawn[i], 9);
    expect(operations).toBe(relu[i].operations);
  });
});

it('layers of few rows take what round trips to the device take', () => {
  const few = { ...size, n: 20, testN: 0, d: 16, width: 16 };
  const plan = planRun(few, device);
  const [first, later] = estimateLayers(few, 3, plan, { ...rates, trip: 5e-4 });
  const [none] = estimateLayers(few, 3, plan, rates);
  expect(first.trips).toBeCloseTo(0.08, 9);
  expect(first.total).toBeCloseTo(none.total + first.trips, 9);
  expect(none.total).toBeLessThan(0.01 * first.total);
  expect(totalOf([first, later], 3).total).toBeCloseTo(first.total + 2 * later.total, 9);
});
