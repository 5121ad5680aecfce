import { expect, it } from 'vitest';
import { familyOf } from '../../src/ops/kernels/families.js';
import { extrapolated, measureFits, workOf } from '../../src/rfm/estimate-fit.js';
import type { EstimatorData, EstimatorOptions } from '../../src/rfm/estimator.js';
import type { DeviceLimits } from '../../src/rfm/plan.js';
import { useGpu } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

const gpu = useGpu();

const device: DeviceLimits = {
  bindingBytes: 2 ** 31 - 4,
  bufferBytes: 2 ** 32 - 4,
  tileBytes: 2 ** 26,
  memoryBytes: null,
  textureSide: null,
};
const options: EstimatorOptions = {
  family: familyOf({ kernel: 'laplace' }),
  ...{ bandwidth: { multiple: 1 }, ridge: 1e-3, iterations: 1, metricForm: 'full', patience: 0 },
  ...{ agop: 'jacobian', agopSamples: 0, solver: 'auto', memoryLimit: null },
};
const rates = { product: 1e10, column: 1e-5 };

function rows(n: number, d: number): EstimatorData {
  const x = Float32Array.from(normalMatrix(n, d, 1).data);
  const y = Float64Array.from({ length: n }, (_, i) => x[i * d] * x[i * d + 1]);
  return { x, n, d, y, outputs: 1, validation: { x: x.slice(0, d * (n >> 2)), rows: n >> 2 } };
}

it('a fit to more rows takes as much longer as its parts grow', () => {
  const [some, all] = [rows(1000, 12), rows(4000, 12)];
  const [from, to] = [some, all].map((data) => workOf(device, data, options, rates));
  expect(to.factor).toBeCloseTo(4000 ** 3 / 3 / rates.product + 4000 * rates.column, 9);
  expect([to.root, to.medians / from.medians]).toEqual([from.root, 16]);
  // Each pair of rows once, but for the term of d² at each row.
  for (const part of ['update', 'last'] as const) expect(Math.abs(to[part] / from[part] - 16)).toBeLessThan(1);
  expect(to.update).toBeGreaterThan(1.05 * to.last);
  const timed = { update: from.factor + from.root + 0.1 + 2, last: from.factor + 0.1 + 1 };
  expect(extrapolated(timed, 0.1, from, from).update).toBeCloseTo(timed.update, 9);
  const found = extrapolated(timed, 0.1, from, to);
  expect(found.update).toBeCloseTo(to.factor + to.root + 1.6 + (2 * to.update) / from.update, 9);
  expect(found.last).toBeCloseTo(to.factor + 1.6 + to.last / from.last, 9);
  // Distances that there is no room for are computed again, and those by coordinates are dear.
  const tight = workOf({ ...device, memoryBytes: 1.2e8 }, all, options, rates);
  expect(tight.last).toBeGreaterThan(1.1 * to.last);
  const byCoordinates = { ...options, family: familyOf({ kernel: 'product-laplace' }) };
  expect(workOf(device, all, byCoordinates, rates).update).toBeGreaterThan(2 * to.update);
});

it('fits to a few rows are timed as they are, and rows that coincide have no time', async () => {
  const found = await measureFits(gpu(), rows(60, 4), options);
  expect(found?.update).toBeGreaterThan(0);
  expect(found?.last).toBeGreaterThan(0);
  expect(await measureFits(gpu(), { ...rows(60, 4), x: new Float32Array(240) }, options)).toBe(null);
});
