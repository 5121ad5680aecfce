import col2imSource from '../../shaders/nn/col2im.wgsl';
import convolutionSource from '../../shaders/nn/convolution_subgroup.wgsl';
import weightsSource from '../../shaders/nn/convolution_weights.wgsl';
import im2colSource from '../../shaders/nn/im2col.wgsl';
import { RfmError } from '../errors.js';
import { transpose } from '../ops/elementwise/transpose.js';
import { gemm } from '../ops/gemm/gemm.js';
import { ceilDiv } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import {
  defineKernel,
  firstRow,
  type ParameterValues,
  read,
  readWrite,
  readWriteView,
  specialize,
} from '../runtime/kernel.js';
import { block, type Matrix, strideOf, type View } from '../runtime/matrix.js';
import type { Work } from '../runtime/profile.js';
import { clear, createParameter, expectChannels, type Layer, type NetworkPass, WORKSPACE_NUMBERS } from './layer.js';
import { describeShape, flatGrid, pixelsOf, type Shape, type Tensor, temporaryTensor } from './tensor.js';
import { imageParams, imageValues, placesOf, type Window, windowParams, windowValues } from './window.js';

export interface ConvolutionOptions {
  inputs: number;
  outputs: number;
  /** Side of the square kernel. */
  size: number;
  stride?: number;
  /** Zeros added on every side. */
  pad?: number;
  /** How it multiplies: patches found inside the product where that is possible (default), or written out. */
  variant?: 'im2col' | 'implicit';
}

/** What all kernels of a convolution are told of it. */
const geometryParams = {
  ...imageParams,
  ...windowParams,
  /** The first tap that some pixel needs, row-major over the kernel, and how many there are up to the last one. */
  tapFirst: 'u32',
  taps: 'u32',
} as const;

const im2col = defineKernel({
  name: 'im2col',
  source: im2colSource,
  bindings: { x: read('array<vec4f>'), out: readWrite('array<vec4f>') },
  params: { count: 'u32', pixels: 'u32', ...geometryParams, sampleFirst: 'u32' },
  constants: { TRANSPOSED: 'bool' },
});
const im2colRows = specialize(im2col, 'im2col', { TRANSPOSED: false });
const im2colColumns = specialize(im2col, 'im2col_transposed', { TRANSPOSED: true });

const col2im = defineKernel({
  name: 'col2im',
  source: col2imSource,
  bindings: { cols: read('array<vec4f>'), dx: readWrite('array<vec4f>') },
  params: { count: 'u32', ...geometryParams, sampleFirst: 'u32' },
});

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

/** Columns of the weights of a convolution: a tap after the other, the channels of each padded to a multiple of four. */
export const tapColumns = (size: number, inputs: number): number => size * size * strideOf(inputs);

/**
 * Square 2-d convolution without bias. The one parameter is out × (size² · in'), where in' is `in` rounded up to a
 * multiple of four and the extra columns stay zero.
 *
 * Where subgroups have one known size, the forward pass is an implicit matrix product, the gradient by the input of a
 * convolution of stride 1 is one, too, and on lavapipe so is that by the weights. Of ResNet-18's convolutions on
 * 32 × 32 images, batches of 128, lavapipe on two cores, the 7 × 7 one took 44 ms forward where im2col and the general
 * product took 66 ms, the 3 × 3 ones 15, 17, 13 and 2.7 ms where those took 42, 31, 25 and 6.5 ms; a whole step became
 * shorter by 120 ms with the gradients by inputs and by 90 ms with those by weights. Elsewhere patches are laid out as a
 * matrix, a few samples at a time so that they stay below 16 MiB. Taps that lie outside of the image for every pixel are
 * left out: of the nine of a 3 × 3 kernel on the 1 × 1 images at the end of ResNet-18 one remains.
 */
