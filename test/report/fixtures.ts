import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type GramPicture, type LayerMetrics, type RunMetrics, SCHEMA, type Stages } from '../../src/rfm/types.js';

/** A small seeded generator (mulberry32): numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface LayerValues {
  nc1: Stages;
  nc2: Stages;
  trainAccuracy: number;
  testAccuracy: number | null;
}

/** Metrics of a run with the given values at each layer, and made-up but plausible times. */
export function runWith(layers: readonly LayerValues[], change: Partial<RunMetrics> = {}): RunMetrics {
  const random = seeded(layers.length + 7);
  const around = (value: number): number => value * (0.85 + 0.3 * random());
  const made = layers.map((values, index): LayerMetrics => {
    const [kernel, solve, agop, sqrt, features, metrics] = [0.11, 0.19, 0.42, 0.37, 0.06, 0.09].map(around);
    const parts = { kernel: kernel!, solve: solve!, agop: agop!, sqrt: sqrt!, features: features!, metrics: metrics! };
    return {
      deadRows: { train: 0, test: 0 },
      layer: index + 1,
      ...values,
      solve: { method: 'cholesky', relativeResidual: 3e-8 * (1 + random()), refinements: 1, jitter: 0 },
      agop: {
        path: index < 3 ? 'gram' : 'jacobian',
        cancellation: 10 ** (index / 8),
        samples: 1000,
        samplingError: 0,
        topEigenvalues: [4.1, 2.2, 1.05].map(around),
        rank: Math.max(10, 580 - 25 * index),
      },
      seconds: { ...parts, total: 1.02 * Object.values(parts).reduce((a, b) => a + b, 0) },
    };
  });
  return {
    schema: SCHEMA,
    version: '0.1.0',
    config: {
      dataset: 'mnist',
      n: 1000,
      testN: 1000,
      depth: layers.length,
      kernel: 'laplace',
      bandwidth: 2,
      ridge: 1e-3,
      activation: 'relu',
      width: 512,
      gamma: 0.1,
      seed: 0,
      agop: 'auto',
      agopSamples: 0,
      solver: 'auto',
      gramLayers: [1, 3, 7, 13, 19],
    },
    adapter: {
      vendor: 'mesa',
      architecture: '',
      device: '',
      description: 'llvmpipe (LLVM 19.1.7, 256 bits)',
      type: 'software',
    },
    classCounts: [97, 116, 99, 93, 105, 92, 94, 117, 87, 100],
    layers: made,
    memory: { predictedBytes: 41_943_040, peakBytes: 40_370_176 },
    deviceLosses: 0,
    seconds: made.reduce((sum, layer) => sum + layer.seconds.total, 0),
    ...change,
  };
}

/** A run whose curves fall by a constant factor a layer, with a little noise. */
export function fallingRun(depth: number, factor: number, start = 4, change: Partial<RunMetrics> = {}): RunMetrics {
  const random = seeded(depth);
  return runWith(
    Array.from({ length: depth }, (_, index) => {
      const level = start * factor ** index * (0.95 + 0.1 * random());
      const stages = { input: level, agop: level * 0.3, features: level * 0.45 };
      return {
        nc1: stages,
        nc2: { input: stages.input / 50, agop: stages.agop / 50, features: stages.features / 50 },
        trainAccuracy: 1,
        testAccuracy: 0.85 + 0.02 * random(),
      };
    }),
    change,
  );
}

const shared = process.env.DEEP_RFM_SHARED ?? fileURLToPath(new URL('../../../shared', import.meta.url));

/** Path of a reference curve, and why tests that need it are left out where it is absent. */
export function golden(name: string): { path: string; missing: string | null } {
  const path = `${shared}/golden/curves/${name}.json`;
  return {
    path,
    missing: existsSync(path) ? null : `reference curve ${name} is absent (set DEEP_RFM_SHARED to its folder)`,
  };
}

/** A run with the values of a reference curve. */
export function goldenRun(path: string): RunMetrics {
  const document = JSON.parse(readFileSync(path, 'utf8')) as { layers: LayerValues[] };
  return runWith(document.layers);
}

/** A Gram picture of classes with the given sizes: `within` inside a class, noise around it elsewhere. */
export function blockGram(layer: number, counts: readonly number[], within = 1, noise = 0): GramPicture {
  const random = seeded(layer);
  const labels = counts.flatMap((count, label) => Array.from({ length: count }, () => label));
  const size = labels.length;
  const between = -1 / (counts.length - 1);
  const values = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      const centre = i === j ? 1 : labels[i] === labels[j] ? within : between;
      const value = i === j ? 1 : Math.max(-1, Math.min(1, centre + noise * (2 * random() - 1)));
      values[i * size + j] = value;
      values[j * size + i] = value;
    }
  }
  return { layer, size, classCounts: counts, values };
}
