import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../../src/nn/checkpoint.js';
import { initialize } from '../../src/nn/init.js';
import { lossAndGradient } from '../../src/nn/loss.js';
import { createModel, parametersOf, releaseModel } from '../../src/nn/models.js';
import { prepareSamples, type TrainingData } from '../../src/nn/samples.js';
import { flatShape } from '../../src/nn/tensor.js';
import { trainNetworks } from '../../src/nn/train.js';
import type { TrainConfig } from '../../src/nn/types.js';
import { compute, useGpu } from '../support/gpu.js';
import { dense, normalMatrix } from '../support/reference.js';

const gpu = useGpu();

const CLASSES = 3;

function data(n: number, d: number): TrainingData {
  const rows = (seed: number, count: number) => ({
    x: Float32Array.from(normalMatrix(count, d, seed).data),
    labels: Int32Array.from({ length: count }, (_, i) => i % CLASSES),
    rows: count,
    cols: d,
  });
  return prepareSamples({ train: rows(1, n), test: rows(2, 9), classes: CLASSES }, null);
}

const config = (change: Partial<TrainConfig> = {}): TrainConfig => ({
  model: 'mlp',
  dataset: 'npy',
  n: 30,
  testN: 9,
  depth: 2,
  width: 8,
  init: 1,
  learningRate: 0.01,
  momentum: 0.9,
  weightDecay: 0,
  optimizer: 'sgd',
  loss: 'mse',
  epochs: 3,
  batch: 16,
  measureEvery: 1,
  seeds: [0],
  ...change,
});

/** The message a training ends with, and what it kept. */
async function failure(change: Partial<TrainConfig>): Promise<{ message: string; kept: Checkpoint[] }> {
  const kept: Checkpoint[] = [];
  const save = async (checkpoint: Checkpoint): Promise<void> => {
    kept.push(structuredClone(checkpoint));
  };
  const training = trainNetworks(gpu(), data(30, 7), config(change), { save });
  const message = await training.then(
    () => 'done',
    (error: Error) => error.message,
  );
  return { message, kept };
}

const stateIsFinite = ({ arrays }: Checkpoint): boolean =>
  arrays.every(({ data: bytes }) => new Float32Array(new Uint8Array(bytes).buffer).every(Number.isFinite));

describe('a training that diverges', () => {
  // One step an epoch: the loss before it is finite.
  const whole = { batch: 30 };
  const cases: [name: string, change: Partial<TrainConfig>][] = [
    ['by the rate', { learningRate: 1e18 }],
    ['by the rate, in the last epoch', { learningRate: 1e18, epochs: 1, ...whole }],
    ['by the rate, with Adam', { learningRate: 1e18, optimizer: 'adam', epochs: 2, ...whole }],
    ['by cross-entropy', { learningRate: 1e18, loss: 'cross-entropy', ...whole }],
    ['by weight decay', { weightDecay: 1e18, ...whole }],
    ['by momentum', { momentum: 1e18, epochs: 10, ...whole }],
    ['between measurements', { learningRate: 1e18, measureEvery: 10, epochs: 10, ...whole }],
    // The gradient's square is beyond float32, its step is not.
    ['in the state of Adam alone', { init: 1e8, optimizer: 'adam', depth: 3, loss: 'cross-entropy', ...whole }],
  ];
  it.each(cases)('%s: says so, and keeps a state that is finite', async (_, change) => {
    const { message, kept } = await failure(change);
    expect(message).toMatch(
      /(is|are) (no longer a finite number|not a finite number|not finite) (in|after) epoch \d+ with seed 0: training diverged; use a smaller learning rate/,
    );
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.every(stateIsFinite)).toBe(true);
    for (const { records } of kept) {
      for (const { epochs, measurements } of records) {
        for (const { loss } of [...epochs, ...measurements.map(({ train }) => train)])
          expect(loss).toSatisfy(Number.isFinite);
      }
    }
  });
});

describe('a network as drawn', () => {
  it('without a loss in float32 is refused before anything is kept', async () => {
    for (const loss of ['mse', 'cross-entropy'] as const) {
      const { message, kept } = await failure({ init: 1e18, loss });
      expect(message).toContain(
        'the loss over the training rows of the network as drawn with seed 0 is beyond float32',
      );
      expect(kept).toEqual([]);
    }
  });

  it('whose weights float32 does not hold is refused', async () => {
    for (const gain of [1e-37, 1e40]) {
      const model = createModel(gpu(), 'mlp', { input: flatShape(5), outputs: 2, depth: 1, width: 4 });
      await expect(initialize(gpu(), parametersOf(model), { gain, seed: 0 })).rejects.toThrow(
        `init ${gain}: float32 does not hold weights of up to`,
      );
      releaseModel(gpu(), model);
    }
  });
});

describe('loss', () => {
  it.each(['mse', 'cross-entropy'] as const)(
    '%s: a row with a number that is not finite is not correct',
    async (loss) => {
      for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        for (const place of [0, 1, 2]) {
          // The label of both rows is the first class; the second row is right.
          const outputs = dense(2, 3, (i, j) => (i === 0 && j === place ? wrong : [3, 1, 0][j]));
          const targets = dense(2, 3, (_, j) => (j === 0 ? 1 : -1));
          const [, results] = await compute(
            gpu(),
            [outputs, targets],
            [
              [2, 3],
              [1, 2, 'any'],
            ],
            (batch, [outputs, targets], [gradient, r]) =>
              lossAndGradient(batch, loss, { outputs, targets, gradient }, r, 0),
          );
          expect(Number.isFinite(results.data[0])).toBe(false);
          expect(results.data[1]).toBe(1);
        }
      }
    },
  );
});
