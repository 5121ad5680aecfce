import { describe, expect, it } from 'vitest';
import { networkAgop } from '../../src/nn/agop.js';
import { convolution } from '../../src/nn/convolution.js';
import { initialize } from '../../src/nn/init.js';
import { type Layer, releaseLayer } from '../../src/nn/layer.js';
import { bias, flatten, linear, relu } from '../../src/nn/linear.js';
import { createModel, type Model, parametersOf, releaseModel } from '../../src/nn/models.js';
import { batchNorm } from '../../src/nn/norm.js';
import { createOptimizer } from '../../src/nn/optimizer.js';
import { adaptivePool, maxPool } from '../../src/nn/pool.js';
import { probeHead } from '../../src/nn/probes.js';
import { flatShape, type Shape } from '../../src/nn/tensor.js';
import { evaluate, trainEpoch } from '../../src/nn/training.js';
import { releasePanels } from '../../src/ops/tiles.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { release } from '../../src/runtime/matrix.js';
import { putRows, refusingEachAllocation, useGpu, VARIANTS } from '../support/gpu.js';
import { normalMatrix } from '../support/reference.js';
import { normalImages, putImages } from './support.js';

const opened = useGpu();

const INPUT: Shape = { channels: 3, height: 6, width: 6 };
const OPTIONS = { optimizer: 'adam', learningRate: 0.01, momentum: 0, weightDecay: 0 } as const;

/** A small network with a layer of each kind. */
function network(gpu: Gpu): Model {
  const layers: Layer[] = [
    // As wide as convolutions from textures are.
    convolution(gpu, 'first', { inputs: 3, outputs: 36, size: 3, pad: 1 }),
    batchNorm(gpu, 'norm', 36),
    relu(),
    maxPool({ size: 2 }),
    convolution(gpu, 'second', { inputs: 36, outputs: 5, size: 3, pad: 1 }),
    bias(gpu, 'bias', 5),
    adaptivePool(2, 2),
    flatten(),
    linear(gpu, 'last', 20, 2),
  ];
  return { name: 'resnet18', input: INPUT, outputs: 2, layers, head: 8 };
}

const samples = (count: number) => ({
  x: Float32Array.from(normalImages(count, INPUT, 1).data),
  labels: Int32Array.from({ length: count }, (_, i) => i % 2),
  count,
  shape: INPUT,
});

describe.each(VARIANTS)('what is refused an allocation leaves nothing behind, %s', (_, of) => {
  const gpu = () => of(opened());

  it('a training step and an evaluation', async () => {
    const model = network(gpu());
    await initialize(gpu(), parametersOf(model), { gain: 1, seed: 1 });
    const optimizer = createOptimizer(gpu(), parametersOf(model), OPTIONS);
    const options = { loss: 'mse', batch: 4, seed: 0, epoch: 1 } as const;
    const step = await refusingEachAllocation(gpu(), (gpu) =>
      trainEpoch(gpu, model, optimizer, samples(4), options).catch((error: Error) => {
        // A step that does not fit says so by its batch.
        throw Object.assign(error, { message: error.message.replace(/^batch 4: (.*); use .*$/, '$1') });
      }),
    );
    expect(step).toBeGreaterThan(30);
    await refusingEachAllocation(gpu(), (gpu) => evaluate(gpu, model, samples(4), 'cross-entropy'));
    optimizer.release();
    releaseModel(gpu(), model);
  });

  it('the AGOP of a network', async () => {
    const model = network(gpu());
    await initialize(gpu(), parametersOf(model), { gain: 1, seed: 1 });
    const x = putImages(gpu(), normalImages(3, INPUT, 2));
    await refusingEachAllocation(gpu(), async (gpu) => release(gpu, await networkAgop(gpu, model.layers, x)));
    release(gpu(), x.matrix);
    releaseModel(gpu(), model);
  });
});

describe('what is refused an allocation leaves nothing behind', () => {
  it('a model and its optimiser', async () => {
    const options = { input: flatShape(6), outputs: 2, depth: 1, width: 4 };
    await refusingEachAllocation(opened(), async (gpu) => releaseModel(gpu, createModel(gpu, 'mlp', options)));
    const model = createModel(opened(), 'mlp', options);
    await refusingEachAllocation(opened(), async (gpu) => createOptimizer(gpu, parametersOf(model), OPTIONS).release());
    releaseModel(opened(), model);
    for (const make of [
      (gpu: Gpu) => batchNorm(gpu, 'norm', 4),
      (gpu: Gpu) => convolution(gpu, 'first', { inputs: 3, outputs: 6, size: 3 }),
    ]) {
      expect(await refusingEachAllocation(opened(), async (gpu) => releaseLayer(gpu, make(gpu)))).toBeGreaterThan(1);
    }
  });

  it('a probe', async () => {
    const gpu = opened();
    const model = createModel(gpu, 'mlp', { input: flatShape(6), outputs: 2, depth: 1, width: 4 });
    await initialize(gpu, parametersOf(model), { gain: 1, seed: 1 });
    const phi = putRows(gpu, normalMatrix(12, 6, 1), 12);
    await refusingEachAllocation(gpu, (gpu) => probeHead(gpu, model.layers, phi, [0, 6, 12]));
    releasePanels(gpu, phi);
    releaseModel(gpu, model);
  });
});
