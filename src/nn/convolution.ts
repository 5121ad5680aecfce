import { RfmError } from '../errors.js';
import { packed as packedProduct } from '../ops/gemm/gemm-variants.js';
import type { Gpu } from '../runtime/gpu.js';
import { type Matrix, strideOf, type View } from '../runtime/matrix.js';
import { type Operation, type Variant, variantOf } from '../runtime/variants.js';
import { type Geometry, geometryOf, usedColumns } from './convolution-geometry.js';
import { hasImplicit, implicitForward, implicitInputGradient, implicitWeightGradient } from './convolution-implicit.js';
import { packedForward, packedInputGradient, packedWeightGradient } from './convolution-packed.js';
import { patchForward, patchInputGradient, patchWeightGradient } from './convolution-patches.js';
import { clear, createParameter, expectChannels, type Layer, type NetworkPass } from './layer.js';
import { describeShape, type Tensor, temporaryTensor } from './tensor.js';
import { placesOf } from './window.js';

export interface ConvolutionOptions {
  inputs: number;
  outputs: number;
  /** Side of the square kernel. */
  size: number;
  stride?: number;
  /** Zeros added on every side. */
  pad?: number;
}

/** A way to compute convolutions. Weights are as `convolution` has them; gradients by them are those of the used taps. */
export interface ConvolutionVariant extends Variant {
  forward(pass: NetworkPass, x: Tensor, y: Tensor, geometry: Geometry, weights: Matrix): void;
  inputGradient(pass: NetworkPass, dy: Tensor, dx: Tensor, geometry: Geometry, weights: Matrix): void;
  weightGradient(pass: NetworkPass, x: Tensor, dy: Tensor, geometry: Geometry, out: View): void;
}

/** Patches are laid out as a matrix, a few samples at a time. */
const im2col: ConvolutionVariant = {
  name: 'im2col',
  usable: () => true,
  forward: patchForward,
  inputGradient: patchInputGradient,
  weightGradient: patchWeightGradient,
};

/** Patches are found inside the product: forward, gradients by inputs at stride 1, on software adapters those by weights. */
const implicit: ConvolutionVariant = {
  name: 'implicit',
  usable: hasImplicit,
  forward: implicitForward,
  inputGradient(...operands) {
    if (!implicitInputGradient(...operands)) patchInputGradient(...operands);
  },
  weightGradient(...operands) {
    if (!implicitWeightGradient(...operands)) patchWeightGradient(...operands);
  },
};

/** Samples, or channels, of a pixel are packed as factors of products are; narrow results are left to `implicit`. */
const packed: ConvolutionVariant = {
  name: 'packed',
  usable: packedProduct.usable,
  forward(...operands) {
    if (!packedForward(...operands)) implicit.forward(...operands);
  },
  inputGradient(...operands) {
    if (!packedInputGradient(...operands)) implicit.inputGradient(...operands);
  },
  weightGradient(...operands) {
    if (!packedWeightGradient(...operands)) implicit.weightGradient(...operands);
  },
};

/** Convolutions and their gradients. */
export const CONVOLUTION: Operation<ConvolutionVariant> = {
  op: 'convolution',
  variants: [packed, implicit, im2col],
};

/** Columns of the weights of a convolution: a tap after the other, the channels of each padded to a multiple of four. */
export const tapColumns = (size: number, inputs: number): number => size * size * strideOf(inputs);

/**
 * Square 2-d convolution without bias. The one parameter is out × (size² · in'), where in' is `in` rounded up to a
 * multiple of four and the extra columns stay zero. How it multiplies is `CONVOLUTION`'s variant.
 *
 * Taps that lie outside of the image for every pixel are left out: of the nine of a 3 × 3 kernel on the 1 × 1 images at
 * the end of ResNet-18 one remains.
 */
export function convolution(gpu: Gpu, name: string, options: ConvolutionOptions): Layer {
  const { inputs, outputs, size, stride = 1, pad = 0 } = options;
  const window = { size, stride, pad };
  const weight = createParameter(gpu, `${name}.weight`, outputs, tapColumns(size, inputs), {
    in: inputs * size * size,
    out: outputs * size * size,
    taps: { size, inputs },
  });
  let written: View | null = null;
  return {
    kind: 'convolution',
    parameters: [weight],
    buffers: [],
    outputShape(input) {
      expectChannels(name, inputs, input);
      const shape = { ...placesOf(window, input), channels: outputs };
      if (Math.min(shape.height, shape.width) < 1) {
        throw new RfmError(
          'internal',
          `${name}: images of ${describeShape(input)} are smaller than the kernel, ${size}`,
        );
      }
      return shape;
    },
    forward(pass, x) {
      const y = temporaryTensor(pass.batch, x.count, this.outputShape(x.shape));
      const geometry = geometryOf(x.shape, y.shape, window);
      const variant = variantOf(pass.batch.gpu, CONVOLUTION);
      variant.forward(pass, x, y, geometry, weight.value);
      return {
        y,
        back(dy, wanted) {
          if (wanted.parameters) {
            const target = usedColumns(weight.gradient, geometry);
            // Taps that no pixel needs have gradient zero, as they begin; images of another size may have needed them.
            if (written && (written.offset !== target.offset || written.cols !== target.cols)) {
              clear(pass.batch.gpu, weight.gradient);
            }
            written = target;
            variant.weightGradient(pass, x, dy, geometry, target);
          }
          if (!wanted.input) return null;
          const dx = temporaryTensor(pass.batch, dy.count, x.shape);
          variant.inputGradient(pass, dy, dx, geometry, weight.value);
          return dx;
        },
      };
    },
  };
}

/** Zero in the columns of the channels that pad each tap. */
export function clearTapPadding(weights: Float32Array, outputs: number, size: number, inputs: number): Float32Array {
  const channels = strideOf(inputs);
  for (let at = 0; at < outputs * size * size; at++) weights.fill(0, at * channels + inputs, (at + 1) * channels);
  return weights;
}
