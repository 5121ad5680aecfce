import source from '../../../shaders/statistics/column_squares.wgsl';
import type { Batch } from '../../runtime/batch.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import type { Matrix } from '../../runtime/matrix.js';

const columnSquaresKernel = defineKernel({
  name: 'column_squares',
  source,
  bindings: { a: read('array<vec4f>'), out: readWrite('array<vec4f>') },
  params: { m: 'u32', stride: 'u32', zero: 'zero' },
});

/** out_j = Σ_i a_ij², for A: m × n and out: 1 × n. */
export function columnSquares(batch: Batch, a: Matrix, out: Matrix): void {
  batch.dispatch(columnSquaresKernel, {
    bindings: { a, out },
    params: { m: a.rows, stride: a.stride },
    grid: [a.stride / 4],
  });
}
