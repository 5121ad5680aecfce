import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readClasses } from '../../src/data/labels.js';
import { readMatrix, readNpy, toFloat32 } from '../../src/data/npy.js';
import type { RadialKernel } from '../../src/ops/kernels/kernel.js';
import { type KernelSettings, kernelOf } from '../../src/ops/kernels/kernels.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { rfmLayer } from '../../src/rfm/layer.js';
import type { LayerOptions } from '../../src/rfm/options.js';
import { rfm } from '../../src/rfm/rfm.js';
import type { LayerInput } from '../../src/rfm/types.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { golden } from '../support/golden.js';
import { openTestGpu } from '../support/gpu.js';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

/** ‖found − expected‖ / ‖expected‖. */
function error(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(found.length).toBe(expected.length);
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

describe.each(['laplace-relu', 'laplace-cos', 'gaussian-relu', 'one-output'])('one layer, %s', (name) => {
  const files = golden('layer', name);

  function read(): {
    input: LayerInput;
    options: LayerOptions & { kernel: RadialKernel };
    nc1: Record<string, number>;
  } {
    const config = files.case() as unknown as KernelSettings & { nc1: Record<string, number> };
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
      options: { ...config, kernel: kernelOf(config) },
      nc1: config.nc1,
    };
  }

  it.skipIf(files.absent).each(['jacobian', 'gram'] as const)(`AGOP by %s${files.why}`, async (agop) => {
    const { input, options, nc1 } = read();
    const gaussian = options.kernel.name === 'gaussian';
    const result = await rfmLayer(gpu, input, { ...options, agop }, { kernelMatrix: true });
    const reference = (file: string) => files.matrix(file).data;
    expect(error(result.kernelMatrix ?? [], reference('kernel_matrix'))).toBeLessThan(2e-7);
    // The Gaussian kernel matrix has a condition number of 1e5 here, the others of 1e3.
    expect(error(result.alpha, reference('alpha'))).toBeLessThan(gaussian ? 1e-4 : 2e-6);
    expect(error(result.agop, reference('agop'))).toBeLessThan(gaussian ? 1e-4 : 5e-6);
    expect(error(result.agopSqrt, reference('agop_sqrt'))).toBeLessThan(gaussian ? 2e-4 : 1e-5);
    expect(error(result.agopFeatures, reference('agop_features'))).toBeLessThan(gaussian ? 1e-4 : 1e-5);
    expect(error(result.features, reference('features'))).toBeLessThan(gaussian ? 1e-4 : 1e-5);
    for (const stage of ['input', 'agop', 'features'] as const) {
      expect(Math.abs(result.metrics.nc1[stage] / nc1[stage] - 1), `NC1 ${stage}`).toBeLessThan(1e-4);
    }
  });

  it.skipIf(files.absent)(`draws the same weights from the seed${files.why}`, async () => {
    const { input, options } = read();
    const { seed, layerIndex, gamma } = files.case();
    const width = input.features.width;
    const result = await rfmLayer(
      gpu,
      { ...input, features: { kind: 'random', seed, layerIndex, gamma, width } },
      { ...options, agop: 'jacobian' },
    );
    expect(error(result.features, files.matrix('features').data)).toBeLessThan(1e-4);
  });

  it.skipIf(files.absent)(`does not depend on the order of the rows${files.why}`, async () => {
    const { input, options } = read();
    const reversed = (data: Float32Array | Float64Array, cols: number) => {
      const out = new Float32Array(data.length);
      for (let i = 0; i < input.n; i++) out.set(data.subarray(i * cols, (i + 1) * cols), (input.n - 1 - i) * cols);
      return out;
    };
    const forward = await rfmLayer(gpu, input, { ...options, agop: 'jacobian' });
    const backward = await rfmLayer(
      gpu,
      {
        ...input,
        x: reversed(input.x, input.d),
        y: reversed(input.y, input.outputs),
        labels: input.labels && Int32Array.from(input.labels).reverse(),
      },
      { ...options, agop: 'jacobian' },
    );
    expect(error(reversed(backward.features, backward.width), forward.features)).toBeLessThan(1e-4);
    expect(error(reversed(backward.alpha, input.outputs), forward.alpha)).toBeLessThan(1e-3);
  });
});

describe('classic RFM', () => {
  const files = golden('rfm', 'laplace-metric');
  it.skipIf(files.absent)(`learns the metric of the reference in every iteration${files.why}`, async () => {
    const { bandwidth, ridge, iterations } = files.case();
    const x = readMatrix(files.path('X.npy'), '--x');
    const y = readMatrix(files.path('Y.npy'), '--y');
    const test = readMatrix(files.path('X_test.npy'), '--test-x');
    const result = await rfm(
      gpu,
      {
        x: x.data,
        n: x.rows,
        d: x.cols,
        y: y.data,
        outputs: y.cols,
        testX: test.data,
        testRows: test.rows,
      },
      { kernel: laplace(bandwidth), ridge, iterations },
    );
    const all = (name: string) => readNpy(files.path(`${name}.npy`), { maxDims: 3 }).data as Float64Array;
    const part = (data: Float64Array, t: number) => data.subarray((t * data.length) / 3, ((t + 1) * data.length) / 3);
    expect(result.iterations).toHaveLength(3);
    result.iterations.forEach(({ M, predictions }, t) => {
      expect(error(M, part(all('M'), t)), `M after iteration ${t + 1}`).toBeLessThan(1e-5);
      expect(error(predictions ?? [], part(all('predictions'), t)), `predictions ${t + 1}`).toBeLessThan(1e-4);
    });
    expect(result.M).toEqual(result.iterations[2].M);
    expect(result.solves).toHaveLength(4);
  });
});
