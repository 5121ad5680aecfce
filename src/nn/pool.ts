import adaptivePoolSource from '../../shaders/nn/adaptive_pool.wgsl';
import maxPoolSource from '../../shaders/nn/max_pool.wgsl';
import maxPoolBackwardSource from '../../shaders/nn/max_pool_backward.wgsl';
import { RfmError } from '../errors.js';
import type { LooseKernel } from '../runtime/kernel.js';
import type { Layer } from './layer.js';
import { describeShape, flatGrid, type Shape, temporaryTensor, vectorsOf, widthOf } from './tensor.js';

const maxKernel: LooseKernel = { name: 'max_pool', source: maxPoolSource };
const maxBackKernel: LooseKernel = { name: 'max_pool_backward', source: maxPoolBackwardSource };
const [meanKernel, meanBackKernel] = [false, true].map(
  (back): LooseKernel => ({ name: 'adaptive_pool', source: adaptivePoolSource, constants: { BACKWARD: back } }),
);

/** Maximum over size × size windows, `stride` apart; of equal values the first counts. pad ≤ size / 2. */
export function maxPool({ size, stride = size, pad = 0 }: { size: number; stride?: number; pad?: number }): Layer {
  if (2 * pad > size)
    throw new RfmError('internal', `max pooling: pad ${pad} is more than half of the window, ${size}`);
  return {
    kind: 'pool',
    parameters: [],
    buffers: [],
    outputShape({ channels, height, width }) {
      const extent = (n: number) => Math.floor((n + 2 * pad - size) / stride) + 1;
      const shape = { channels, height: extent(height), width: extent(width) };
      if (Math.min(shape.height, shape.width) < 1) {
        throw new RfmError('internal', `max pooling: ${height} × ${width} is smaller than the window, ${size}`);
      }
      return shape;
    },
    forward({ batch }, x) {
      const y = temporaryTensor(batch, x.count, this.outputShape(x.shape));
      const winner = batch.temporary(y.matrix.rows, y.matrix.cols);
      const words = [
        x.shape.height,
        x.shape.width,
        widthOf(x.matrix),
        y.shape.height,
        y.shape.width,
        size,
        stride,
        pad,
      ];
      const count = vectorsOf(y.matrix);
      batch.dispatchLoose(maxKernel, [x.matrix, y.matrix, winner], [count, ...words], flatGrid(count));
      return {
        y,
        back(dy, wanted) {
          if (!wanted.input) return null;
          const dx = temporaryTensor(batch, dy.count, x.shape);
          const inputs = vectorsOf(dx.matrix);
          batch.dispatchLoose(
            maxBackKernel,
            [dy.matrix, winner, dx.matrix],
            [inputs, ...words, count],
            flatGrid(inputs),
          );
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
      const words = [x.shape.height, x.shape.width, widthOf(x.matrix), height, width];
      const count = vectorsOf(y.matrix);
      batch.dispatchLoose(meanKernel, [x.matrix, y.matrix], [count, ...words], flatGrid(count));
      return {
        y,
        back(dy, wanted) {
          if (!wanted.input) return null;
          const dx = temporaryTensor(batch, dy.count, x.shape);
          const inputs = vectorsOf(dx.matrix);
          batch.dispatchLoose(meanBackKernel, [dy.matrix, dx.matrix], [inputs, ...words], flatGrid(inputs));
          return dx;
        },
      };
    },
  };
}

/** Whether two shapes are the same. */
export const sameShape = (a: Shape, b: Shape): boolean => describeShape(a) === describeShape(b);
