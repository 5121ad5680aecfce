import elementwiseSource from '../../../shaders/elementwise/elementwise.wgsl';
import { type Batch, ceilDiv, f32bits, type Kernel } from '../../runtime/batch.js';
import type { Matrix } from '../../runtime/matrix.js';

const kernels = new Map<number, Kernel>();

function apply(batch: Batch, operation: number, a: Matrix, b: Matrix, out: Matrix, scale = 1): void {
  let kernel = kernels.get(operation);
  if (!kernel) {
    kernel = { name: `elementwise_${operation}`, source: elementwiseSource, constants: { OPERATION: operation } };
    kernels.set(operation, kernel);
  }
  batch.dispatch(
    kernel,
    [a, b, out],
    [out.rows, out.cols, a.stride, b.stride, out.stride, a.offset, out.offset, out.padding, f32bits(scale)],
    [ceilDiv(ceilDiv(out.cols, 4), 64), out.rows],
  );
}

/** out = factor · A. */
export const copyScaled = (batch: Batch, a: Matrix, out: Matrix, factor = 1): void =>
  apply(batch, 0, a, a, out, factor);
/** out = A − 1 rowᵀ: subtracts one row (1 × n) from every row of A. */
export const subtractRow = (batch: Batch, a: Matrix, row: Matrix, out: Matrix): void => apply(batch, 1, a, row, out);
/** out = A + 1 rowᵀ: adds one row (1 × n) to every row of A. */
export const addRow = (batch: Batch, a: Matrix, row: Matrix, out: Matrix): void => apply(batch, 10, a, row, out);
/** out = A − column 1ᵀ: subtracts entry i of `column` (stored as 1 × m) from row i of A (m × n). */
export const subtractColumn = (batch: Batch, a: Matrix, column: Matrix, out: Matrix): void =>
  apply(batch, 9, a, column, out);
/** out = (A + Aᵀ) / 2. */
export const symmetrize = (batch: Batch, a: Matrix, out: Matrix): void => apply(batch, 2, a, a, out);
/** out = max(A, 0). */
export const relu = (batch: Batch, a: Matrix, out: Matrix): void => apply(batch, 3, a, a, out);
/** out = scale · cos(A + phases), phases 1 × n. */
export const scaledCos = (batch: Batch, a: Matrix, phases: Matrix, out: Matrix, scale: number): void =>
  apply(batch, 4, a, phases, out, scale);
/** out = A / b for a single number b on the device. */
export const divideBy = (batch: Batch, a: Matrix, b: Matrix, out: Matrix): void => apply(batch, 5, a, b, out);
/** out = A / √b for a single number b on the device. */
export const divideByRoot = (batch: Batch, a: Matrix, b: Matrix, out: Matrix): void => apply(batch, 6, a, b, out);
/** out = A + value · I. */
export const addDiagonal = (batch: Batch, a: Matrix, out: Matrix, value: number): void =>
  apply(batch, 7, a, a, out, value);
/** out = A + factor · B. */
export const addScaled = (batch: Batch, a: Matrix, b: Matrix, out: Matrix, factor = 1): void =>
  apply(batch, 8, a, b, out, factor);
