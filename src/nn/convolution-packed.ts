/** Convolutions as sums of products of blocks from textures, where products are `packed` (gemm-packed.ts). */

import source from '../../shaders/nn/convolution_packed.wgsl';
import { fitsAsTexels, packColumns, packRows } from '../ops/gemm/gemm-packed.js';
import { type Batch, ceilDiv } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { defineKernel, firstRow, read, readWriteView, texture } from '../runtime/kernel.js';
import { type Matrix, strideOf, type View } from '../runtime/matrix.js';
import {
  type Chunk,
  chunksOf,
  convolutionWork,
  type Geometry,
  NONE,
  patchLength,
  pixelsMet,
  rowsOf,
  usedColumns,
} from './convolution-geometry.js';
import type { NetworkPass } from './layer.js';
import { pixelsOf, type Tensor } from './tensor.js';

/** Rows of a tile, which has four subgroups' columns. */
const TILE_ROWS = 64;

const kernel = defineKernel({
  name: 'convolution_packed',
  source,
  bindings: { a: texture, b: texture, blocks: read('array<u32>'), out: readWriteView('array<f32>') },
  params: {
    rows: 'u32',
    /** Rows of a place, and of a block of A. */
    group: 'u32',
    /** Rows of a block of B. */
    groupB: 'u32',
    pieces: 'u32',
    /** Of four terms, in a row of a block. */
    steps: 'u32',
    cols: 'u32',
    /** Columns that are stored, those after `cols` as zeros. */
    width: 'u32',
    strideOut: 'u32',
    offsetOut: 'u32',
    /** Rows of the tile are columns of the result. */
    turned: 'flag',
    accumulate: 'flag',
    zero: 'zero',
    firstRow: firstRow(),
  },
  constants: { LANES: 'u32' },
});

/** A sum of products of blocks; what the numbers are, the kernel's parameters say. */
interface Blocks {
  a: GPUTexture;
  b: GPUTexture;
  /** pieces × places: numbers of blocks of A. */
  table: Uint32Array<ArrayBuffer>;
  pieces: number;
  group: number;
  groupB: number;
  /** Terms in a row of a block. */
  k: number;
  out: View;
  turned: boolean;
  accumulate: boolean;
}

function record(batch: Batch, blocks: Blocks): void {
  const { a, b, table, pieces, group, groupB, k, out, turned, accumulate } = blocks;
  const { lanes, device } = batch.gpu;
  const numbers = batch.temporary(1, table.length);
  // Written before what this batch dispatches, and after all that was sent before.
  device.queue.writeBuffer(numbers.buffer, 0, table);
  const rows = (table.length / pieces) * group;
  const cols = turned ? out.rows : out.cols;
  const width = turned ? cols : out.cols + out.padding;
  const columns = ceilDiv(width, 4 * lanes);
  const steps = ceilDiv(k, 4);
  batch.dispatch(kernel, {
    bindings: { a, b, blocks: numbers, out },
    params: {
      rows,
      group,
      groupB,
      pieces,
      steps,
      cols,
      width,
      strideOut: out.stride,
      offsetOut: out.offset,
      turned,
      accumulate,
    },
    constants: { LANES: lanes },
    grid: [columns, ceilDiv(rows, TILE_ROWS)],
    work: { flops: 2 * TILE_ROWS * 4 * lanes * columns * 4 * steps * pieces },
  });
}

/** Most of a tensor that is copied at a time, as is a tile of a matrix elsewhere. */
const COPIED_NUMBERS = 2 ** 24;
/** Terms of a block's row, at most: a texture that has fewer columns folds the row. */
const LONGEST = 1024;

const numbersOf = ({ matrix, count }: Tensor): number => (matrix.rows * matrix.stride) / count;

/** Numbers of a block's row of texels are in one row of the texture. */
const isShort = ({ limits }: Gpu, k: number): boolean => k <= Math.min(LONGEST, limits.maxTextureDimension2D / 16);

/** Whether tiles are at least half full. */
const isWide = ({ lanes }: Gpu, columns: number): boolean => columns >= 2 * lanes;

/** The samples of a tensor in chunks whose copy fits; null where that of a single one does not. */
function chunksOfRows(gpu: Gpu, { matrix, count, shape }: Tensor): Chunk[] | null {
  const { stride } = matrix;
  const pixels = pixelsOf(shape);
  let most = Math.min(count, Math.max(1, Math.floor(COPIED_NUMBERS / (pixels * stride))));
  while (most > 1 && !fitsAsTexels(gpu, most * pixels, stride)) most = Math.ceil(most / 2);
  return isShort(gpu, stride) && fitsAsTexels(gpu, most * pixels, stride) ? chunksOf(count, most) : null;
}

/** The images of a chunk, a block for each pixel: rows are samples, terms channels. */
function packImages(batch: Batch, { matrix, shape }: Tensor, { first, count }: Chunk): GPUTexture {
  const pixels = pixelsOf(shape);
  const { stride } = matrix;
  return packRows(batch, {
    matrix: { ...matrix, offset: first * pixels * stride },
    rows: pixels * count,
    k: stride,
    stride: pixels * stride,
    period: count,
    outer: stride,
  });
}

