/** Convolutions as products of patches that are laid out in memory, for every adapter. */

import col2imSource from '../../shaders/nn/col2im.wgsl';
import im2colSource from '../../shaders/nn/im2col.wgsl';
import { transpose } from '../ops/elementwise/transpose.js';
import { gemm } from '../ops/gemm/gemm.js';
import { defineKernel, type ParameterValues, read, readWrite, specialize } from '../runtime/kernel.js';
import { type Matrix, strideOf, type View } from '../runtime/matrix.js';
import {
  type Chunk,
  chunksOf,
  type Geometry,
  isPointwise,
  patchLength,
  rowsOf,
  usedColumns,
} from './convolution-geometry.js';
import { type NetworkPass, WORKSPACE_NUMBERS } from './layer.js';
import { flatGrid, pixelsOf, type Tensor } from './tensor.js';
import { imageParams, imageValues, windowParams, windowValues } from './window.js';

/** What kernels that find pixels by themselves are told of a convolution. */
export const geometryParams = { ...imageParams, ...windowParams, tapFirst: 'u32', taps: 'u32' } as const;

export const geometryValues = (geometry: Geometry): ParameterValues<typeof geometryParams> => ({
  ...imageValues(geometry.input, geometry.output),
  ...windowValues(geometry),
  tapFirst: geometry.tapFirst,
  taps: geometry.taps,
});

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

/** So many samples that their patches stay below 16 MiB. */
function chunksOfPatches(count: number, geometry: Geometry): Chunk[] {
  const sample = strideOf(pixelsOf(geometry.output)) * patchLength(geometry);
  return chunksOf(count, Math.floor(WORKSPACE_NUMBERS / sample));
}

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

/** Y = patches · Wᵀ. */
export function patchForward(pass: NetworkPass, x: Tensor, y: Tensor, geometry: Geometry, weights: Matrix): void {
  const used = usedColumns(weights, geometry);
  for (const chunk of chunksOfPatches(x.count, geometry)) {
    gemm(pass.batch, { a: patchMatrix(pass, x, geometry, chunk), b: used, out: rowsOf(y, chunk) });
  }
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

/** dW = dYᵀ · patches, summed over the pixels of all samples, for the used taps. */
export function patchWeightGradient(pass: NetworkPass, x: Tensor, dy: Tensor, geometry: Geometry, out: View): void {
  for (const chunk of chunksOfPatches(x.count, geometry)) {
    const cols = patchMatrixT(pass, x, geometry, chunk);
    const rows = rowsOf(dy, chunk);
    const dyT = pass.batch.temporary(rows.cols, rows.rows);
    transpose(pass.batch, rows, dyT);
    gemm(pass.batch, { a: dyT, b: cols, out, ...(chunk.first > 0 && { addend: out }) });
  }
}

/** dX: the gradient of every patch, dY · W, gathered by pixel. */
export function patchInputGradient(
  pass: NetworkPass,
  dy: Tensor,
  dx: Tensor,
  geometry: Geometry,
  weights: Matrix,
): void {
  const { batch } = pass;
  const { shape } = dx;
  const used = usedColumns(weights, geometry);
  const usedT = batch.temporary(used.cols, used.rows);
  transpose(batch, used, usedT);
  const channels = strideOf(shape.channels);
  for (const chunk of chunksOfPatches(dy.count, geometry)) {
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
