import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readMnistSample } from '../../src/data/sample.js';
import { deepRfm, type Gpu, laplace, openGpu, trainNetworks } from '../../src/platform/node/index.js';
import { deepRfm as ofCommand } from '../../src/rfm/deep-rfm.js';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const { train, test } = readMnistSample(60, 20);
const data = { x: train.x, labels: train.labels, testX: test!.x, testLabels: test!.labels };

describe('deepRfm', () => {
  it('is the method of the command line, to the bit', async () => {
    const options = { depth: 2, width: 64, seed: 3 };
    const seen: number[] = [];
    const found = await deepRfm(gpu, data, { ...options, progress: { onLayer: ({ layer }) => seen.push(layer) } });
    expect(seen).toEqual([1, 2]);
    const expected = await ofCommand(gpu, { train, test, classes: 10 }, options);
    expect(found.layers.map(({ nc1, nc2, testAccuracy }) => ({ nc1, nc2, testAccuracy }))).toEqual(
      expected.layers.map(({ nc1, nc2, testAccuracy }) => ({ nc1, nc2, testAccuracy })),
    );
    expect(found.predictions).toEqual(expected.predictions);
  });

  it('takes arrays of rows, and says what is wrong with them', async () => {
    const rows = Array.from({ length: 60 }, (_, i) => [...train.x.subarray(i * 784, (i + 1) * 784)]);
    const options = { depth: 1, kernel: laplace(3), width: 32 };
    const [{ nc1 }] = (await deepRfm(gpu, { x: rows, labels: [...train.labels] }, options)).layers;
    const [flat] = (await deepRfm(gpu, { x: train.x, labels: train.labels }, options)).layers;
    expect(nc1).toEqual(flat.nc1);
    await expect(deepRfm(gpu, { x: rows.slice(1), labels: train.labels })).rejects.toThrow(
      'x: found 59 rows, expected 60',
    );
    await expect(deepRfm(gpu, { x: train.x.subarray(1), labels: train.labels })).rejects.toThrow(
      'x: 47039 numbers do not make 60 rows',
    );
    await expect(
      deepRfm(gpu, { ...data, testX: rows.map((row) => row.slice(1)), testLabels: train.labels }),
    ).rejects.toThrow('testX: rows have 783 numbers, expected 784');
    await expect(deepRfm(gpu, { x: train.x, labels: train.labels, testX: rows })).rejects.toThrow('give both or none');
  });
});

describe('trainNetworks', () => {
  it('trains and measures a network', async () => {
    const options = { depth: 1, width: 32, epochs: 2, batch: 20, seeds: [1] };
    const [{ epochs, measurements }] = await trainNetworks(gpu, data, options);
    expect(epochs).toHaveLength(2);
    expect(epochs[1].loss).toBeLessThan(epochs[0].loss);
    expect(measurements[0].epoch).toBe(0);
    expect(measurements.at(-1)?.test?.accuracy).toBeGreaterThan(0);
  });
});
