import { describe, expect, it } from 'vitest';
import { sizeOf } from '../../src/rfm/deep-rfm.js';
import { laterLayerSeconds } from '../../src/rfm/estimate.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import { type DeviceLimits, planRun } from '../../src/rfm/plan.js';
import type { LayerMetrics } from '../../src/rfm/types.js';

const device: DeviceLimits = {
  bindingBytes: 2 ** 27,
  bufferBytes: 2 ** 32 - 4,
  tileBytes: 2 ** 26,
  memoryBytes: 2 ** 34,
  textureSide: null,
};

/** Seconds of the phases of a first layer, in the order of metrics.json, and what later layers took on average. */
type Seen = readonly [first: readonly number[], later: number];

const RUNS: readonly {
  data: string;
  size: Parameters<typeof sizeOf>[1];
  options: DeepRfmOptions;
  rank: number;
  cold: Seen;
  warm: Seen;
}[] = [
  {
    data: 'digits, as wide as usual',
    size: { n: 300, testN: 200, d: 784, outputs: 10 },
    options: { width: 512 },
    rank: 304,
    cold: [[0.187, 0.112, 0.243, 0.339, 0.189, 0.371], 0.719],
    warm: [[0.096, 0.066, 0.317, 0.447, 0.169, 0.303], 0.753],
  },
  {
    data: 'MNIST, narrow',
    size: { n: 500, testN: 300, d: 784, outputs: 10 },
    options: { width: 256 },
    rank: 502,
    cold: [[0.461, 0.274, 0.581, 1.043, 0.164, 0.526], 0.565],
    warm: [[0.171, 0.124, 0.537, 1.021, 0.185, 0.301], 0.684],
  },
  {
    data: 'CIFAR-10, cosines, a sixth of the features',
    size: { n: 200, testN: 100, d: 3072, outputs: 10 },
    options: { activation: 'cos', width: 512 },
    rank: 206,
    cold: [[0.141, 0.054, 1.247, 2.024, 0.911, 1.004], 0.595],
    warm: [[0.138, 0.043, 1.318, 1.943, 0.889, 0.936], 0.545],
  },
];

const secondsOf = ([kernel, solve, agop, sqrt, features, metrics]: readonly number[]) => ({
  ...{ kernel, solve, agop, sqrt, features, metrics },
  total: kernel + solve + agop + sqrt + features + metrics,
});

const agopOf = (samples: number, rank: number): LayerMetrics['agop'] => ({
  ...{ path: 'gram', cancellation: 1, samplingError: 0, topEigenvalues: [1] },
  samples,
  rank,
});

describe('later layers, from the first one: within a factor of 1.5 of runs that were recorded on lavapipe', () => {
  for (const { data, size, options, rank, ...runs } of RUNS) {
    it.each(['cold', 'warm'] as const)(`${data}, with a %s shader cache`, (cache) => {
      const [first, later] = runs[cache];
      const problem = sizeOf(options, size);
      const agop = agopOf(size.n, rank);
      const found = laterLayerSeconds(problem, planRun(problem, device), { agop, seconds: secondsOf(first) });
      expect(found).toBeGreaterThan(later / 1.5);
      expect(found).toBeLessThan(later * 1.5);
      // The first layer itself is no such estimate.
      if (problem.d > problem.width * 2) expect(secondsOf(first).total).toBeGreaterThan(later * 3);
    });
  }
});

it('layers of the same size take as long', () => {
  const problem = sizeOf({ width: 0 }, { n: 50, testN: 0, d: 40, outputs: 3 });
  const seconds = secondsOf([1, 2, 3, 4, 5, 6]);
  const agop = agopOf(50, 40);
  expect(laterLayerSeconds(problem, planRun(problem, device), { agop, seconds })).toBeCloseTo(seconds.total, 9);
});
