import batchNormSource from '../../shaders/nn/batch_norm.wgsl';
import backwardSource from '../../shaders/nn/batch_norm_backward.wgsl';
import { inputError, RfmError, say, the } from '../errors.js';
import { type Batch, ceilDiv } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { defineKernel, read, readWrite, specialize } from '../runtime/kernel.js';
import type { Matrix } from '../runtime/matrix.js';
import { owningSync } from '../runtime/owning.js';
import { columnMoments, columnProducts, type Normalized } from './column-sums.js';
import { createParameter, expectChannels, type Layer, type Parameter, zeros } from './layer.js';
import { flatGrid, type Tensor, temporaryTensor, widthOf } from './tensor.js';

const EPSILON = 1e-5;
/** Share by which the running statistics move towards those of a batch. */
const MOMENTUM = 0.1;
/** Rows that an invocation goes through. */
const ROWS = 8;

const params = { count: 'u32', width: 'u32', rows: 'u32', epsilon: 'f32' } as const;
const constants = { RUNNING: 'bool', ROWS: 'u32' } as const;

const forward = defineKernel({
  name: 'batch_norm',
  source: batchNormSource,
  bindings: {
    x: read('array<vec4f>'),
    statistics: read('array<vec4f>'),
    weight: read('array<vec4f>'),
    bias: read('array<vec4f>'),
    out: readWrite('array<vec4f>'),
  },
  params,
  constants,
});
const trainKernel = specialize(forward, 'batch_norm', { RUNNING: false, ROWS });
const evaluateKernel = specialize(forward, 'batch_norm_evaluate', { RUNNING: true, ROWS });

const backward = defineKernel({
  name: 'batch_norm_backward',
  source: backwardSource,
  bindings: {
    x: read('array<vec4f>'),
    dy: read('array<vec4f>'),
    statistics: read('array<vec4f>'),
    weight: read('array<vec4f>'),
    sums: read('array<vec4f>'),
    products: read('array<vec4f>'),
    dx: readWrite('array<vec4f>'),
  },
  params,
  constants,
});
const trainBackwardKernel = specialize(backward, 'batch_norm_backward', { RUNNING: false, ROWS });
const evaluateBackwardKernel = specialize(backward, 'batch_norm_evaluate_backward', { RUNNING: true, ROWS });

/** Parameters and grid of a pass over the rows of a matrix. */
function overRows(matrix: Matrix) {
  const width = widthOf(matrix);
  const count = ceilDiv(matrix.rows, ROWS) * width;
  return { params: { count, width, rows: matrix.rows, epsilon: EPSILON }, grid: flatGrid(count) };
}

/** What a batch in training is normalised by; the running statistics move towards it. */
function statisticsOf(batch: Batch, x: Matrix, running: Matrix): Normalized {
  const normalized = { x, statistics: batch.temporary(2, x.cols) };
  columnMoments(batch, normalized, running, { epsilon: EPSILON, momentum: MOMENTUM });
  return normalized;
}

/** As PyTorch: the variance of one number is 0, and so would everything be that is divided by it. */
const oneValue = (name: string): RfmError =>
  inputError(
    `${name}: found 1 value per channel (one image of 1 × 1 pixel), batch normalisation needs more than 1 in training`,
    say`use a larger ${the.batch}`,
  );

/**
 * Batch normalisation over samples and pixels (Ioffe and Szegedy, ICML 2015) with ε = 1e-5. Parameters: weight and
 * bias (1 × channels); buffer: running mean and variance (2 × channels), which start at 0 and 1 and move by a tenth
 * towards those of each training batch, the variance with n − 1.
 */
export const batchNorm = (gpu: Gpu, name: string, channels: number): Layer =>
  owningSync(gpu, (gpu, keep) => {
    const weight = createParameter(gpu, `${name}.weight`, 1, channels);
    const bias = createParameter(gpu, `${name}.bias`, 1, channels);
    const running = zeros(gpu, 2, channels);
    const ones = new Float32Array(channels).fill(1);
    gpu.device.queue.writeBuffer(weight.value.buffer, 0, ones);
    gpu.device.queue.writeBuffer(running.buffer, running.stride * 4, ones);
    return keep(batchNormOf(name, { weight, bias, running }));
  });

function batchNormOf(
  name: string,
  { weight, bias, running }: { weight: Parameter; bias: Parameter; running: Matrix },
): Layer {
  const channels = running.cols;
  return {
    kind: 'norm',
    parameters: [weight, bias],
    buffers: [{ name: `${name}.running`, value: running }],
    outputShape(input) {
      expectChannels(name, channels, input);
      return input;
    },
    forward({ batch, training }, x) {
      this.outputShape(x.shape);
      if (training && x.matrix.rows === 1) throw oneValue(name);
      const y = temporaryTensor(batch, x.count, x.shape);
      const normalized = training ? statisticsOf(batch, x.matrix, running) : null;
      batch.dispatch(training ? trainKernel : evaluateKernel, {
        bindings: {
          x: x.matrix,
          statistics: normalized?.statistics ?? running,
          weight: weight.value,
          bias: bias.value,
          out: y.matrix,
        },
        ...overRows(y.matrix),
      });
      return {
        y,
        back(dy, wanted) {
          if (!normalized) {
            if (wanted.parameters) {
              throw new RfmError('internal', `${name}: gradients of parameters need a pass in training mode`);
            }
            return backEvaluated(batch, dy, running, weight.value);
          }
          if (dy.count !== x.count) {
            throw new RfmError(
              'internal',
              `${name}: in training mode samples depend on each other; use evaluation mode`,
            );
          }
          const into = wanted.parameters
            ? { sums: bias.gradient, products: weight.gradient }
            : { sums: batch.temporary(1, channels), products: batch.temporary(1, channels) };
          columnProducts(batch, dy.matrix, normalized, into);
          if (!wanted.input) return null;
          const dx = temporaryTensor(batch, dy.count, dy.shape);
          batch.dispatch(trainBackwardKernel, {
            bindings: { ...normalized, dy: dy.matrix, weight: weight.value, ...into, dx: dx.matrix },
            ...overRows(dx.matrix),
          });
          return dx;
        },
      };
    },
  };
}

/** The gradient where the statistics are constants. */
function backEvaluated(batch: Batch, dy: Tensor, running: Matrix, weight: Matrix): Tensor {
  const dx = temporaryTensor(batch, dy.count, dy.shape);
  batch.dispatch(evaluateBackwardKernel, {
    bindings: {
      x: dy.matrix,
      dy: dy.matrix,
      statistics: running,
      weight,
      sums: weight,
      products: weight,
      dx: dx.matrix,
    },
    ...overRows(dx.matrix),
  });
  return dx;
}
