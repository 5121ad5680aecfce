import { expect, it } from 'vitest';
import { readMnistSample } from '../../src/data/sample.js';
import * as library from '../../src/platform/node/index.js';
import { reportErrors, useGpu } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';

const gpu = useGpu();
reportErrors();

/** The share of rows in their class. */
const share = (labels: Int32Array | null, expected: ArrayLike<number>): number =>
  labels!.filter((label, i) => label === expected[i]).length / expected.length;

it.each(['mse', 'cross-entropy'] as const)('an MLP trained by %s predicts as it was measured', async (loss) => {
  const { train, test } = readMnistSample(60, 30);
  const models = new Map<number, library.Model>();
  const data = { x: train.x, labels: train.labels, testX: test!.x, testLabels: test!.labels };
  const records = await library.trainNetworks(gpu(), data, {
    ...{ depth: 1, width: 20, epochs: 3, batch: 20, seeds: [1, 5], loss, learningRate: loss === 'mse' ? 1e-3 : 1e-2 },
    onModel: (seed, model) => models.set(seed, model),
  });
  for (const { seed, measurements } of records) {
    const model = await library.loadModel(await library.saveModel(models.get(seed)!));
    expect(model.document).toMatchObject({ kind: 'network', code: loss === 'mse' ? 'sign' : 'logits' });
    const found = await library.predict(gpu(), model, test!.x);
    expect(share(found.labels, test!.labels)).toBe(measurements.at(-1)!.test!.accuracy);
    const of = (i: number, numbers: ArrayLike<number>) => Array.from({ length: 10 }, (_, c) => numbers[10 * i + c]);
    for (let i = 0; i < 30; i++) {
      expect(of(i, found.probabilities!).reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
    }
    if (loss === 'cross-entropy') {
      const total = Array.from(test!.labels).reduce(
        (sum, label, i) => sum - Math.log(found.probabilities![10 * i + label]),
        0,
      );
      expect(total / 30).toBeCloseTo(measurements.at(-1)!.test!.loss, 4);
    } else {
      const total = Array.from(found.scores).reduce(
        (sum: number, score, e) => sum + (score - (e % 10 === test!.labels[Math.floor(e / 10)] ? 1 : -1)) ** 2,
        0,
      );
      expect(total / 300 / measurements.at(-1)!.test!.loss).toBeCloseTo(1, 5);
    }
    await expect(library.predict(gpu(), model, test!.x, { layer: 1 })).rejects.toThrow(
      'a model of kind network has one predictor and no layers to choose from',
    );
  }
});

it('a ResNet with its running statistics predicts as it was measured', async () => {
  const image = { channels: 3, height: 8, width: 8 };
  const rows = (n: number, seed: number) =>
    normalMatrix(n, 192, seed).data.map((value, e) => value + (Math.floor(e / 192) % 2));
  const labelled = (n: number) => Int32Array.from({ length: n }, (_, i) => i % 2);
  const data = { x: rows(8, 1), labels: labelled(8), testX: rows(5, 2), testLabels: labelled(5) };
  let model = null as library.Model | null;
  const [{ measurements }] = await library.trainNetworks(gpu(), data, {
    ...{ model: 'resnet18', image, depth: 1, width: 8, epochs: 1, batch: 4 },
    onModel: (_, trained) => {
      model = trained;
    },
  });
  const { scores } = await library.predict(gpu(), model!, data.testX);
  const squares = Array.from(scores, (score, e) => (score - (e % 2 === data.testLabels[e >> 1] ? 1 : -1)) ** 2);
  const loss = squares.reduce((sum, square) => sum + square, 0) / 10;
  expect(loss / measurements.at(-1)!.test!.loss).toBeCloseTo(1, 4);
}, 120_000);
