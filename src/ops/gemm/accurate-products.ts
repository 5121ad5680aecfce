import splitRowsSource from '../../../shaders/gemm/split_rows.wgsl';
import type { Batch } from '../../runtime/batch.js';
import { defineKernel, read, readView, readWrite } from '../../runtime/kernel.js';
import { type Matrix, matrixBytes, type Pair, type View } from '../../runtime/matrix.js';
import { rowGroup } from '../../runtime/variants.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { type Contraction, gemm, gemmNN, gemmTN, syrk, syrkTN } from './gemm.js';

/** A product whose result has more digits than float32. */
export type LongContraction = Contraction & {
  out: Pair;
  /** What float32 lacks of `a`, or of `b`, of the same shape; for A Bᵀ. */
  lowOfA?: Matrix;
  lowOfB?: Matrix;
};

/** A Bᵀ, A B or Aᵀ B. */
export type ProductForm = 'NT' | 'NN' | 'TN';

/** out = scale · (the product) (+ out as addend), in two floats; symmetric: half is computed, and mirrored. */
export type Multiply = (batch: Batch, operands: LongContraction, form: ProductForm, symmetric: boolean) => void;

const plainProduct = (batch: Batch, operands: Contraction, form: ProductForm, symmetric: boolean): void => {
  if (form === 'NN') gemmNN(batch, operands);
  else if (form === 'TN') (symmetric ? syrkTN : gemmTN)(batch, operands);
  else (symmetric ? syrk : gemm)(batch, operands);
};

/** One float32 product, and one for a low part: its rounding, averaged over chunks, is a few 1e-8 of the sum of the terms' sizes. */
export const multiplyOnce: Multiply = (batch, { lowOfA, lowOfB, ...operands }, form, symmetric) => {
  if (!lowOfA && !lowOfB) return plainProduct(batch, operands, form, symmetric);
  const { a, b, out, scale = 1, addend } = operands;
  const { high, low } = out;
  const ofLow = { a: lowOfA ?? a, b: lowOfB ?? b, out: low, scale, ...(addend && { addend: low }) };
  plainProduct(batch, ofLow, form, symmetric);
  if (!addend) copyScaled(batch, low, high, 0);
  plainProduct(batch, { ...operands, addend: out }, form, symmetric);
};

/**
 * The same with about three digits more, for three times the work: of A = A₁ + A₂ and B = B₁ + B₂ (see split_rows.wgsl)
 * A₁B₁ᵀ is exact, and A₁B₂ᵀ + A₂Bᵀ is small, and so is its rounding. A low part belongs to A₂ or B₂. The three are one product, of
 * as many columns at a time as fit into a tile with their parts.
 */
export const multiplyAccurately: Multiply = (batch, { a, b, lowOfA, lowOfB, gram, ...operands }, form, symmetric) => {
  const rowsOf = (matrix: View, transposed: boolean, role: string): View => {
    if (!transposed) return matrix;
    const rows = batch.scratch(matrix.cols, matrix.rows, `accurate ${role}`);
    transpose(batch, matrix, rows);
    return rows;
  };
  const left = rowsOf(a, form === 'TN', 'a');
  const right = a === b && form !== 'NN' ? left : rowsOf(b, form !== 'NT', 'b');
  const multiply = symmetric ? syrk : gemm;
  const most = columnsAtOnce(batch.gpu.tileBytes, Math.max(left.rows, right.rows));
  for (let from = 0; from < left.cols; from += most) {
    const columns = { from, count: Math.min(most, left.cols - from) };
    const parts = {
      a: split(batch, left, lowOfA, columns, 'left'),
      b: split(batch, right, lowOfB, columns, 'right'),
    };
    const last = from + most >= left.cols;
    multiply(batch, {
      ...operands,
      ...parts,
      ...(from > 0 && { addend: operands.out }),
      ...(last && gram && { gram }),
    });
  }
};

/** Columns are padded to a multiple of this, the terms of a sum that is exact. */
const EXACT_TERMS = 16;
const PARTS = 3;

/** Columns at least that are taken at a time: each time all of the result is read and written. */
const FEWEST = 256;

/** Columns of factors of so many rows at most whose parts are a tile. */
const columnsAtOnce = (tileBytes: number, rows: number): number =>
  Math.max(FEWEST, EXACT_TERMS * Math.floor(tileBytes / (4 * PARTS * rows * EXACT_TERMS)));

const partsWidth = (columns: number): number => Math.ceil(columns / EXACT_TERMS) * EXACT_TERMS;

/** Bytes of the parts of both factors of accurate products, (m × k)(n × k)ᵀ. Products' copies come on top. */
export function partsBytes(tileBytes: number, m: number, n: number, k: number): { bytes: number; k: number } {
  const columns = PARTS * partsWidth(Math.min(k, columnsAtOnce(tileBytes, Math.max(m, n))));
  return { bytes: matrixBytes(m, columns) + matrixBytes(n, columns), k: columns };
}

const splitRows = defineKernel({
  name: 'split_rows',
  source: splitRowsSource,
  bindings: { x: readView('array<f32>'), low: read('array<f32>'), parts: readWrite('array<f32>') },
  params: { k: 'u32', strideX: 'u32', offsetX: 'u32', /** Of a part. */ width: 'u32', zero: 'zero' },
  constants: { LOW: 'bool', RIGHT: 'bool', SIZE: 'u32' },
});

function split(
  batch: Batch,
  matrix: View,
  low: Matrix | undefined,
  { from, count }: { from: number; count: number },
  side: 'left' | 'right',
): Matrix {
  const width = partsWidth(count);
  const parts = batch.scratch(matrix.rows, PARTS * width, `parts ${side}`);
  batch.dispatch(splitRows, {
    bindings: { x: matrix, low: low ?? matrix.buffer, parts },
    params: { k: count, strideX: matrix.stride, offsetX: matrix.offset + from, width },
    constants: { LOW: low !== undefined, RIGHT: side === 'right', SIZE: rowGroup(batch.gpu) },
    grid: [matrix.rows],
  });
  return parts;
}
