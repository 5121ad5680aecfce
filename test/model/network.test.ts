import { expect, it } from 'vitest';
import { readMnistSample } from '../../src/data/sample.js';
import { memoryFiles, writeModelDocument } from '../../src/model/files.js';
import { networkDocument } from '../../src/model/make.js';
import { writeNetwork } from '../../src/model/network.js';
import { initialize } from '../../src/nn/init.js';
import { buffersOf, createModel, parametersOf } from '../../src/nn/models.js';
import { prepareSamples } from '../../src/nn/samples.js';
import { outputsOf } from '../../src/nn/training.js';
import { columnStatistics } from '../../src/ops/host-rows.js';
import * as library from '../../src/platform/node/index.js';
import { owning } from '../../src/runtime/owning.js';
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

it('a ResNet with its running statistics has the outputs that it had, to the bit', async () => {
  const input = { channels: 3, height: 8, width: 8 };
  const x = normalMatrix(5, 192, 2).data;
  const statistics = columnStatistics({ x, rows: 5, cols: 192 });
  const samples = prepareSamples(
    { train: { x, rows: 5, cols: 192, labels: Int32Array.of(0, 0, 1, 1, 1) }, test: null, classes: 2 },
    input,
  ).train;
  const files = memoryFiles();
  let expected: Float32Array | null = null;
  await owning(gpu(), async (own) => {
    const network = createModel(own, 'resnet18', { input, outputs: 2, depth: 1, width: 8 });
    await initialize(own, parametersOf(network), { gain: 1, seed: 3, plain: [] });
    for (const { value } of buffersOf(network)) {
      // A row of means, and one of variances.
      const numbers = normalMatrix(2, value.stride, 7).data.map((one, e) =>
        e < value.stride ? one / 10 : 0.5 + one * one,
      );
      own.device.queue.writeBuffer(value.buffer, 0, Float32Array.from(numbers));
    }
    expected = await outputsOf(own, network, samples);
    const written = await writeNetwork(files, own, network, statistics);
    const about = { columns: 192, outputs: 2, code: 'sign', classes: ['a', 'b'], settings: {}, data: {} } as const;
    const shape = { model: 'resnet18', depth: 1, width: 8, input } as const;
    await writeModelDocument(files, networkDocument(own, { ...about, classes: ['a', 'b'] }, shape, written));
  });
  const { scores, classes } = await library.predict(gpu(), await library.loadModel(files.bytes), x);
  expect([scores, classes]).toEqual([expected, ['a', 'b']]);
  expect(new Set(scores).size).toBeGreaterThan(5);
}, 60_000);
