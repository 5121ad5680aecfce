import { expect, it } from 'vitest';
import { estimateLayers, type Rates } from '../../src/rfm/estimate.js';
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
const rates: Rates = { product: 1e12, distance: 5e11, cholesky: 1e11, weight: 1e6 };

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