export function convolution(gpu: Gpu, name: string, options: ConvolutionOptions): Layer {
  const { inputs, outputs, size, stride = 1, pad = 0, variant = 'implicit' } = options;
  const window = { size, stride, pad };
  const weight = createParameter(gpu, `${name}.weight`, outputs, tapColumns(size, inputs), {
    in: inputs * size * size,
    out: outputs * size * size,
    taps: { size, inputs },
  });
  const direct = variant === 'implicit';
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
      const used = usedColumns(weight.value, geometry);
      if (!(direct && implicitProduct(pass, x, y, geometry, weight.value))) {
        for (const chunk of chunksOf(x.count, geometry)) {
          gemm(pass.batch, { a: patchMatrix(pass, x, geometry, chunk), b: used, out: rowsOf(y, chunk) });
        }
      }
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
            if (!(direct && implicitWeightGradient(pass, x, dy, geometry, target))) {
              weightGradient(pass, x, dy, geometry, target);
            }
          }
          if (!wanted.input) return null;
          const dx = temporaryTensor(pass.batch, dy.count, x.shape);
          if (!(direct && implicitInputGradient(pass, dy, dx, geometry, weight.value))) {
            inputGradient(pass, dy, dx, geometry, used);
          }
          return dx;
        },
      };
    },
  };
}

/** What `geometryParams` say. */
interface Geometry extends Window {
  readonly input: Shape;
  readonly output: Shape;
  readonly tapFirst: number;
  readonly taps: number;
}

function geometryOf(input: Shape, output: Shape, { size, stride, pad }: Window): Geometry {
  // Tap k of one axis meets the image if for some output o: 0 ≤ o · stride + k − pad < extent.
  const usedTaps = (extent: number, outExtent: number): number[] =>
    Array.from({ length: size }, (_, k) => k).filter((k) =>
      Array.from({ length: outExtent }, (_, o) => o * stride + k - pad).some((i) => i >= 0 && i < extent),
    );
  const rows = usedTaps(input.height, output.height);
  const cols = usedTaps(input.width, output.width);
  const tapFirst = rows[0] * size + cols[0];
  const tapLast = rows[rows.length - 1] * size + cols[cols.length - 1];
  return { input, output, size, stride, pad, tapFirst, taps: tapLast - tapFirst + 1 };
}

/** Numbers in the patch of one pixel. */
const patchLength = ({ input, taps }: Geometry): number => taps * strideOf(input.channels);

const isPointwise = ({ size, stride, pad }: Geometry): boolean => size === 1 && stride === 1 && pad === 0;

/** The columns of weights (or their gradient) that belong to the used taps. */
function usedColumns(weights: Matrix, geometry: Geometry): View {
  const channels = strideOf(geometry.input.channels);
  return block(weights, 0, geometry.tapFirst * channels, weights.rows, patchLength(geometry));
}

/** Samples first … first + count − 1. */
interface Chunk {
  first: number;
  count: number;
}

function chunksOf(count: number, geometry: Geometry): Chunk[] {
  const sample = strideOf(pixelsOf(geometry.output)) * patchLength(geometry);
  const size = Math.max(1, Math.floor(WORKSPACE_NUMBERS / sample));
  return Array.from({ length: ceilDiv(count, size) }, (_, i) => ({
    first: i * size,
    count: Math.min(size, count - i * size),
  }));
}

/** The rows of a tensor that belong to a chunk. */
function rowsOf({ matrix, shape }: Tensor, { first, count }: Chunk): View {
  return block(matrix, first * pixelsOf(shape), 0, count * pixelsOf(shape), matrix.cols);
}

const geometryValues = (geometry: Geometry): ParameterValues<typeof geometryParams> => ({
  ...imageValues(geometry.input, geometry.output),
  ...windowValues(geometry),
  tapFirst: geometry.tapFirst,
  taps: geometry.taps,
});

/** (pixels of the chunk) × patchLength. */
function patchMatrix(pass: NetworkPass, x: Tensor, geometry: Geometry, chunk: Chunk): View {
  const rows = chunk.count * pixelsOf(geometry.output);
  const cols = patchLength(geometry);
  if (isPointwise(geometry)) return { ...rowsOf(x, chunk), cols, padding: 0 };
  const out = pass.workspace(0, rows, cols);
  const count = (rows * cols) / 4;
  pass.batch.dispatch(im2colRows, {
    bindings: { x: x.matrix, out },
    params: { count, pixels: rows, ...geometryValues(geometry), sampleFirst: chunk.first },
    grid: flatGrid(count),
  });
  return out;
}

/** Padding and the zeros outside of images count, as they do in a product of patches. */
const convolutionWork = (op: string, geometry: Geometry, pixels: number, outputs: number): Work => ({
  op,
  flops: 2 * pixels * outputs * patchLength(geometry),
  bytes:
    4 * pixels * (outputs + (strideOf(geometry.input.channels) * pixelsOf(geometry.input)) / pixelsOf(geometry.output)),
});

/** Whether subgroups have one known size. */
const hasImplicit = ({ lanes }: Gpu): boolean => lanes >= 4 && lanes <= 32;

