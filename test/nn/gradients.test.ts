import { describe, it } from 'vitest';
import { networkAgop } from '../../src/nn/agop.js';
import { basicBlock } from '../../src/nn/block.js';
import { convolution } from '../../src/nn/convolution.js';
import { initialize } from '../../src/nn/init.js';
import { backAll, createNetworkPass, forwardAll, type Layer } from '../../src/nn/layer.js';
import { flatten, linear, relu } from '../../src/nn/linear.js';
import { batchNorm } from '../../src/nn/norm.js';
import { adaptivePool, maxPool } from '../../src/nn/pool.js';
import { runBatch } from '../../src/runtime/batch.js';
import { allocate, release } from '../../src/runtime/matrix.js';
import { expectBelow, expectClose, reportErrors, useGpu } from '../support/gpu.js';
import { dense, norm, normals } from '../support/reference.js';
import { convolutionOf, globalMeanOf, linearOf, maxPoolOf, normOf, reluOf, sumOf } from './reference.js';
import {
  copy,
  fromTapOrder,
  type Images,
  images,
  normalImages,
  numbers,
  passThrough,
  putImages,
  write,
} from './support.js';

const gpu = useGpu();
reportErrors();

/** A ResNet in small: stem, pooling, a block of each kind, global average, and a head of two layers. */
function smallResnet(): Layer[] {
  return [
    convolution(gpu(), 'stem', { inputs: 3, outputs: 4, size: 7, stride: 2, pad: 3 }),
    batchNorm(gpu(), 'bn', 4),
    relu(),
    maxPool({ size: 3, stride: 2, pad: 1 }),
    basicBlock(gpu(), 'a', 4, 4, 1),
    basicBlock(gpu(), 'b', 4, 6, 2),
    adaptivePool(1, 1),
    flatten(),
    linear(gpu(), 'head.0', 6, 8),
    relu(),
    linear(gpu(), 'head.1', 8, 3),
  ];
}

/** The same in float64, with the parameters of these names. */
function reference(x: Images, weight: (name: string) => Float64Array): Images {
  const convolve = (from: Images, name: string, outputs: number, size: number, stride: number): Images =>
    convolutionOf(from, weight(`${name}.weight`), outputs, { size, stride, pad: (size - 1) / 2 });
  const normalize = (from: Images, name: string): Images =>
    normOf(from, weight(`${name}.weight`), weight(`${name}.bias`));
  const block = (from: Images, name: string, outputs: number, stride: number): Images => {
    const first = reluOf(normalize(convolve(from, `${name}.conv1`, outputs, 3, stride), `${name}.bn1`));
    const main = normalize(convolve(first, `${name}.conv2`, outputs, 3, 1), `${name}.bn2`);
    const short = stride === 1 ? from : normalize(convolve(from, `${name}.down0`, outputs, 1, stride), `${name}.down1`);
    return reluOf(sumOf(main, short));
  };
  const stem = reluOf(normalize(convolve(x, 'stem', 4, 7, 2), 'bn'));
  const blocks = block(block(maxPoolOf(stem, { size: 3, stride: 2, pad: 1 }), 'a', 4, 1), 'b', 6, 2);
  const hidden = reluOf(linearOf(globalMeanOf(blocks), weight('head.0.weight'), 8));
  return linearOf(hidden, weight('head.1.weight'), 3);
}

function close(name: string, found: Float64Array, expected: Float64Array, bound: number): void {
  expectBelow(name, norm(expected.map((v, i) => found[i] - v)) / norm(expected), bound);
}

const parametersIn = (layers: readonly Layer[]) => layers.flatMap((layer) => layer.parameters);

