import transposeSource from '../../../shaders/elementwise/transpose.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, readView, readWriteView } from '../../runtime/kernel.js';
import type { View } from '../../runtime/matrix.js';

/** Numbers on a side of what a workgroup turns. */
const TILE = 32;

const transposeKernel = defineKernel({
  name: 'transpose',
  source: transposeSource,
  bindings: { a: readView('array<vec4f>'), out: readWriteView('array<vec4f>') },
  params: {
    m: 'u32',
    n: 'u32',
    // This and what follows in vec4.
    strideA: 'u32',
    strideOut: 'u32',
    offsetA: 'u32',
    offsetOut: 'u32',
    widthOut: 'u32',
    stepA: 'i32',
    stepOut: 'i32',
  },
});

/** Further matrices of the same shape: how many in all, and the numbers (multiples of 4) from one to the next. */
export interface Repetition {
  count: number;
  stepA: number;
  stepOut: number;
}

/** out = Aᵀ, for A: m × n and out: n × m in different buffers, once or as often as `repeat` says. */
export function transpose(batch: Batch, a: View, out: View, repeat?: Repetition): void {
  const { count, stepA, stepOut } = repeat ?? { count: 1, stepA: 0, stepOut: 0 };
  const width = a.rows + out.padding;
  batch.dispatch(transposeKernel, {
    bindings: { a, out },
    params: {
      m: a.rows,
      n: a.cols,
      strideA: a.stride / 4,
      strideOut: out.stride / 4,
      offsetA: a.offset / 4,
      offsetOut: out.offset / 4,
      widthOut: width / 4,
      stepA: stepA / 4,
      stepOut: stepOut / 4,
    },
    grid: [ceilDiv(a.cols, TILE), ceilDiv(width, TILE), count],
  });
}
