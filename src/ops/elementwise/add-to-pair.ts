import addToPairSource from '../../../shaders/elementwise/add_to_pair.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import type { Matrix, Pair } from '../../runtime/matrix.js';

const kernel = defineKernel({
  name: 'add_to_pair',
  source: addToPairSource,
  bindings: {
    high: read('array<f32>'),
    low: read('array<f32>'),
    x: read('array<f32>'),
    outHigh: readWrite('array<f32>'),
    outLow: readWrite('array<f32>'),
  },
  params: { entries: 'u32', zero: 'zero' },
});

/** out = A + X, for a pair A and X of its shape; `out` is another pair. */
export function addToPair(batch: Batch, { high, low }: Pair, x: Matrix, out: Pair): void {
  const entries = high.rows * high.stride;
  batch.dispatch(kernel, {
    bindings: { high, low, x, outHigh: out.high, outLow: out.low },
    params: { entries },
    grid: [ceilDiv(entries, 64)],
  });
}