describe('a whole small ResNet', () => {
  it('gradients against finite differences in float64', async () => {
    const layers = smallResnet();
    const parameters = parametersIn(layers);
    await initialize(gpu(), parameters, { gain: 1.5, seed: 3 });
    const next = normals(8);
    for (const { value, fan } of parameters) {
      // Weights of the normalisation are 1 and its biases 0: a special place.
      if (!fan)
        write(
          gpu(),
          value,
          Float64Array.from({ length: value.cols }, (_, i) => 1 + (i % 2) * 0.3 * next()),
        );
    }
    const x = normalImages(6, { channels: 3, height: 20, width: 20 }, 1);
    const seeds = normalImages(6, { channels: 3, height: 1, width: 1 }, 2);
    const [input, dy] = [putImages(gpu(), x), putImages(gpu(), seeds)];
    const output = allocate(gpu(), 6, 3);
    await runBatch(gpu(), (batch) => {
      const steps = forwardAll(layers, createNetworkPass(batch, true), input);
      copy(batch, steps[steps.length - 1].y.matrix, output);
      backAll(steps, dy, { parameters: true, input: false });
    });
    const held = new Map<string, Float64Array>();
    const gradients = new Map<string, Float64Array>();
    for (const { name, value, gradient, fan } of parameters) {
      const plain = (numbers: Float64Array): Float64Array =>
        fan?.taps ? fromTapOrder(numbers, value.rows, fan.taps.inputs, fan.taps.size) : numbers;
      held.set(name, plain(await numbers(gpu(), value)));
      gradients.set(name, plain(await numbers(gpu(), gradient)));
    }
    const outputs = await numbers(gpu(), output);
    const expected = reference(x, (name) => held.get(name)!);
    close('outputs', outputs, expected.data, 2e-6);
    for (const [name, found] of gradients) {
      // Along three random directions; in float64 a step this small meets no kink of a ReLU or a maximum.
      const start = held.get(name)!;
      for (let k = 0; k < 3; k++) {
        const direction = start.map(() => next());
        const along = (t: number): number => {
          const moved = start.map((v, i) => v + t * direction[i]);
          const y = reference(x, (other) => (other === name ? moved : held.get(other)!));
          return y.data.reduce((sum, v, i) => sum + v * seeds.data[i], 0);
        };
        const slope = (along(1e-6) - along(-1e-6)) / 2e-6;
        const given = found.reduce((sum, v, i) => sum + v * direction[i], 0);
        const scale = norm(found) * norm(direction);
        expectBelow(`slope by ${name.replace(/^.*\./, '')}`, Math.abs(slope - given) / scale, 1e-4);
      }
    }
    release(gpu(), input.matrix, dy.matrix, output);
  });

  it('AGOP by the input: Jacobians of all outputs at once against one at a time', async () => {
    const layers = smallResnet();
    await initialize(gpu(), parametersIn(layers), { gain: 1.5, seed: 4 });
    const next = normals(9);
    for (const layer of layers) {
      for (const { value } of layer.buffers) {
        write(
          gpu(),
          value,
          Float64Array.from({ length: 2 * value.cols }, (_, i) => (i < value.cols ? next() : 1 + next() ** 2)),
        );
      }
    }
    const shape = { channels: 3, height: 9, width: 8 };
    const x = normalImages(5, shape, 5);
    const input = putImages(gpu(), x);
    const d = 3 * 9 * 8;
    const found = await networkAgop(gpu(), layers, input);
    const whole: Layer = {
      ...layers[0],
      parameters: [],
      buffers: [],
      outputShape: (s) => layers.reduce((shape, layer) => layer.outputShape(shape), s),
      forward(pass, tensor) {
        const steps = forwardAll(layers, pass, tensor);
        return { y: steps[steps.length - 1].y, back: (dy, wanted) => backAll(steps, dy, wanted) };
      },
    };
    const sum = new Float64Array(d * d);
    for (let c = 0; c < 3; c++) {
      const seeds = images(5, { channels: 3, height: 1, width: 1 }, (i) => (i % 3 === c ? 1 : 0));
      const { dx } = await passThrough(gpu(), whole, x, seeds, {
        training: false,
        wanted: { parameters: false, input: true },
      });
      for (let n = 0; n < 5; n++) {
        // In the order of the device: pixels, channels inside.
        const row = new Float64Array(d);
        for (let ch = 0; ch < 3; ch++) {
          for (let p = 0; p < 72; p++) row[p * 3 + ch] = dx!.data[(n * 3 + ch) * 72 + p];
        }
        for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) sum[i * d + j] += (row[i] * row[j]) / 5;
      }
    }
    expectClose(
      'AGOP of a small ResNet',
      { rows: d, cols: d, data: await numbers(gpu(), found) },
      dense(d, d, (i, j) => sum[i * d + j]),
      2e-6,
    );
    release(gpu(), input.matrix, found);
  });
});
