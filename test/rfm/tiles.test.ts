import { existsSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadDataset } from '../../src/data/dataset.js';
import { readClasses } from '../../src/data/labels.js';
import { readMatrix, toFloat32 } from '../../src/data/npy.js';
import { type KernelSettings, kernelOf } from '../../src/ops/kernels/kernels.js';
import type { SolvePlan } from '../../src/ops/solve/solve.js';
import { type DeepRfmData, deepRfm, planOf } from '../../src/rfm/deep-rfm.js';
import { rfmLayer } from '../../src/rfm/layer.js';
import type { DeepRfmOptions, LayerOptions } from '../../src/rfm/options.js';
import type { LayerInput, LayerResult } from '../../src/rfm/types.js';
import { DEFAULT_TILE_BYTES, type Gpu } from '../../src/runtime/gpu.js';
import { golden } from '../support/golden.js';
import { openTestGpu, RUNS } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

/** ‖found − expected‖ / ‖expected‖. */
function error(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

async function withTiles<T>(bytes: number, work: () => Promise<T>): Promise<T> {
  gpu.tileBytes = bytes;
  try {
    return await work();
  } finally {
    gpu.tileBytes = DEFAULT_TILE_BYTES;
  }
}

const ARRAYS = ['kernelMatrix', 'alpha', 'agop', 'agopSqrt', 'agopFeatures', 'features'] as const;

/** `root`: the bound on what follows from M^{1/2}. */
function compare(found: LayerResult, whole: LayerResult, root = 1e-6): void {
  for (const [i, name] of ARRAYS.entries()) {
    const bound = i < ARRAYS.indexOf('agopSqrt') ? 1e-6 : root;
    expect(error(found[name] ?? [], whole[name] ?? []), name).toBeLessThanOrEqual(bound);
  }
  expect(found.metrics.trainAccuracy).toBe(whole.metrics.trainAccuracy);
}

describe.each(['laplace-relu', 'laplace-cos', 'one-output', 'gaussian-relu'])('a layer in tiles, %s', (name) => {
  const files = golden('layer', name);
  function read(): { input: LayerInput; options: LayerOptions } {
    const settings = files.case() as unknown as KernelSettings;
    const x = readMatrix(files.path('X.npy'), '--x');
    const y = readMatrix(files.path('Y.npy'), '--y');
    const w = readMatrix(files.path('weights.npy'), '--weights');
    const phase = existsSync(files.path('phase.npy'))
      ? toFloat32(readMatrix(files.path('phase.npy'), '--phase'), 'phase.npy')
      : null;
    return {
      input: {
        x: x.data,
        n: x.rows,
        d: x.cols,
        y: y.data,
        outputs: y.cols,
        labels: readClasses(files.path('labels.npy'), '--labels', x.rows).values,
        features: { kind: 'given', weights: toFloat32(w, 'weights.npy'), width: w.rows, phase },
      },
      options: { ...settings, kernel: kernelOf(settings) },
    };
  }

  it.skipIf(files.absent).each(['jacobian', 'gram'] as const)(
    `64 KiB and 1 MiB tiles change nothing beyond 1e-6, AGOP by %s${files.why}`,
    async (agop) => {
      const { input, options } = read();
      const layer = () => rfmLayer(gpu, input, { ...options, agop }, { kernelMatrix: true });
      const whole = await layer();
      for (const bytes of [2 ** 16, 2 ** 20]) compare(await withTiles(bytes, layer), whole);
    },
  );
});

describe('any shape in tiles', () => {
  it('gives the same layer', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          n: fc.constantFrom(31, 33, 64, 65, 97, 130),
          d: fc.constantFrom(3, 17, 32, 65),
          outputs: fc.constantFrom(1, 2, 10),
          width: fc.constantFrom(5, 32, 70),
          bytes: fc.constantFrom(2 ** 12, 2 ** 14, 2 ** 15),
          agop: fc.constantFrom('gram' as const, 'jacobian' as const),
          seed: fc.nat(1e6),
        }),
        async ({ n, d, outputs, width, bytes, agop, seed }) => {
          const x = Float32Array.from(normalMatrix(n, d, seed).data);
          const labels = Int32Array.from({ length: n }, (_, i) => (i * 7 + seed) % Math.max(2, outputs));
          const y = Float32Array.from({ length: n * outputs }, (_, e) => {
            const label = labels[Math.floor(e / outputs)];
            return outputs === 1 ? 2 * label - 1 : label === e % outputs ? 1 : -1;
          });
          const input: LayerInput = {
            x,
            n,
            d,
            y,
            outputs,
            labels,
            features: { kind: 'random', seed, layerIndex: 0, width, gamma: 0.1 },
          };
          const layer = () => rfmLayer(gpu, input, { agop }, { kernelMatrix: true });
          const whole = await layer();
          // A direction that rounding moves across the rank tolerance of M, 1e-8, is 1e-4 of the root, and a few may.
          compare(await withTiles(bytes, layer), whole, 3e-4);
        },
      ),
      { ...RUNS, numRuns: 10 },
    ));
});

describe('a run in tiles, by every solver', () => {
  const config: DeepRfmOptions = {
    depth: 2,
    width: 128,
    seed: 3,
    agop: 'jacobian',
    gramLayers: [2],
  };
  const data = (): DeepRfmData => loadDataset({ name: 'mnist-sample', n: 300, testN: 100 });

  it('NC1 within 1e-4 of the untiled run, whatever solves it and wherever the rows wait', async () => {
    const whole = await deepRfm(gpu, data(), config);
    const solvers: SolvePlan[] = [
      { method: 'cholesky' },
      { method: 'cholesky-host' },
      { method: 'conjugate-gradients', landmarks: 100 },
    ];
    for (const [i, solve] of solvers.entries()) {
      const plan = withTilesPlan(2 ** 18, { solve, keepDistances: false, parkRows: i > 0 });
      const found = await deepRfm(gpu, data(), config, { plan });
      for (const [l, layer] of found.layers.entries()) {
        const expected = whole.layers[l];
        expect(layer.solve.method).toBe(solve.method);
        expect(layer.solve.relativeResidual).toBeLessThanOrEqual(1e-6);
        for (const stage of ['input', 'agop', 'features'] as const) {
          expect(Math.abs(layer.nc1[stage] / expected.nc1[stage] - 1), `NC1 ${stage}`).toBeLessThan(1e-4);
        }
        expect(layer.testAccuracy).toBe(expected.testAccuracy);
      }
      expect(error(found.grams[0].values, whole.grams[0].values)).toBeLessThan(1e-4);
    }
  });

  function withTilesPlan(tileBytes: number, change: Partial<ReturnType<typeof planOf>>) {
    gpu.tileBytes = tileBytes;
    const plan = planOf(gpu, data(), config);
    gpu.tileBytes = DEFAULT_TILE_BYTES;
    return { ...plan, ...change };
  }
});
