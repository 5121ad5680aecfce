import columnFinishSource from '../../shaders/nn/column_finish.wgsl';
import columnSumsSource from '../../shaders/nn/column_sums.wgsl';
import flattenSource from '../../shaders/nn/flatten.wgsl';
import pointwiseSource from '../../shaders/nn/nn_pointwise.wgsl';
import { gemm, gemmNN, gemmTN } from '../ops/gemm/gemm.js';
import { type Batch, ceilDiv, f32bits } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import type { LooseKernel } from '../runtime/kernel.js';
import type { Matrix } from '../runtime/matrix.js';
import { createParameter, expectChannels, type Layer } from './layer.js';
import {
  featuresOf,
  flatGrid,
  flatShape,
  pixelsOf,
  reshaped,
  type Tensor,
  temporaryTensor,
  vectorsOf,
  widthOf,
} from './tensor.js';

const pointwise = (operation: number): LooseKernel => ({
  name: `nn_pointwise_${operation}`,
  source: pointwiseSource,
  constants: { OPERATION: operation },
});
const [RELU, MASK, ADD] = [0, 1, 2].map(pointwise);

function apply(batch: Batch, kernel: LooseKernel, a: Matrix, b: Matrix, out: Matrix, period: number): void {
  const count = vectorsOf(out);
  batch.dispatchLoose(kernel, [a, b, out], [count, period], flatGrid(count));
}

/** x + y. */
export function addTensors(batch: Batch, x: Tensor, y: Tensor): Tensor {
  const out = temporaryTensor(batch, x.count, x.shape);
  apply(batch, ADD, x.matrix, y.matrix, out.matrix, vectorsOf(y.matrix));
  return out;
}

/** x Wᵀ without bias; W: out × in is the one parameter. */
export function linear(gpu: Gpu, name: string, inputs: number, outputs: number): Layer {
  const weight = createParameter(gpu, `${name}.weight`, outputs, inputs, { in: inputs, out: outputs });
  return {
    kind: 'linear',
    parameters: [weight],
    buffers: [],
    outputShape(input) {
      expectChannels(name, inputs, input, true);
      return flatShape(outputs);
    },
    forward({ batch }, x) {
      const y = temporaryTensor(batch, x.count, this.outputShape(x.shape));
      gemm(batch, { a: x.matrix, b: weight.value, out: y.matrix });
      return {
        y,
        back(dy, wanted) {
          if (wanted.parameters) gemmTN(batch, { a: dy.matrix, b: x.matrix, out: weight.gradient });
          if (!wanted.input) return null;
          const dx = temporaryTensor(batch, dy.count, x.shape);
          gemmNN(batch, { a: dy.matrix, b: weight.value, out: dx.matrix });
          return dx;
        },
      };
    },
  };
}

/** x + b, a number for each channel. */
export function bias(gpu: Gpu, name: string, channels: number): Layer {
  const parameter = createParameter(gpu, `${name}.bias`, 1, channels);
  return {
    kind: 'bias',
    parameters: [parameter],
    buffers: [],
    outputShape(input) {
      expectChannels(name, channels, input);
      return input;
    },
    forward({ batch }, x) {
      const y = temporaryTensor(batch, x.count, this.outputShape(x.shape));
      apply(batch, ADD, x.matrix, parameter.value, y.matrix, widthOf(y.matrix));
      return {
        y,
        back(dy, wanted) {
          if (wanted.parameters) {
            const rest = batch.temporary(1, channels);
            columnSums(batch, 2, dy.matrix, dy.matrix, dy.matrix, parameter.gradient, rest);
          }
          return wanted.input ? dy : null;
        },
      };
    },
  };
}

export function relu(): Layer {
  return {
    kind: 'relu',
    parameters: [],
    buffers: [],
    outputShape: (input) => input,
    forward({ batch }, x) {
      const y = temporaryTensor(batch, x.count, x.shape);
      apply(batch, RELU, x.matrix, x.matrix, y.matrix, vectorsOf(x.matrix));
      return {
        y,
        back(dy, wanted) {
          if (!wanted.input) return null;
          const dx = temporaryTensor(batch, dy.count, dy.shape);
          apply(batch, MASK, dy.matrix, y.matrix, dx.matrix, vectorsOf(y.matrix));
          return dx;
        },
      };
    },
  };
}

