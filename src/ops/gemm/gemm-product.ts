import type { Matrix, Pair, View } from '../../runtime/matrix.js';
import type { RadialKernel } from '../kernels/kernel.js';

/** Which half of a symmetric result is computed: all of it, the lower half, or the lower half copied to the upper. */
export type Half = 'full' | 'lower' | 'mirrored';

/** A factor as it is stored: rows × k, or transposed k × rows. */
export interface Factor {
  matrix: View;
  transposed: boolean;
}

/** out = scale · A Bᵀ + bias · addend, or the squared distances of the rows; see `Contraction` in gemm.ts. */
export interface Product {
  a: Factor;
  b: Factor;
  out: View | Pair;
  k: number;
  scale?: number;
  addend?: View | Pair;
  bias?: number;
  difference: boolean;
  half: Half;
  /** Kernel values of the distances: of `blocked` and `subgroup` alone. */
  values?: RadialKernel;
  /** Q in place of P: of `blocked` and `subgroup` alone. */
  gram?: GramTerms;
}

export const isPair = (matrix: View | Pair): matrix is Pair => 'high' in matrix;

/** The matrix, or its high part. */
export const highOf = (matrix: View | Pair): View => (isPair(matrix) ? matrix.high : matrix);

/** What makes a tile of Q of the product P = W W, see gram_value.wgsl. The tile's vectors are those of rows without offset. */
export interface GramTerms {
  /** m × n, the tile of W. */
  w: Matrix;
  outputs: number;
  /** Of the tile's rows, 3 · outputs × m, and of its columns, 3 · outputs × n: α, S, and what float32 lacks of S. */
  rows: Matrix;
  cols: Matrix;
}

/** Operations of gram_value.wgsl for an entry and an output: three products in double-float; see `RowWork`. */
export const GRAM_VALUE = 300;

/** What a workgroup computes of the result. */
export type Tile = readonly [rows: number, cols: number];
