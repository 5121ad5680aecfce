import splitRowsSource from '../../../shaders/gemm/split_rows.wgsl';
import type { Batch } from '../../runtime/batch.js';
import { defineKernel, read, readView, readWrite } from '../../runtime/kernel.js';
import type { Matrix, Pair, View } from '../../runtime/matrix.js';
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
 * A₁B₁ᵀ is exact, and A₁B₂ᵀ + A₂Bᵀ is small, and so is its rounding. A low part belongs to A₂ or B₂.
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
  const [headA, restA] = split(batch, left, 'a', lowOfA);
  const [headB, restB] = left === right ? [headA, restA] : split(batch, right, 'b', lowOfB);
  const multiply = symmetric ? syrk : gemm;
  multiply(batch, { ...operands, a: headA, b: headB });
  const sum = { ...operands, addend: operands.out };
  multiply(batch, { ...sum, a: headA, b: restB });
  multiply(batch, { ...sum, a: restA, b: right, ...(gram && { gram }) });
};

const splitRows = defineKernel({
  name: 'split_rows',
  source: splitRowsSource,
  bindings: {
    x: readView('array<f32>'),
    low: read('array<f32>'),
    head: readWrite('array<f32>'),
    rest: readWrite('array<f32>'),
  },
  params: { k: 'u32', strideX: 'u32', offsetX: 'u32', /** Of head and rest. */ stride: 'u32', zero: 'zero' },
  constants: { LOW: 'bool' },
});

function split(batch: Batch, matrix: View, role: string, low?: Matrix): [head: Matrix, rest: Matrix] {
  const { rows, cols } = matrix;
  const [head, rest] = [batch.scratch(rows, cols, `head ${role}`), batch.scratch(rows, cols, `rest ${role}`)];
  batch.dispatch(splitRows, {
    bindings: { x: matrix, low: low ?? matrix.buffer, head, rest },
    params: { k: cols, strideX: matrix.stride, offsetX: matrix.offset, stride: head.stride },
    constants: { LOW: low !== undefined },
    grid: [rows],
  });
  return [head, rest];
}
