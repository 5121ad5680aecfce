import batchNormSource from '../../shaders/nn/batch_norm.wgsl';
import { inputError, RfmError } from '../errors.js';
import { ceilDiv, f32bits } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import type { LooseKernel } from '../runtime/kernel.js';
import type { Matrix } from '../runtime/matrix.js';
import { createParameter, expectChannels, type Layer, type Pass, zeros } from './layer.js';
import { columnMoments, columnSums } from './linear.js';
import { flatGrid, type Tensor, temporaryTensor, widthOf } from './tensor.js';

const EPSILON = 1e-5;
/** Share by which the running statistics move towards those of a batch. */
const MOMENTUM = 0.1;
/** Rows that an invocation of batch_norm.wgsl goes through. */
const ROWS = 8;

const kernel = (operation: number): LooseKernel => ({
  name: `batch_norm_${operation}`,
  source: batchNormSource,
  constants: { OPERATION: operation },
});
const [TRAIN, EVALUATE, TRAIN_BACK, EVALUATE_BACK] = [0, 1, 2, 3].map(kernel);

/** As PyTorch: the variance of one number is 0, and so would everything be that is divided by it. */
const oneValue = (name: string): RfmError =>
  inputError(
    `${name}: found 1 value per channel (one image of 1 × 1 pixel), batch normalisation needs more than 1 in training; use a larger --batch`,
  );

/**
 * Batch normalisation over samples and pixels (Ioffe and Szegedy, ICML 2015) with ε = 1e-5. Parameters: weight and
 * bias (1 × channels); buffer: running mean and variance (2 × channels), which start at 0 and 1 and move by a tenth
 * towards those of each training batch, the variance with n − 1.
 */
export function batchNorm(gpu: Gpu, name: string, channels: number): Layer {
  const weight = createParameter(gpu, `${name}.weight`, 1, channels);
  const bias = createParameter(gpu, `${name}.bias`, 1, channels);
  const running = zeros(gpu, 2, channels);
  gpu.device.queue.writeBuffer(weight.value.buffer, 0, new Float32Array(channels).fill(1));
  gpu.device.queue.writeBuffer(running.buffer, running.stride * 4, new Float32Array(channels).fill(1));

  const run = (
    { batch }: Pass,
    which: LooseKernel,
    [x, dy]: [Matrix, Matrix],
    statistics: Matrix,
    [second, product]: [Matrix, Matrix],
    out: Tensor,
  ): Tensor => {
    const { matrix } = out;
    const count = ceilDiv(matrix.rows, ROWS) * widthOf(matrix);
    batch.dispatchLoose(
      which,
      [x, dy, statistics, weight.value, second, product, matrix],
      [count, widthOf(matrix), matrix.rows, f32bits(EPSILON)],
      flatGrid(count),
    );
    return out;
  };

  return {
    kind: 'norm',
    parameters: [weight, bias],
    buffers: [{ name: `${name}.running`, value: running }],
    outputShape(input) {
      expectChannels(name, channels, input);
      return input;
    },
    forward(pass, x) {
      const { batch } = pass;
      this.outputShape(x.shape);
      const y = temporaryTensor(batch, x.count, x.shape);
      let statistics = running;
      if (pass.training) {
        if (x.matrix.rows === 1) throw oneValue(name);
        statistics = batch.temporary(2, channels);
        columnMoments(batch, x.matrix, running, statistics, EPSILON, MOMENTUM);
      }
      run(pass, pass.training ? TRAIN : EVALUATE, [x.matrix, x.matrix], statistics, [bias.value, bias.value], y);
      return {
        y,
        back(dy, wanted) {
          if (!pass.training) {
            if (wanted.parameters) {
              throw new RfmError('internal', `${name}: gradients of parameters need a pass in training mode`);
            }
            const dx = temporaryTensor(batch, dy.count, dy.shape);
            return run(pass, EVALUATE_BACK, [dy.matrix, dy.matrix], running, [bias.value, bias.value], dx);
          }
          if (dy.count !== x.count) {
            throw new RfmError(
              'internal',
              `${name}: in training mode samples depend on each other; use evaluation mode`,
            );
          }
          const [first, second] = wanted.parameters
            ? [bias.gradient, weight.gradient]
            : [batch.temporary(1, channels), batch.temporary(1, channels)];
          columnSums(batch, 1, dy.matrix, x.matrix, statistics, first, second);
          if (!wanted.input) return null;
          const dx = temporaryTensor(batch, dy.count, dy.shape);
          return run(pass, TRAIN_BACK, [x.matrix, dy.matrix], statistics, [first, second], dx);
        },
      };
    },
  };
}