/** The whole forward pass in one dispatch. False where the adapter has no subgroups of one known size. */
function implicitProduct({ batch }: NetworkPass, x: Tensor, y: Tensor, geometry: Geometry, weights: Matrix): boolean {
  if (!hasImplicit(batch.gpu)) return false;
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
  return true;
}

/** patchLength × (pixels of the chunk). */
function patchMatrixT(pass: NetworkPass, x: Tensor, geometry: Geometry, chunk: Chunk): Matrix {
  const pixels = chunk.count * pixelsOf(geometry.output);
  const rows = patchLength(geometry);
  const stride = strideOf(pixels);
  const out = pass.workspace(0, rows, stride);
  const count = (rows / 4) * (stride / 4);
  pass.batch.dispatch(im2colColumns, {
    bindings: { x: x.matrix, out },
    params: { count, pixels, ...geometryValues(geometry), sampleFirst: chunk.first },
    grid: flatGrid(count),
  });
  return { ...out, cols: pixels, padding: stride - pixels };
}

/**
 * The same without patches in memory. False where it does not apply: on a GPU it would have too few workgroups, and
 * SwiftShader, with its four lanes, was still compiling the written-out kernel after eight minutes.
 */
function implicitWeightGradient({ batch }: NetworkPass, x: Tensor, dy: Tensor, geometry: Geometry, out: View): boolean {
  const { gpu } = batch;
  if (!hasImplicit(gpu) || gpu.lanes < 8 || gpu.adapter.type !== 'software') return false;
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

/** dW = dYᵀ · patches, summed over the pixels of all samples, for the used taps. */
function weightGradient(pass: NetworkPass, x: Tensor, dy: Tensor, geometry: Geometry, out: View): void {
  for (const chunk of chunksOf(x.count, geometry)) {
    const cols = patchMatrixT(pass, x, geometry, chunk);
    const rows = rowsOf(dy, chunk);
    const dyT = pass.batch.temporary(rows.cols, rows.rows);
    transpose(pass.batch, rows, dyT);
    gemm(pass.batch, { a: dyT, b: cols, out, ...(chunk.first > 0 && { addend: out }) });
  }
}

/**
 * dX of a convolution of stride 1 is a convolution of dY, with kernels turned by half a turn and with inputs and outputs
 * exchanged: one dispatch after the weights are laid out so. False where it does not apply.
 */
function implicitInputGradient(
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
  if (!hasImplicit(batch.gpu)) return false;
  const taps = size * size;
  const flipped = batch.temporary(to, taps * from);
  // Tap t of each input and output goes to tap taps − 1 − t.
  transpose(
    batch,
    block(weights, 0, (taps - 1 - turned.tapFirst) * to, from, to),
    block(flipped, 0, turned.tapFirst * from, to, from),
    { count: turned.taps, stepA: -to, stepOut: from },
  );
  return implicitProduct(pass, dy, dx, turned, flipped);
}

/** dX: the gradient of every patch, dY · W, gathered by pixel. */
function inputGradient(pass: NetworkPass, dy: Tensor, dx: Tensor, geometry: Geometry, used: View): void {
  const { batch } = pass;
  const { shape } = dx;
  const usedT = batch.temporary(used.cols, used.rows);
  transpose(batch, used, usedT);
  const channels = strideOf(shape.channels);
  for (const chunk of chunksOf(dy.count, geometry)) {
    const rows = rowsOf(dy, chunk);
    if (isPointwise(geometry)) {
      gemm(batch, { a: rows, b: usedT, out: { ...rowsOf(dx, chunk), cols: used.cols, padding: 0 } });
      continue;
    }
    const cols = pass.workspace(1, rows.rows, used.cols);
    gemm(batch, { a: rows, b: usedT, out: cols });
    const count = (chunk.count * pixelsOf(shape) * channels) / 4;
    batch.dispatch(col2im, {
      bindings: { cols, dx: dx.matrix },
      params: { count, ...geometryValues(geometry), sampleFirst: chunk.first },
      grid: flatGrid(count),
    });
  }
}

/** Zero in the columns of the channels that pad each tap. */
export function clearTapPadding(weights: Float32Array, outputs: number, size: number, inputs: number): Float32Array {
  const channels = strideOf(inputs);
  for (let at = 0; at < outputs * size * size; at++) weights.fill(0, at * channels + inputs, (at + 1) * channels);
  return weights;
}