/** Y. False where it does not apply: then nothing is recorded. */
export function packedForward(
  { batch }: NetworkPass,
  x: Tensor,
  y: Tensor,
  geometry: Geometry,
  weights: Matrix,
): boolean {
  const { gpu } = batch;
  const used = usedColumns(weights, geometry);
  const { rows: outputs, stride } = used;
  const channels = x.matrix.stride;
  const { taps } = geometry;
  const chunks = chunksOfRows(gpu, x);
  if (!chunks || !isWide(gpu, outputs) || !fitsAsTexels(gpu, taps * outputs, channels)) return false;
  const table = pixelsMet(geometry);
  batch.scope(convolutionWork('convolution', geometry, y.matrix.rows, outputs), () => {
    const b = packRows(batch, {
      matrix: used,
      rows: taps * outputs,
      k: channels,
      stride,
      period: outputs,
      outer: channels,
    });
    for (const chunk of chunks) {
      const a = packImages(batch, x, chunk);
      record(batch, {
        a,
        b,
        table,
        pieces: taps,
        group: chunk.count,
        groupB: outputs,
        k: channels,
        out: rowsOf(y, chunk),
        turned: false,
        accumulate: false,
      });
      batch.reuse(a);
    }
    batch.reuse(b);
  });
  return true;
}

/** For every tap and every pixel of the image, the pixel of the result that they contribute to, or `NONE`. */
function pixelsReached(geometry: Geometry): Uint32Array<ArrayBuffer> {
  const { taps } = geometry;
  const [inputs, outputs] = [pixelsOf(geometry.input), pixelsOf(geometry.output)];
  const reached = new Uint32Array(taps * inputs).fill(NONE);
  pixelsMet(geometry).forEach((pixel, at) => {
    if (pixel !== NONE) reached[Math.floor(at / outputs) * inputs + pixel] = at % outputs;
  });
  return reached;
}

/** dX. False where it does not apply: then nothing is recorded. */
export function packedInputGradient(
  { batch }: NetworkPass,
  dy: Tensor,
  dx: Tensor,
  geometry: Geometry,
  weights: Matrix,
): boolean {
  const { gpu } = batch;
  const used = usedColumns(weights, geometry);
  const outputs = dy.matrix.stride;
  const channels = dx.matrix.stride;
  const chunks = chunksOfRows(gpu, dy);
  if (!chunks || !isWide(gpu, channels) || !fitsAsTexels(gpu, used.cols, used.rows)) return false;
  const table = pixelsReached(geometry);
  batch.scope(convolutionWork('convolution-input', geometry, dy.matrix.rows, dy.matrix.cols), () => {
    const b = packColumns(batch, used);
    for (const chunk of chunks) {
      const a = packImages(batch, dy, chunk);
      record(batch, {
        a,
        b,
        table,
        pieces: geometry.taps,
        group: chunk.count,
        groupB: channels,
        k: outputs,
        out: rowsOf(dx, chunk),
        turned: false,
        accumulate: false,
      });
      batch.reuse(a);
    }
    batch.reuse(b);
  });
  return true;
}

/** pieces × places from places × pieces. */
function turnedTable(table: Uint32Array, rows: number, cols: number): Uint32Array<ArrayBuffer> {
  const turned = new Uint32Array(table.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) turned[j * rows + i] = table[i * cols + j];
  return turned;
}

/** The samples of both tensors in chunks whose copies by channel fit; null where that of four does not. */
function chunksOfColumns(gpu: Gpu, x: Tensor, dy: Tensor): Chunk[] | null {
  const columns = [x, dy].map(numbersOf);
  const fits = (count: number): boolean =>
    isShort(gpu, count) &&
    columns.every((length) => length * count <= COPIED_NUMBERS && fitsAsTexels(gpu, length, count));
  let most = Math.min(x.count, LONGEST);
  while (most > 4 && !fits(most)) most = strideOf(Math.ceil(most / 2));
  return fits(most) ? chunksOf(x.count, most) : null;
}

/** The images of a chunk, a block for each pixel: rows are channels, terms samples. */
function packChannels(batch: Batch, tensor: Tensor, { first, count }: Chunk): GPUTexture {
  const length = numbersOf(tensor);
  const { matrix } = tensor;
  return packColumns(batch, {
    ...matrix,
    rows: count,
    cols: length,
    stride: length,
    offset: first * length,
    padding: 0,
  });
}

/** dW for the used taps, which `out` has as columns. False where it does not apply: then nothing is recorded. */
export function packedWeightGradient(
  { batch }: NetworkPass,
  x: Tensor,
  dy: Tensor,
  geometry: Geometry,
  out: View,
): boolean {
  const { gpu } = batch;
  const chunks = chunksOfColumns(gpu, x, dy);
  if (!chunks || !isWide(gpu, out.rows)) return false;
  const { taps } = geometry;
  const pixels = pixelsOf(geometry.output);
  const table = turnedTable(pixelsMet(geometry), taps, pixels);
  batch.scope(convolutionWork('convolution-weights', geometry, dy.matrix.rows, out.rows), () => {
    for (const chunk of chunks) {
      const a = packChannels(batch, x, chunk);
      const b = packChannels(batch, dy, chunk);
      record(batch, {
        a,
        b,
        table,
        pieces: pixels,
        group: patchLength(geometry) / taps,
        groupB: dy.matrix.stride,
        k: chunk.count,
        out,
        turned: true,
        accumulate: chunk.first > 0,
      });
      batch.reuse(a);
      batch.reuse(b);
    }
  });
  return true;
}
