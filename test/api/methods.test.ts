import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readMnistSample } from '../../src/data/sample.js';
import { deepRfm, type Gpu, laplace, matrix, openGpu, toArray, trainNetworks } from '../../src/platform/node/index.js';
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

it('says of a closed device that it was closed, in the middle of a call and after', async () => {
  const own = await openGpu();
  const closed = { kind: 'input', message: expect.stringMatching(/the device was closed; open another one/) };
  const kept = matrix(own, [[1, 2]]);
  const work = deepRfm(own, data, { depth: 30, width: 32 }).catch((error: unknown) => error);
  await new Promise((resolve) => setTimeout(resolve, 60));
  await own.close();
  expect(await work).toMatchObject(closed);
  await expect(deepRfm(own, data, { depth: 1, width: 32 })).rejects.toMatchObject(closed);
  await expect(toArray(own, kept)).rejects.toMatchObject(closed);
  await expect(trainNetworks(own, data, { depth: 1, width: 8, epochs: 1 })).rejects.toMatchObject(closed);
});

describe('options', () => {
  it.each<[object, string]>([
    [{ activation: 'tanh' }, 'deepRfm: option activation: '],
    [{ bandwidth: 50 }, 'deepRfm: Unrecognized key: "bandwidth"; see DeepRfmOptions for what there is'],
    [{ kernel: 'laplace' }, 'deepRfm: option kernel: expected a kernel, for example laplace(2)'],
    [{ depth: 0 }, 'deepRfm: option depth: '],
    [{ width: 8.5 }, "deepRfm: option width: expected a whole number from 0 on, or 'inf'"],
    [{ seed: 2 ** 64 }, 'deepRfm: option seed: '],
    [{ agopSamples: -5 }, 'deepRfm: option agopSamples: '],
    [{ solver: 'cg' }, 'deepRfm: option solver: '],
  ])('of deepRfm are checked: %j', async (options, message) => {
    await expect(deepRfm(gpu, data, options)).rejects.toMatchObject({
      kind: 'input',
      message: expect.stringContaining(message),
    });
  });

  it.each<[object, string]>([
    [{ optimizer: 'rms' }, 'trainNetworks: option optimizer: '],
    [{ lr: 0.1 }, 'trainNetworks: Unrecognized key: "lr"; see TrainOptions for what there is'],
    [{ loss: 'hinge' }, 'trainNetworks: option loss: '],
    [{ model: 'resnet18' }, 'option image: resnet18 needs channels, height and width of its images; give them'],
    [
      { image: { channels: 1, height: 27, width: 28 } },
      'option image: 1 × 27 × 28 is 756 numbers, but rows have 784; give the shape of the rows',
    ],
  ])('of trainNetworks are checked: %j', async (options, message) => {
    await expect(trainNetworks(gpu, data, options)).rejects.toMatchObject({
      kind: 'input',
      message: expect.stringContaining(message),
    });
  });

  it('of labels: numbers of classes, for test rows those of training rows', async () => {
    const testLabels = [...data.testLabels];
    testLabels[3] = 40;
    await expect(deepRfm(gpu, { ...data, testLabels })).rejects.toThrow(
      'testLabels: the label of row 3 (from 0) is 40, a class that no row of x has; remove the row',
    );
    const labels = [...data.labels];
    labels[2] = 1e9;
    await expect(deepRfm(gpu, { ...data, labels })).rejects.toThrow(
      'labels: the label of row 2 (from 0) is 1000000000, expected a class 0, 1, 2, … below 65536',
    );
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
