import flattenSource from '../../shaders/nn/flatten.wgsl';
import pointwiseSource from '../../shaders/nn/nn_pointwise.wgsl';
import { gemm, gemmNN, gemmTN } from '../ops/gemm/gemm.js';
import type { Batch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { defineKernel, read, readWrite, specialize } from '../runtime/kernel.js';
import type { Matrix } from '../runtime/matrix.js';
import { columnSums } from './column-sums.js';
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
} from './tensor.js';

const pointwise = defineKernel({
  name: 'nn_pointwise',
  source: pointwiseSource,
  bindings: { a: read('array<vec4f>'), b: read('array<vec4f>'), out: readWrite('array<vec4f>') },
  params: { count: 'u32', period: 'u32' },
  constants: { OPERATION: 'u32' },
});
/** The operations by their number in the shader. */
const KERNELS = {
  relu: specialize(pointwise, 'tensor_relu', { OPERATION: 0 }),
  reluGradient: specialize(pointwise, 'tensor_relu_gradient', { OPERATION: 1 }),
  add: specialize(pointwise, 'tensor_add', { OPERATION: 2 }),
};

/** `b`: what the operation takes beside A; of the one that takes nothing, nobody reads it. */
interface PointwiseOperands {
  a: Matrix;
  b?: Matrix;
  out: Matrix;
}

/** b, where it has fewer rows than A, is repeated. */
function apply(batch: Batch, operation: keyof typeof KERNELS, { a, b = a, out }: PointwiseOperands): void {
  const count = vectorsOf(out);
  batch.dispatch(KERNELS[operation], {
    bindings: { a, b, out },
    params: { count, period: vectorsOf(b) },
    grid: flatGrid(count),
  });
}

/** x + y. */
export function addTensors(batch: Batch, x: Tensor, y: Tensor): Tensor {
  const out = temporaryTensor(batch, x.count, x.shape);
  apply(batch, 'add', { a: x.matrix, b: y.matrix, out: out.matrix });
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
      apply(batch, 'add', { a: x.matrix, b: parameter.value, out: y.matrix });
      return {
        y,
        back(dy, wanted) {
          if (wanted.parameters) columnSums(batch, dy.matrix, parameter.gradient);
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
      apply(batch, 'relu', { a: x.matrix, out: y.matrix });
      return {
        y,
        back(dy, wanted) {
          if (!wanted.input) return null;
          const dx = temporaryTensor(batch, dy.count, dy.shape);
          apply(batch, 'reluGradient', { a: dy.matrix, b: y.matrix, out: dx.matrix });
          return dx;
        },
      };
    },
  };
}

const flattenKernel = defineKernel({
  name: 'flatten',
  source: flattenSource,
  bindings: { a: read('array<f32>'), out: readWrite('array<f32>') },
  params: { count: 'u32', pixels: 'u32', channels: 'u32', stride: 'u32', rowStride: 'u32' },
  constants: { BACK: 'bool' },
});
const toRows = specialize(flattenKernel, 'flatten', { BACK: false });
const toImages = specialize(flattenKernel, 'flatten_backward', { BACK: true });

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
        batch.dispatch(back ? toImages : toRows, {
          bindings: { a: from.matrix, out: out.matrix },
          params: {
            count,
            pixels: pixelsOf(shape),
            channels: shape.channels,
            stride: images.matrix.stride,
            rowStride: row.matrix.stride,
          },
          grid: flatGrid(count),
        });
        return out;
      };
      return {
        y: to(x, this.outputShape(shape), false),
        back: (dy, wanted) => (wanted.input ? to(dy, shape, true) : null),
      };
    },
  };
}