/** Images to rows, pixel by pixel and channels inside. Costs nothing where the channels are a multiple of four. */
export function flatten(): Layer {
  return {
    kind: 'flatten',
    parameters: [],
    buffers: [],
    outputShape: (input) => flatShape(featuresOf(input)),
    forward({ batch }, x) {
      const { shape } = x;
      const to = (from: Tensor, target: Tensor['shape'], back: boolean): Tensor => {
        const [rows, cols] = [from.count * pixelsOf(target), target.channels];
        if (shape.channels % 4 === 0) {
          return { matrix: reshaped(from.matrix, rows, cols), count: from.count, shape: target };
        }
        const out = temporaryTensor(batch, from.count, target);
        const [images, row] = back ? [out, from] : [from, out];
        const count = out.matrix.rows * out.matrix.stride;
        batch.dispatchLoose(
          { name: 'flatten', source: flattenSource, constants: { BACK: back } },
          [from.matrix, out.matrix],
          [count, pixelsOf(shape), shape.channels, images.matrix.stride, row.matrix.stride],
          flatGrid(count),
        );
        return out;
      };
      return {
        y: to(x, this.outputShape(shape), false),
        back: (dy, wanted) => (wanted.input ? to(dy, shape, true) : null),
      };
    },
  };
}

const CHUNK = 64;
const sumsKernel = (operation: number): LooseKernel => ({
  name: `column_sums_${operation}`,
  source: columnSumsSource,
  constants: { OPERATION: operation },
});
const SUMS = [0, 1, 2].map(sumsKernel);
const [FINISH_MOMENTS, FINISH_SUMS] = [0, 1].map(
  (operation): LooseKernel => ({
    name: `column_finish_${operation}`,
    source: columnFinishSource,
    constants: { OPERATION: operation },
  }),
);

function partialSums(batch: Batch, operation: 0 | 1 | 2, a: Matrix, x: Matrix, statistics: Matrix): Matrix {
  const chunks = ceilDiv(a.rows, CHUNK);
  const width = widthOf(a);
  const partial = batch.temporary(2 * chunks, a.stride);
  batch.dispatchLoose(
    SUMS[operation],
    [a, x, statistics, partial],
    [a.rows, width, chunks, x.rows],
    [ceilDiv(width, 16), ceilDiv(chunks, 4)],
  );
  return partial;
}

/** Operation 1: first = Σ dy, second = Σ dy x̂ by column, with the statistics of `columnMoments`. Operation 2: first = Σ dy alone. */
export function columnSums(
  batch: Batch,
  operation: 1 | 2,
  dy: Matrix,
  x: Matrix,
  statistics: Matrix,
  first: Matrix,
  second: Matrix,
): void {
  const partial = partialSums(batch, operation, dy, x, statistics);
  const width = widthOf(dy);
  batch.dispatchLoose(
    FINISH_SUMS,
    [partial, dy, second, first],
    [width, partial.rows / 2, dy.rows, 0, 0],
    [ceilDiv(width, 16)],
  );
}

/**
 * statistics (2 × channels) = mean and 1/√(variance + epsilon) of the columns of x; the running mean and variance
 * (2 × channels, variance with n − 1) move towards this batch's by the share `momentum`.
 */
export function columnMoments(
  batch: Batch,
  x: Matrix,
  running: Matrix,
  statistics: Matrix,
  epsilon: number,
  momentum: number,
): void {
  const partial = partialSums(batch, 0, x, x, x);
  const width = widthOf(x);
  batch.dispatchLoose(
    FINISH_MOMENTS,
    [partial, x, statistics, running],
    [width, partial.rows / 2, x.rows, f32bits(epsilon), f32bits(momentum)],
    [ceilDiv(width, 16)],
  );
}
