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

/** What all kernels are told: one workgroup a tile of the result. */
export function resultCall(product: Product, [tileRows, tileCols]: Tile) {
  const { k, half } = product;
  const out = highOf(product.out);
  return {
    params: {
      m: out.rows,
      n: out.cols,
      k,
      strideOut: out.stride,
      offsetOut: out.offset,
      padding: out.padding,
      lower: half !== 'full',
      mirror: half === 'mirrored',
    },
    grid: [ceilDiv(out.cols, tileCols), ceilDiv(out.rows, tileRows)],
    work: tileWork(product, [tileRows, tileCols]),
  } as const;
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

/** What those are told that store sums. */
export function sumsCall(batch: Batch, product: Product) {
  const { out, scale = 1, addend, bias = 1 } = product;
  const accumulate = accumulates(product);
  // An unused or accumulating addend is not read through its own binding; any other buffer serves.
  const separate = addend && !accumulate ? highOf(addend) : unusedOf(batch.gpu).addend;
  return {
    bindings: { addend: separate, ...partsOf(out, batch.gpu) },
    params: {
      strideAddend: separate.stride,
      offsetAddend: separate.offset,
      scale,
      scaleLow: isPair(out) ? scale - Math.fround(scale) : 0,
      bias,
      accumulate,
      add: addend !== undefined && !accumulate,
    },
  };
}

/** What those are told that read both factors as they are, but for what they store. */
function tilesCall(batch: Batch, product: Product, tile: Tile) {
  const { params, ...call } = resultCall(product, tile);
  const { buffer } = highOf(product.out);
  const a = asRows(batch, product.a, buffer, 'a');
  const b = isSquare(product) ? a : asRows(batch, product.b, buffer, 'b');
  return {
    ...call,
    bindings: { a, b },
    params: { ...params, strideA: a.stride, strideB: b.stride, offsetA: a.offset, offsetB: b.offset },
  };
}

export function tiledSumsCall(batch: Batch, product: Product, tile: Tile) {
  const { bindings, params, ...call } = tilesCall(batch, product, tile);
  const sums = sumsCall(batch, product);
  return { ...call, bindings: { ...bindings, ...sums.bindings }, params: { ...params, ...sums.params } };
}

export function tiledValuesCall(batch: Batch, product: Product, tile: Tile, bandwidth: number) {
  const { bindings, params, ...call } = tilesCall(batch, product, tile);
  return {
    ...call,
    bindings: { ...bindings, ...partsOf(product.out, batch.gpu) },
    params: { ...params, inverseBandwidth: 1 / bandwidth },
  };
}

/** `down`: four neighbouring rows are stored at a time, else four columns. */
export function tiledGramCall(batch: Batch, product: Product, tile: Tile, terms: GramTerms, down: boolean) {
  const { bindings, params, ...call } = tilesCall(batch, product, tile);
  const { w, outputs, rows, cols } = terms;
  const [ones, fours] = down ? [cols, rows] : [rows, cols];
  return {
    ...call,
    bindings: { ...bindings, ...partsOf(product.out, batch.gpu), w, ones, fours },
    params: { ...params, strideW: w.stride, outputs, accumulate: accumulates(product) },
  };
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
