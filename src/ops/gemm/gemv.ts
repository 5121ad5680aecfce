import foldedSource from '../../../shaders/gemm/folded.wgsl';
import gemvSource from '../../../shaders/gemm/gemv.wgsl';
import gemvPackedSource from '../../../shaders/gemm/gemv_packed.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, firstRow, readView, readWriteView, texture } from '../../runtime/kernel.js';
import { block, type View } from '../../runtime/matrix.js';
import type { Texels } from './gemm-packed.js';

/** Rows of A that a workgroup of gemv.wgsl takes. */
const ROWS = 8;
/** Rows of X that one pass over A serves. */
const VECTORS = 4;

const vectors = { x: readView('array<vec4f>'), addend: readView('array<f32>'), out: readWriteView('array<f32>') };
const vectorParams = {
  n: 'u32',
  k: 'u32',
  // Of X in vec4.
  strideX: 'u32',
  offsetX: 'u32',
  strideAddend: 'u32',
  offsetAddend: 'u32',
  strideOut: 'u32',
  offsetOut: 'u32',
  padding: 'u2',
  scale: 'f32',
  add: 'flag',
  lower: 'flag',
  upper: 'flag',
  // In workgroups.
  first: firstRow(),
} as const;

const gemvKernel = defineKernel({
  name: 'gemv',
  source: gemvSource,
  bindings: { a: readView('array<vec4f>'), ...vectors },
  // Of A in vec4.
  params: { ...vectorParams, strideA: 'u32', offsetA: 'u32' },
  constants: { VECTORS: 'u32' },
});

const gemvPackedKernel = defineKernel({
  name: 'gemv_packed',
  source: [foldedSource, gemvPackedSource],
  bindings: { a: texture, ...vectors },
  params: { ...vectorParams, row: 'u32', step: 'u32', segment: 'u32', folds: 'u32' },
  constants: { VECTORS: 'u32', LANES: 'u32' },
});

/** A part of a matrix that is kept as texels, where it is: its first row and column are multiples of 64. */
export interface TexelBlock extends Texels {
  row: number;
  col: number;
}

export interface VectorProduct {
  /** n × k. */
  a: View;
  /** The same numbers as texels, which are read in place of A. */
  texels?: TexelBlock | null;
  /** m × k: vectors, one a row. */
  x: View;
  /** m × n, in another buffer than the rest. */
  out: View;
  /** m × n. */
  addend?: View;
  /** Default 1. */
  scale?: number | undefined;
  /** A_ij = 0 for j > i ('lower') or for j < i ('upper'). Default: neither. */
  triangle?: 'lower' | 'upper' | undefined;
}

/**
 * out = scale · X Aᵀ + addend for few vectors: A is read once for four of them, which takes as long as the product. For many,
 * `gemm` reads it less often.
 */
export function gemv(batch: Batch, { a, texels, x, out, addend, scale = 1, triangle }: VectorProduct): void {
  const [n, k] = [a.rows, a.cols];
  const { lanes } = batch.gpu;
  for (let from = 0; from < x.rows; from += VECTORS) {
    const count = Math.min(VECTORS, x.rows - from);
    const of = (matrix: View): View => block(matrix, from, 0, count, matrix.cols);
    const bindings = { x: of(x), addend: of(addend ?? x), out: of(out) };
    const params = {
      n,
      k,
      strideX: bindings.x.stride / 4,
      offsetX: bindings.x.offset / 4,
      strideAddend: bindings.addend.stride,
      offsetAddend: bindings.addend.offset,
      strideOut: bindings.out.stride,
      offsetOut: bindings.out.offset,
      padding: bindings.out.padding,
      scale,
      add: addend !== undefined,
      lower: triangle === 'lower',
      upper: triangle === 'upper',
    };
    batch.scope({ op: 'gemv', flops: 2 * count * n * k, bytes: 4 * (n * k + count * (n + k)) }, () => {
      if (texels) {
        const { texture: a, row, col, segment, folds } = texels;
        batch.dispatch(gemvPackedKernel, {
          bindings: { a, ...bindings },
          params: { ...params, row, step: col / 4, segment, folds },
          constants: { VECTORS: count, LANES: lanes },
          grid: [ceilDiv(n, lanes)],
          work: { flops: 2 * count * lanes * k },
        });
        return;
      }
      batch.dispatch(gemvKernel, {
        bindings: { a, ...bindings },
        params: { ...params, strideA: a.stride / 4, offsetA: a.offset / 4 },
        constants: { VECTORS: count },
        grid: [ceilDiv(n, ROWS)],
        work: { flops: 2 * count * ROWS * k },
      });
    });
  }
}
