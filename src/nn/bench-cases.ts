import { runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, release, upload } from '../runtime/matrix.js';
import { addOuterProducts, outputGradients, type SplitMatrix } from './agop.js';
import { initialize } from './init.js';
import { createModel, type Model, type ModelName, parametersOf, releaseModel } from './models.js';
import { createOptimizer } from './optimizer.js';
import { consecutive, shuffledRows, uploadTargets } from './samples.js';
import { flatShape, pixelsOf, type Shape } from './tensor.js';
import { trainingStep } from './training.js';

/** Something to time. */
export interface NetworkBench {
  /** Multiply-adds times two of one run. */
  flops: number;
  /** One run; resolves when the device has finished. */
  run(): Promise<void>;
  release(): void;
}

/** Sizes of the operations, as their names are for a benchmark; the peer script times the same. */
export const NETWORK_BENCHES = {
  /** One step (forward, loss, backward, SGD with momentum) on a batch of 128. */
  'mlp-step': { model: 'mlp', batch: 128, input: flatShape(784), depth: 5, width: 512, outputs: 10 },
  'resnet18-step': {
    model: 'resnet18',
    batch: 128,
    input: { channels: 3, height: 32, width: 32 },
    depth: 5,
    width: 512,
    outputs: 10,
  },
  /** AGOP at every hidden layer of the MLP from the Jacobians of all outputs by all samples. */
  'agop-probe': { model: 'mlp', batch: 512, input: flatShape(784), depth: 5, width: 512, outputs: 10 },
} as const satisfies Record<string, BenchSize>;

export type NetworkBenchName = keyof typeof NETWORK_BENCHES;

interface BenchSize {
  model: ModelName;
  batch: number;
  input: Shape;
  depth: number;
  width: number;
  outputs: number;
}

/** Sets up one of the operations of `NETWORK_BENCHES` on random numbers. */
export async function createNetworkBench(gpu: Gpu, name: NetworkBenchName): Promise<NetworkBench> {
  const size: BenchSize = NETWORK_BENCHES[name];
  const model = createModel(gpu, size.model, size);
  await initialize(gpu, parametersOf(model), { gain: 1, seed: 0 });
  const rows = size.batch * pixelsOf(size.input);
  const numbers = Float32Array.from(shuffledRows(rows * size.input.channels, 1, 0), (i) => Math.sin(i));
  const x = {
    matrix: upload(gpu, rows, size.input.channels, numbers),
    count: size.batch,
    shape: size.input,
  };
  return name === 'agop-probe' ? probeBench(gpu, model, size, x) : stepBench(gpu, model, size, x);
}

function stepBench(gpu: Gpu, model: Model, size: BenchSize, x: Parameters<typeof trainingStep>[4]): NetworkBench {
  const optimizer = createOptimizer(gpu, parametersOf(model), {
    optimizer: 'sgd',
    learningRate: 1e-3,
    momentum: 0.9,
    weightDecay: 0,
  });
  const labels = Int32Array.from({ length: size.batch }, (_, i) => i % size.outputs);
  const targets = uploadTargets(gpu, labels, consecutive(0, size.batch), size.outputs);
  const results = allocate(gpu, 1, 2);
  return {
    // Backward costs twice forward, except that the first layer needs no gradient of its input.
    flops: 3 * forwardFlops(model, size),
    run: async () => {
      await runBatch(gpu, (batch) => trainingStep(batch, model, optimizer, 'mse', x, targets, results, 0));
    },
    release() {
      optimizer.release();
      release(gpu, x.matrix, targets, results);
      releaseModel(gpu, model);
    },
  };
}

function probeBench(gpu: Gpu, model: Model, size: BenchSize, x: Parameters<typeof trainingStep>[4]): NetworkBench {
  const hidden = model.layers.flatMap(({ kind }, i) => (kind === 'linear' && i < model.layers.length - 1 ? [i] : []));
  const sums = hidden.map((): SplitMatrix => {
    return { high: allocate(gpu, size.width, size.width), low: allocate(gpu, size.width, size.width) };
  });
  const { batch: n, depth, width, outputs } = size;
  return {
    // Back from each hidden layer to the one before, and half of each outer product by symmetry.
    flops: 2 * n * outputs * ((depth - 1) * width * width + outputs * width) + depth * n * outputs * width * width,
    run: () =>
      outputGradients(gpu, model.layers, x, hidden, (batch, layer, rows, isFirst) =>
        addOuterProducts(batch, rows, n, sums[hidden.indexOf(layer)], isFirst),
      ),
    release() {
      release(gpu, x.matrix, ...sums.flatMap(({ high, low }) => [high, low]));
      releaseModel(gpu, model);
    },
  };
}

/** Twice the multiply-adds of the products and convolutions of a forward pass, padding included. */
function forwardFlops(model: Model, { batch }: BenchSize): number {
  if (model.name === 'mlp') {
    return parametersOf(model).reduce((sum, { value }) => sum + 2 * batch * value.rows * value.cols, 0);
  }
  let pixels = pixelsOf(model.input);
  let flops = 0;
  // The convolutions of ResNet-18 in order: each stage halves the image.
  for (const { name, value, fan } of parametersOf(model)) {
    if (!fan) continue;
    if (name === 'stem.conv.weight') pixels = Math.ceil(pixels / 4);
    else if (name === 'stage1.0.conv1.weight' || /^stage[234]\.0\.conv1/.test(name)) pixels = Math.ceil(pixels / 4);
    const positions = fan.taps === undefined ? 1 : pixels;
    flops += 2 * batch * positions * value.rows * fan.in;
  }
  return flops;
}
