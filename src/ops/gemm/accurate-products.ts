import splitRowsSource from '../../../shaders/gemm/split_rows.wgsl';
import type { Batch } from '../../runtime/batch.js';
import { defineKernel, readView, readWrite } from '../../runtime/kernel.js';
import type { Matrix, Pair, View } from '../../runtime/matrix.js';
import { transpose } from '../elementwise/transpose.js';
import { type Contraction, gemm, gemmNN, gemmTN, syrk, syrkTN } from './gemm.js';

/** A product whose result has more digits than float32. */
export type LongContraction = Contraction & { out: Pair };

/** A Bᵀ, A B or Aᵀ B. */
export type ProductForm = 'NT' | 'NN' | 'TN';

/** out = scale · (the product) (+ out as addend), in two floats; symmetric: half is computed, and mirrored. */
export type Multiply = (batch: Batch, operands: LongContraction, form: ProductForm, symmetric: boolean) => void;

/** One float32 product: its rounding, averaged over chunks, is a few 1e-8 of the sum of the terms' sizes. */
export const multiplyOnce: Multiply = (batch, operands, form, symmetric) => {
  if (form === 'NN') gemmNN(batch, operands);
  else if (form === 'TN') (symmetric ? syrkTN : gemmTN)(batch, operands);
  else (symmetric ? syrk : gemm)(batch, operands);
};

/**
 * The same with about three digits more, for three times the work: of A = A₁ + A₂ and B = B₁ + B₂ (see split_rows.wgsl)
 * A₁B₁ᵀ is exact, and A₁B₂ᵀ + A₂Bᵀ is small, and so is its rounding.
 */
export const multiplyAccurately: Multiply = (batch, { a, b, gram, ...operands }, form, symmetric) => {
  const rowsOf = (matrix: View, transposed: boolean, role: string): View => {
    if (!transposed) return matrix;
    const rows = batch.scratch(matrix.cols, matrix.rows, `accurate ${role}`);
    transpose(batch, matrix, rows);
    return rows;
  };
  const left = rowsOf(a, form === 'TN', 'a');
  const right = a === b && form !== 'NN' ? left : rowsOf(b, form !== 'NT', 'b');
  const [headA, restA] = split(batch, left, 'a');
  const [headB, restB] = left === right ? [headA, restA] : split(batch, right, 'b');
  const multiply = symmetric ? syrk : gemm;
  multiply(batch, { ...operands, a: headA, b: headB });
  const sum = { ...operands, addend: operands.out };
  multiply(batch, { ...sum, a: headA, b: restB });
  multiply(batch, { ...sum, a: restA, b: right, ...(gram && { gram }) });
};

const splitRows = defineKernel({
  name: 'split_rows',
  source: splitRowsSource,
  bindings: { x: readView('array<f32>'), head: readWrite('array<f32>'), rest: readWrite('array<f32>') },
  params: { k: 'u32', strideX: 'u32', offsetX: 'u32', /** Of head and rest. */ stride: 'u32', zero: 'zero' },
});

function split(batch: Batch, matrix: View, role: string): [head: Matrix, rest: Matrix] {
  const { rows, cols } = matrix;
  const [head, rest] = [batch.scratch(rows, cols, `head ${role}`), batch.scratch(rows, cols, `rest ${role}`)];
  batch.dispatch(splitRows, {
    bindings: { x: matrix, head, rest },
    params: { k: cols, strideX: matrix.stride, offsetX: matrix.offset, stride: head.stride },
    grid: [rows],
  });
  return [head, rest];
}
