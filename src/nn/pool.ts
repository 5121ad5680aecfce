import adaptivePoolSource from '../../shaders/nn/adaptive_pool.wgsl';
import maxPoolSource from '../../shaders/nn/max_pool.wgsl';
import maxPoolBackwardSource from '../../shaders/nn/max_pool_backward.wgsl';
import { RfmError } from '../errors.js';
import { defineKernel, read, readWrite, specialize } from '../runtime/kernel.js';
import type { Layer } from './layer.js';
import { describeShape, flatGrid, type Shape, temporaryTensor, vectorsOf } from './tensor.js';
import { imageParams, imageValues, placesOf, windowParams, windowValues } from './window.js';

const maxKernel = defineKernel({
  name: 'max_pool',
  source: maxPoolSource,
  bindings: { x: read('array<vec4f>'), out: readWrite('array<vec4f>'), winner: readWrite('array<vec4u>') },
  params: { count: 'u32', ...imageParams, ...windowParams },
});
const maxBackKernel = defineKernel({
  name: 'max_pool_backward',
  source: maxPoolBackwardSource,
  bindings: { dy: read('array<vec4f>'), winner: read('array<vec4u>'), dx: readWrite('array<vec4f>') },
  params: { count: 'u32', ...imageParams, ...windowParams, period: 'u32' },
});
const adaptive = defineKernel({
  name: 'adaptive_pool',
  source: adaptivePoolSource,
  bindings: { a: read('array<vec4f>'), out: readWrite('array<vec4f>') },
  params: { count: 'u32', ...imageParams },
  constants: { BACKWARD: 'bool' },
});
const meanKernel = specialize(adaptive, 'adaptive_pool', { BACKWARD: false });
const meanBackKernel = specialize(adaptive, 'adaptive_pool_backward', { BACKWARD: true });

/** Maximum over size × size windows, `stride` apart; of equal values the first counts. pad ≤ size / 2. */
export function maxPool({ size, stride = size, pad = 0 }: { size: number; stride?: number; pad?: number }): Layer {
  if (2 * pad > size)
    throw new RfmError('internal', `max pooling: pad ${pad} is more than half of the window, ${size}`);
  const window = { size, stride, pad };
  return {
    kind: 'pool',
    parameters: [],
    buffers: [],
    outputShape(input) {
      const shape = placesOf(window, input);
      if (Math.min(shape.height, shape.width) < 1) {
        const { height, width } = input;
        throw new RfmError('internal', `max pooling: ${height} × ${width} is smaller than the window, ${size}`);
      }
      return shape;
    },
    forward({ batch }, x) {
      const y = temporaryTensor(batch, x.count, this.outputShape(x.shape));
      const winner = batch.temporary(y.matrix.rows, y.matrix.cols);
      const sizes = { ...imageValues(x.shape, y.shape), ...windowValues(window) };
      const count = vectorsOf(y.matrix);
      batch.dispatch(maxKernel, {
        bindings: { x: x.matrix, out: y.matrix, winner },
        params: { count, ...sizes },
        grid: flatGrid(count),
      });
      return {
        y,
        back(dy, wanted) {
          if (!wanted.input) return null;
          const dx = temporaryTensor(batch, dy.count, x.shape);
          const inputs = vectorsOf(dx.matrix);
          batch.dispatch(maxBackKernel, {
            bindings: { dy: dy.matrix, winner, dx: dx.matrix },
            params: { count: inputs, ...sizes, period: count },
            grid: flatGrid(inputs),
          });
          return dx;
        },
      };
    },
  };
}

/** Means over height × width windows that cover the image, whatever its size. */
export function adaptivePool(height: number, width: number): Layer {
  return {
    kind: 'pool',
    parameters: [],
    buffers: [],
    outputShape: ({ channels }) => ({ channels, height, width }),
    forward({ batch }, x) {
      // Windows of one pixel each: nothing to do.
      if (x.shape.height === height && x.shape.width === width) {
        return { y: x, back: (dy, wanted) => (wanted.input ? dy : null) };
      }
      const y = temporaryTensor(batch, x.count, this.outputShape(x.shape));
      const sizes = imageValues(x.shape, y.shape);
      const count = vectorsOf(y.matrix);
      batch.dispatch(meanKernel, {
        bindings: { a: x.matrix, out: y.matrix },
        params: { count, ...sizes },
        grid: flatGrid(count),
      });
      return {
        y,
        back(dy, wanted) {
          if (!wanted.input) return null;
          const dx = temporaryTensor(batch, dy.count, x.shape);
          const inputs = vectorsOf(dx.matrix);
          batch.dispatch(meanBackKernel, {
            bindings: { a: dy.matrix, out: dx.matrix },
            params: { count: inputs, ...sizes },
            grid: flatGrid(inputs),
          });
          return dx;
        },
      };
    },
  };
}

/** Whether two shapes are the same. */
export const sameShape = (a: Shape, b: Shape): boolean => describeShape(a) === describeShape(b);
