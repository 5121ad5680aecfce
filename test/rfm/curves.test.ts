import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadDataset } from '../../src/data/dataset.js';
import { kernelOf } from '../../src/ops/kernels/kernels.js';
import { type DeepRfmData, deepRfm, planOf } from '../../src/rfm/deep-rfm.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import type { LayerMetrics, RunConfig } from '../../src/rfm/types.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { shared } from '../data/helpers.js';
import { openTestGpu } from '../support/gpu.js';

/** NC1, NC2 and accuracies of every layer, computed in float64 by an independent NumPy program. */
interface Curve {
  config: Omit<RunConfig, 'agop' | 'agopSamples' | 'solver' | 'gramLayers'>;
  layers: Pick<LayerMetrics, 'layer' | 'nc1' | 'nc2' | 'trainAccuracy' | 'testAccuracy'>[];
}

const readCurve = (path: string | URL): Curve => JSON.parse(readFileSync(path, 'utf8'));
const fixture = (name: string): Curve => readCurve(new URL(`../fixtures/curve-${name}.json`, import.meta.url));
const optionsOf = ({ config }: Curve): DeepRfmOptions => {
  const { depth, ridge, activation, width, gamma, seed } = config;
  return { depth, kernel: kernelOf(config), ridge, activation, width, gamma, seed };
};

/** Largest relative difference of NC1 over the three stages. */
function nc1Error(found: LayerMetrics, curve: Curve): number {
  const expected = curve.layers[found.layer - 1].nc1;
  const stages = ['input', 'agop', 'features'] as const;
  return Math.max(...stages.map((stage) => Math.abs(found.nc1[stage] / expected[stage] - 1)));
}

function nc2Error(found: LayerMetrics, curve: Curve): number {
  const expected = curve.layers[found.layer - 1].nc2;
  const stages = ['input', 'agop', 'features'] as const;
  return Math.max(...stages.map((stage) => Math.abs(found.nc2[stage] - expected[stage])));
}

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

describe('Deep RFM on 300 real digits against float64', () => {
  const sample = (): DeepRfmData => loadDataset({ name: 'mnist-sample', n: 300, testN: 200 });

  it('Laplace, ReLU: NC1 within 1e-3 over 10 layers, 2e-3 at 12, NC2 and accuracies, residuals, no jitter, memory as predicted', async () => {
    const curve = fixture('laplace-relu');
    const { layers, classCounts } = await deepRfm(gpu, sample(), optionsOf(curve));
    expect(layers).toHaveLength(12);
    for (const layer of layers) {
      const expected = curve.layers[layer.layer - 1];
      // The last layers amplify the rounding of the first: layer 12 is off by 2.9e-4 on lavapipe, by 1.1e-3 on SwiftShader.
      const bound = layer.layer <= 6 ? 1e-4 : layer.layer <= 10 ? 1e-3 : 2e-3;
      expect(nc1Error(layer, curve), `NC1 of layer ${layer.layer}`).toBeLessThan(bound);
      expect(nc2Error(layer, curve), `NC2 of layer ${layer.layer}`).toBeLessThan(1e-4);
      expect(layer.trainAccuracy).toBe(expected.trainAccuracy);
      // One of 200 test digits may lie on the border.
      expect(Math.abs((layer.testAccuracy ?? 0) - (expected.testAccuracy ?? 0))).toBeLessThanOrEqual(0.005 + 1e-9);
      expect(layer.solve.relativeResidual).toBeLessThan(1e-6);
      expect(layer.solve.jitter).toBe(0);
      const top = layer.agop.topEigenvalues;
      expect(top.length).toBeGreaterThanOrEqual(10);
      expect([...top].sort((a, b) => b - a)).toEqual(top);
    }
    expect(classCounts.reduce((a, b) => a + b)).toBe(300);
    expect(gpu.pool.bytes.peak).toBeLessThan(1.1 * planOf(gpu, sample(), optionsOf(curve)).peakBytes);
  }, 300_000);

  it('Gaussian, ReLU: NC1 within 1e-3 over 6 layers', async () => {
    const curve = fixture('gaussian-relu');
    const { layers } = await deepRfm(gpu, sample(), optionsOf(curve));
    for (const layer of layers) expect(nc1Error(layer, curve), `layer ${layer.layer}`).toBeLessThan(1e-3);
  }, 300_000);

  // Cosine features of Cauchy weights amplify a rounding error about tenfold a layer: float64 itself, begun
  // from pixels rounded to float32, is off by 4e-3 at layer 6 and by 9e-2 at layer 8 of the n = 500 curve.
  it('Laplace, cosine: NC1 within 1e-3 over the first 2 layers and 3e-2 at layer 4', async () => {
    const curve = fixture('laplace-cos');
    const { layers } = await deepRfm(gpu, sample(), { ...optionsOf(curve), agop: 'jacobian' });
    for (const layer of layers) {
      expect(nc1Error(layer, curve), `layer ${layer.layer}`).toBeLessThan([1e-5, 1e-3, 1e-2, 3e-2][layer.layer - 1]);
    }
  }, 300_000);

  it('gives the same numbers to the bit for the same seed, others for another', async () => {
    const options = { ...optionsOf(fixture('laplace-relu')), depth: 3, gramLayers: [2] };
    const run = async (seed: number) => {
      const { layers, grams } = await deepRfm(gpu, sample(), { ...options, seed });
      return { layers: layers.map(({ seconds: _, ...rest }) => rest), grams };
    };
    const first = await run(7);
    expect(await run(7)).toEqual(first);
    expect(await run(8)).not.toEqual(first);
    const [gram] = first.grams;
    expect(gram.size).toBe(300);
    for (let i = 0; i < 300; i++) expect(gram.values[i * 300 + i]).toBeCloseTo(1, 5);
  }, 300_000);

  it('holds as much memory after 50 layers as after 20, and none afterwards', async () => {
    const before = gpu.pool.bytes.live;
    const held: { live: number; pooled: number }[] = [];
    const options = { ...optionsOf(fixture('laplace-relu')), depth: 50, width: 48 };
    const data = loadDataset({ name: 'mnist-sample', n: 60, testN: 0 });
    await deepRfm(gpu, data, options, {
      progress: { onLayer: () => held.push({ live: gpu.pool.bytes.live, pooled: gpu.pool.bytes.pooled }) },
    });
    expect(held).toHaveLength(50);
    expect(held[49].live).toBe(held[19].live);
    // The pool grows by sizes that are met late, such as those of a smaller rank.
    expect(held[49].pooled).toBeLessThan(1.01 * held[19].pooled);
    expect(gpu.pool.bytes.live).toBe(before);
  }, 300_000);

  it('stops at the next phase when aborted', async () => {
    const abort = new AbortController();
    const seen: string[] = [];
    const work = deepRfm(gpu, sample(), optionsOf(fixture('laplace-relu')), {
      progress: {
        signal: abort.signal,
        onPhase(layer, phase) {
          seen.push(`${layer} ${phase}`);
          if (phase === 'solve') abort.abort();
        },
      },
    });
    await expect(work).rejects.toThrow();
    expect(seen).toEqual(['1 kernel', '1 solve']);
  }, 300_000);

  it('refuses a row that standardisation makes zero', async () => {
    const data = sample();
    const x = new Float32Array(4 * 3).fill(0);
    x.set([1, 2, 3], 0);
    x.set([-1, -2, -3], 3);
    const rows = { x, labels: Int32Array.of(0, 1, 0, 1), rows: 4, cols: 3 };
    const options = { ...optionsOf(fixture('laplace-relu')), depth: 1 };
    await expect(deepRfm(gpu, { ...data, train: rows, test: null, classes: 2 }, options)).rejects.toMatchObject({
      kind: 'input',
      message: expect.stringContaining('row 2'),
    });
  });
});

