import elementwiseSource from '../../../shaders/elementwise/elementwise.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, read, readView, readWriteView, specialize } from '../../runtime/kernel.js';
import type { Matrix, View } from '../../runtime/matrix.js';

const elementwise = defineKernel({
  name: 'elementwise',
  source: elementwiseSource,
  bindings: { a: readView('array<vec4f>'), b: read('array<vec4f>'), out: readWriteView('array<vec4f>') },
  params: {
    m: 'u32',
    n: 'u32',
    strideA: 'u32',
    strideB: 'u32',
    strideOut: 'u32',
    offsetA: 'u32',
    offsetOut: 'u32',
    padding: 'u32',
    scale: 'f32',
  },
  constants: { OPERATION: 'u32' },
});

/** The operations by their number in the shader. */
const kernel = (name: string, OPERATION: number) => specialize(elementwise, name, { OPERATION });
const KERNELS = {
  copyScaled: kernel('copy_scaled', 0),
  subtractRow: kernel('subtract_row', 1),
  symmetrize: kernel('symmetrize', 2),
  relu: kernel('relu', 3),
  scaledCos: kernel('scaled_cos', 4),
  divideBy: kernel('divide_by', 5),
  divideByRoot: kernel('divide_by_root', 6),
  addDiagonal: kernel('add_diagonal', 7),
  addScaled: kernel('add_scaled', 8),
  subtractColumn: kernel('subtract_column', 9),
  addRow: kernel('add_row', 10),
};

/** `b`: what the operation takes beside A; of those that take nothing, nobody reads it. */
interface Operands {
  a: View;
  b?: Matrix;
  out: View;
  scale?: number;
}

function apply(batch: Batch, operation: keyof typeof KERNELS, { a, b, out, scale = 1 }: Operands): void {
  batch.dispatch(KERNELS[operation], {
    bindings: { a, b: b ?? a.buffer, out },
    params: {
      m: out.rows,
      n: out.cols,
      strideA: a.stride,
      strideB: (b ?? a).stride,
      strideOut: out.stride,
      offsetA: a.offset,
      offsetOut: out.offset,
      padding: out.padding,
      scale,
    },
    grid: [ceilDiv(ceilDiv(out.cols, 4), 64), out.rows],
  });
}

/** out = factor · A, both m × n. */
export const copyScaled = (batch: Batch, a: View, out: View, factor = 1): void =>
  apply(batch, 'copyScaled', { a, out, scale: factor });
/** out = A − 1 rowᵀ: subtracts one row (1 × n) from every row of A. */
export const subtractRow = (batch: Batch, a: View, row: Matrix, out: View): void =>
  apply(batch, 'subtractRow', { a, b: row, out });
/** out = A + 1 rowᵀ: adds one row (1 × n) to every row of A. */
export const addRow = (batch: Batch, a: View, row: Matrix, out: View): void =>
  apply(batch, 'addRow', { a, b: row, out });
/** out = A − column 1ᵀ: subtracts entry i of `column` (stored as 1 × m) from row i of A (m × n). */
export const subtractColumn = (batch: Batch, a: View, column: Matrix, out: View): void =>
  apply(batch, 'subtractColumn', { a, b: column, out });
/** out = (A + Aᵀ) / 2, both n × n, in different buffers. */
export const symmetrize = (batch: Batch, a: View, out: View): void => apply(batch, 'symmetrize', { a, out });
/** out = max(A, 0), both m × n; a NaN stays one. */
export const relu = (batch: Batch, a: View, out: View): void => apply(batch, 'relu', { a, out });
/** out = scale · cos(A + phases), phases 1 × n. */
export const scaledCos = (batch: Batch, a: View, phases: Matrix, out: View, scale: number): void =>
  apply(batch, 'scaledCos', { a, b: phases, out, scale });
/** out = A / b for a single number b on the device. */
export const divideBy = (batch: Batch, a: View, b: Matrix, out: View): void => apply(batch, 'divideBy', { a, b, out });
/** out = A / √b for a single number b on the device. */
export const divideByRoot = (batch: Batch, a: View, b: Matrix, out: View): void =>
  apply(batch, 'divideByRoot', { a, b, out });
/** out = A + value · I, both n × n. */
export const addDiagonal = (batch: Batch, a: View, out: View, value: number): void =>
  apply(batch, 'addDiagonal', { a, out, scale: value });
/** out = A + factor · B, all m × n. */
export const addScaled = (batch: Batch, a: View, b: Matrix, out: View, factor = 1): void =>
  apply(batch, 'addScaled', { a, b, out, scale: factor });
