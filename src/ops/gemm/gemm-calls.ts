/** What the kernels of the matrix product are told of a product. */

import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { GPUBufferUsage } from '../../runtime/constants.js';
import type { Gpu } from '../../runtime/gpu.js';
import type { Matrix, Pair, View } from '../../runtime/matrix.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { type Factor, GRAM_VALUE, type GramTerms, highOf, isPair, type Product, type Tile } from './gemm-product.js';

const unusedMatrices = new WeakMap<GPUDevice, { addend: Matrix; low: Matrix }>();

/** What stands in for an addend and for a low part that a product does not have: nobody reads or writes them. */
function unusedOf({ device }: Gpu): { addend: Matrix; low: Matrix } {
  const known = unusedMatrices.get(device);
  if (known) return known;
  const unused = (): Matrix => ({
    rows: 1,
    cols: 1,
    stride: 4,
    offset: 0,
    padding: 3,
    buffer: device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE }),
  });
  const made = { addend: unused(), low: unused() };
  unusedMatrices.set(device, made);
  return made;
}

const accumulates = ({ addend, out }: Product): boolean =>
  addend !== undefined && highOf(addend).buffer === highOf(out).buffer;

/** The two parts of a result, for a binding each. */
const partsOf = (out: View | Pair, gpu: Gpu): { out: View; low: View } =>
  isPair(out) ? { out: out.high, low: out.low } : { out, low: unusedOf(gpu).low };

/** Whether both factors are one. */
export const isSquare = ({ a, b }: Product): boolean => b.matrix === a.matrix && b.transposed === a.transposed;

/** What kernels are told of the result that store something else than sums. */
function resultParams({ out, k, half }: Product) {
  const { rows, cols, stride, offset, padding } = highOf(out);
  return {
    m: rows,
    n: cols,
    k,
    strideOut: stride,
    offsetOut: offset,
    padding,
    lower: half !== 'full',
    mirror: half === 'mirrored',
  };
}

/** One workgroup a tile. */
function gridOf({ out }: Product, [tileRows, tileCols]: Tile): readonly [number, number] {
  const { rows, cols } = highOf(out);
  return [ceilDiv(cols, tileCols), ceilDiv(rows, tileRows)];
}

/**
 * What a row of tiles takes, with the entries that tiles have beyond the result. Of a symmetric result the last row is
 * the longest, and twice the mean; low parts take up to twice as long (sums of sixteen terms).
 */
function tileWork({ out, k, difference, half, gram }: Product, [tileRows, tileCols]: Tile) {
  const perTerm = difference ? 3 : 2;
  const { rows, cols } = highOf(out);
  const row = tileRows * tileCols * ceilDiv(cols, tileCols);
  return {
    flops: row * (perTerm * (isPair(out) ? 2 : 1) * k + (gram ? GRAM_VALUE * gram.outputs : 0)),
    measured: (perTerm * rows * cols * k) / (half === 'full' ? 1 : 2),
  };
}

const isWhole = (matrix: View): matrix is Matrix => matrix.offset === 0;

/** A view that begins within its buffer is copied: a dispatch has no word left for where that is. */
function wholeOf(batch: Batch, addend: View): Matrix {
  if (isWhole(addend)) return addend;
  const copy = batch.scratch(addend.rows, addend.cols, 'addend');
  copyScaled(batch, addend, copy);
  return copy;
}

/**
 * What kernels are told of the result that store sums. Written out and completed in place: made of other objects by spreading
 * them, it took the host as long as all else that it does for a product.
 */
function sumParams(
  { out, k, half, scale = 1, bias = 1 }: Product,
  strideAddend: number,
  accumulate: boolean,
  add: boolean,
) {
  const { rows, cols, stride, offset, padding } = highOf(out);
  return {
    m: rows,
    n: cols,
    k,
    strideOut: stride,
    offsetOut: offset,
    padding,
    lower: half !== 'full',
    mirror: half === 'mirrored',
    strideAddend,
    scale,
    scaleLow: isPair(out) ? scale - Math.fround(scale) : 0,
    bias,
    accumulate,
    add,
    low: isPair(out),
  };
}

/** What a kernel is told that stores sums, but for its factors. */
export function sumsCall(batch: Batch, product: Product, tile: Tile) {
  const accumulate = accumulates(product);
  const separate = product.addend && !accumulate ? wholeOf(batch, highOf(product.addend)) : null;
  // An unused or accumulating addend is not read through its own binding; any other buffer serves.
  const addend = separate ?? unusedOf(batch.gpu).addend;
  const { out, low } = partsOf(product.out, batch.gpu);
  return {
    results: { addend, out, low },
    params: sumParams(product, addend.stride, accumulate, separate !== null),
    grid: gridOf(product, tile),
    work: tileWork(product, tile),
  };
}

/** What a kernel is told that reads both factors as they are, and stores sums. */
export function tiledSumsCall(batch: Batch, product: Product, tile: Tile) {
  const { a, b } = factorRows(batch, product);
  const { results, params, grid, work } = sumsCall(batch, product, tile);
  return {
    bindings: { ...results, a, b },
    params: Object.assign(params, { strideA: a.stride, strideB: b.stride, offsetA: a.offset, offsetB: b.offset }),
    grid,
    work,
  };
}

/** The same for one that stores kernel values. */
export function tiledValuesCall(batch: Batch, product: Product, tile: Tile, bandwidth: number) {
  const { a, b } = factorRows(batch, product);
  const { out, low } = partsOf(product.out, batch.gpu);
  return {
    bindings: { a, b, out, low },
    params: {
      ...resultParams(product),
      strideA: a.stride,
      strideB: b.stride,
      offsetA: a.offset,
      offsetB: b.offset,
      inverseBandwidth: 1 / bandwidth,
    },
    grid: gridOf(product, tile),
    work: tileWork(product, tile),
  };
}

/** The same for one that stores entries of Q. `down`: four neighbouring rows at a time, else four columns. */
export function tiledGramCall(batch: Batch, product: Product, tile: Tile, terms: GramTerms, down: boolean) {
  const { a, b } = factorRows(batch, product);
  const { out, low } = partsOf(product.out, batch.gpu);
  const { w, outputs, rows, cols } = terms;
  return {
    bindings: { a, b, out, low, w, ones: down ? cols : rows, fours: down ? rows : cols },
    params: {
      ...resultParams(product),
      strideA: a.stride,
      strideB: b.stride,
      offsetA: a.offset,
      offsetB: b.offset,
      strideW: w.stride,
      outputs,
      accumulate: accumulates(product),
    },
    grid: gridOf(product, tile),
    work: tileWork(product, tile),
  };
}

/** Both factors as rows × k. */
function factorRows(batch: Batch, product: Product): { a: View; b: View } {
  const { buffer } = highOf(product.out);
  const a = asRows(batch, product.a, buffer, 'a');
  return { a, b: isSquare(product) ? a : asRows(batch, product.b, buffer, 'b') };
}

/** rows × k; copied first where it is stored the other way, or in the buffer that the kernel writes to. */
function asRows(batch: Batch, { matrix, transposed }: Factor, out: GPUBuffer, role: 'a' | 'b'): View {
  if (!transposed) {
    if (matrix.buffer !== out) return matrix;
    const copy = batch.scratch(matrix.rows, matrix.cols, `factor ${role}`);
    copyScaled(batch, matrix, copy);
    return copy;
  }
  const rows = batch.scratch(matrix.cols, matrix.rows, `factor ${role}`);
  transpose(batch, matrix, rows);
  return rows;
}