// The full-size curves take a minute each where the adapter is fast enough; SwiftShader, ten times slower, gets three layers.
describe('the full-size curves against float64', () => {
  const depthHere = (): number => (/swiftshader/i.test(`${gpu.adapter.device} ${gpu.adapter.description}`) ? 3 : 20);
  const curveFile = shared('golden', 'curves', 'mnist-relu-n1000-seed0.json');
  const mnist = shared('data', 'mnist');
  const absent = curveFile.absent || mnist.absent;

  it.skipIf(absent)(
    `MNIST, n = 1000, 20 layers: NC1 within 1e-3 up to layer 10 and 5 % up to layer 20${curveFile.why || mnist.why}`,
    async () => {
      const curve = readCurve(curveFile.path);
      const data = loadDataset({ name: 'mnist', dataDir: mnist.path, n: 1000, testN: 1000 });
      const { layers } = await deepRfm(gpu, data, { ...optionsOf(curve), depth: depthHere() });
      for (const layer of layers) {
        expect(nc1Error(layer, curve), `layer ${layer.layer}`).toBeLessThan(layer.layer <= 10 ? 1e-3 : 5e-2);
        expect(layer.solve.relativeResidual, `residual of layer ${layer.layer}`).toBeLessThan(1e-6);
        expect(layer.solve.jitter).toBe(0);
      }
    },
    600_000,
  );

  const cifarCurve = shared('golden', 'curves', 'cifar10-relu-n1000-seed0.json');
  const cifar = shared('data', 'cifar-10-batches-bin');
  it.skipIf(cifarCurve.absent || cifar.absent)(
    `CIFAR-10, n = 1000, first layer (d = 3072): NC1 within 1e-5${cifarCurve.why || cifar.why}`,
    async () => {
      const curve = readCurve(cifarCurve.path);
      const data = loadDataset({ name: 'cifar10', dataDir: cifar.path, n: 1000, testN: 1000 });
      const options = { ...optionsOf(curve), depth: 1 };
      if (depthHere() < 20) options.agop = 'gram';
      const { layers } = await deepRfm(gpu, data, options);
      expect(nc1Error(layers[0], curve)).toBeLessThan(1e-5);
      expect(layers[0].testAccuracy).toBe(curve.layers[0].testAccuracy);
    },
    600_000,
  );
});
