import transposeSource from '../../../shaders/elementwise/transpose.wgsl';
import { type Batch, ceilDiv, type Kernel } from '../../runtime/batch.js';
import type { Matrix } from '../../runtime/matrix.js';

/** Numbers on a side of what a workgroup turns. */
const TILE = 32;
const kernel: Kernel = { name: 'transpose', source: transposeSource };

/** Further matrices of the same shape: how many in all, and the numbers (multiples of 4) from one to the next. */
export interface Repetition {
  count: number;
  stepA: number;
  stepOut: number;
}

/** out = Aᵀ, for A: m × n and out: n × m in different buffers, once or as often as `repeat` says. */
export function transpose(batch: Batch, a: Matrix, out: Matrix, repeat?: Repetition): void {
  const { count, stepA, stepOut } = repeat ?? { count: 1, stepA: 0, stepOut: 0 };
  const width = a.rows + out.padding;
  const numbers = [a.stride, out.stride, a.offset, out.offset, width, stepA, stepOut].map((value) => value / 4);
  batch.dispatch(kernel, [a, out], [a.rows, a.cols, ...numbers], [ceilDiv(a.cols, TILE), ceilDiv(width, TILE), count]);
}
