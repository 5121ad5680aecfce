/** Convolutions as implicit matrix products, whose patches are found inside the kernel, where subgroups have one known size. */

import convolutionSource from '../../shaders/nn/convolution_subgroup.wgsl';
import weightsSource from '../../shaders/nn/convolution_weights.wgsl';
import { transpose } from '../ops/elementwise/transpose.js';
import { ceilDiv } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { defineKernel, firstRow, read, readWrite, readWriteView } from '../runtime/kernel.js';
import { block, type Matrix, type View } from '../runtime/matrix.js';
import { convolutionWork, type Geometry, geometryOf, isPointwise, patchLength } from './convolution-geometry.js';
import { geometryParams, geometryValues } from './convolution-patches.js';
import type { NetworkPass } from './layer.js';
import type { Tensor } from './tensor.js';

/** Rows of the result that a workgroup computes: pixels of the convolution, outputs of the gradient by its weights. */
const TILE_ROWS = 32;

const convolutionKernel = defineKernel({
  name: 'convolution_subgroup',
  source: convolutionSource,
  bindings: { image: read('array<vec4f>'), weights: read('array<vec4f>'), out: readWrite('array<f32>') },
  params: {
    pixels: 'u32',
    outputs: 'u32',
    ...geometryParams,
    /** In vec4. */
    strideW: 'u32',
    strideOut: 'u32',
    firstPixel: firstRow(TILE_ROWS),
  },
  constants: { LANES: 'u32' },
});

const weightsKernel = defineKernel({
  name: 'convolution_weights',
  source: weightsSource,
  bindings: { image: read('array<vec4f>'), dy: read('array<vec4f>'), out: readWriteView('array<vec4f>') },
  params: {
    pixels: 'u32',
    outputs: 'u32',
    ...geometryParams,
    // In vec4, as are the next two.
    strideY: 'u32',
    offsetOut: 'u32',
    strideOut: 'u32',
    firstOutput: firstRow(TILE_ROWS),
  },
  constants: { LANES: 'u32' },
});

/** Whether subgroups have one known size. */
export const hasImplicit = ({ lanes }: Gpu): boolean => lanes >= 4 && lanes <= 32;

/** The whole forward pass in one dispatch. */
export function implicitForward(
  { batch }: NetworkPass,
  x: Tensor,
  y: Tensor,
  geometry: Geometry,
  weights: Matrix,
): void {
  const { lanes } = batch.gpu;
  const columns = ceilDiv(y.matrix.stride, 2 * lanes);
  batch.scope(convolutionWork('convolution', geometry, y.matrix.rows, y.matrix.cols), () =>
    batch.dispatch(convolutionKernel, {
      bindings: { image: x.matrix, weights, out: y.matrix },
      params: {
        pixels: y.matrix.rows,
        outputs: y.matrix.cols,
        ...geometryValues(geometry),
        strideW: weights.stride / 4,
        strideOut: y.matrix.stride,
      },
      constants: { LANES: lanes },
      grid: [columns, ceilDiv(y.matrix.rows, TILE_ROWS)],
      work: { flops: 2 * TILE_ROWS * 2 * lanes * columns * patchLength(geometry) },
    }),
  );
}

/**
 * dW. False where it does not apply: on a GPU it would have too few workgroups, and SwiftShader, with its four lanes, was
 * still compiling the written-out kernel after eight minutes.
 */
export function implicitWeightGradient(
  { batch }: NetworkPass,
  x: Tensor,
  dy: Tensor,
  geometry: Geometry,
  out: View,
): boolean {
  const { gpu } = batch;
  if (gpu.lanes < 8 || gpu.adapter.type !== 'software') return false;
  const columns = ceilDiv(patchLength(geometry) / 4, gpu.lanes);
  batch.scope(convolutionWork('convolution-weights', geometry, dy.matrix.rows, out.rows), () =>
    batch.dispatch(weightsKernel, {
      bindings: { image: x.matrix, dy: dy.matrix, out },
      params: {
        pixels: dy.matrix.rows,
        outputs: out.rows,
        ...geometryValues(geometry),
        strideY: dy.matrix.stride / 4,
        offsetOut: out.offset / 4,
        strideOut: out.stride / 4,
      },
      constants: { LANES: gpu.lanes },
      grid: [columns, ceilDiv(out.rows, TILE_ROWS)],
      work: { flops: 2 * dy.matrix.rows * TILE_ROWS * 4 * gpu.lanes * columns },
    }),
  );
  return true;
}

/**
 * dX of a convolution of stride 1 is a convolution of dY, with kernels turned by half a turn and with inputs and outputs
 * exchanged: one dispatch after the weights are laid out so. False where it does not apply.
 */
export function implicitInputGradient(
  pass: NetworkPass,
  dy: Tensor,
  dx: Tensor,
  geometry: Geometry,
  weights: Matrix,
): boolean {
  const { input, output, size, stride, pad } = geometry;
  const [from, to] = [output.channels, input.channels];
  if (stride !== 1 || pad >= size || isPointwise(geometry) || from % 4 !== 0 || to % 4 !== 0) return false;
  const turned = geometryOf(output, input, { size, stride, pad: size - 1 - pad });
  const { batch } = pass;
  const taps = size * size;
  const flipped = batch.temporary(to, taps * from);
  // Tap t of each input and output goes to tap taps − 1 − t.
  transpose(
    batch,
    block(weights, 0, (taps - 1 - turned.tapFirst) * to, from, to),
    block(flipped, 0, turned.tapFirst * from, to, from),
    { count: turned.taps, stepA: -to, stepOut: from },
  );
  implicitForward(pass, dy, dx, turned, flipped);
  return true;
}
