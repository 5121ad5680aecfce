import { describe, it } from 'vitest';
import { networkAgop } from '../../src/nn/agop.js';
import { basicBlock } from '../../src/nn/block.js';
import { convolution } from '../../src/nn/convolution.js';
import { initialize } from '../../src/nn/init.js';
import { backAll, createPass, forwardAll, type Layer } from '../../src/nn/layer.js';
import { flatten, linear, relu } from '../../src/nn/linear.js';
import { batchNorm } from '../../src/nn/norm.js';
import { adaptivePool, maxPool } from '../../src/nn/pool.js';
import { runBatch } from '../../src/runtime/batch.js';
import { allocate, release } from '../../src/runtime/matrix.js';
import { expectBelow, expectClose, reportErrors, useGpu } from '../support/gpu.js';
import { dense, norm, normals } from '../support/reference.js';
import { copy, images, normalImages, numbers, passThrough, putImages, write } from './support.js';

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

const parametersIn = (layers: readonly Layer[]) => layers.flatMap((layer) => layer.parameters);

describe('a whole small ResNet', () => {
  it('gradients against finite differences along random directions', async () => {
    const layers = smallResnet();
    const parameters = parametersIn(layers);
    await initialize(gpu(), parameters, { gain: 1.5, seed: 3 });
    const x = normalImages(6, { channels: 3, height: 20, width: 20 }, 1);
    const input = putImages(gpu(), x);
    const weights = normalImages(6, { channels: 3, height: 1, width: 1 }, 2);
    const dy = putImages(gpu(), weights);
    const output = allocate(gpu(), 6, 3);
    /** ⟨weights, outputs⟩, summed in float64. */
    const value = async (): Promise<number> => {
      await runBatch(gpu(), (batch) => {
        const pass = createPass(batch, true);
        copy(batch, forwardAll(layers, pass, input).at(-1)!.y.matrix, output);
      });
      const found = await numbers(gpu(), output);
      return found.reduce((sum, v, i) => sum + v * weights.data[i], 0);
    };
    await runBatch(gpu(), (batch) => {
      const steps = forwardAll(layers, createPass(batch, true), input);
      backAll(steps, dy, { parameters: true, input: false });
    });
    const gradients: Float64Array[] = [];
    for (const { gradient } of parameters) gradients.push(await numbers(gpu(), gradient));
    for (const [p, { name, value: matrix }] of parameters.entries()) {
      const start = await numbers(gpu(), matrix);
      // Along the gradient itself the derivative is its length, the largest there is: float32 noise counts least.
      const length = norm(gradients[p]);
      const step = (1e-3 * Math.max(norm(start), 0.1)) / length;
      const along = async (t: number): Promise<number> => {
        write(
          gpu(),
          matrix,
          start.map((v, i) => v + t * gradients[p][i]),
        );
        return value();
      };
      const [ahead, behind] = [await along(step), await along(-step)];
      write(gpu(), matrix, start);
      const slope = (ahead - behind) / (2 * step);
      // A step may cross a kink of a ReLU or of the maximum.
      expectBelow(`slope along ${name.replace(/^.*\./, '')}`, Math.abs(slope - length * length) / length ** 2, 2e-2);
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
