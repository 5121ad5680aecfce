import symmetrizePairSource from '../../../shaders/elementwise/symmetrize_pair.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, firstRow, readWrite } from '../../runtime/kernel.js';
import type { Pair } from '../../runtime/matrix.js';

/** Entries on a side of what a workgroup takes. */
const SIDE = 8;

const kernel = defineKernel({
  name: 'symmetrize_pair',
  source: symmetrizePairSource,
  bindings: { high: readWrite('array<f32>'), low: readWrite('array<f32>') },
  params: { n: 'u32', stride: 'u32', firstRow: firstRow(), zero: 'zero' },
});

/** A = (A + Aᵀ) / 2 in place, for a pair A (n × n). */
export function symmetrizePair(batch: Batch, { high, low }: Pair): void {
  const n = high.rows;
  const side = ceilDiv(n, SIDE);
  batch.dispatch(kernel, { bindings: { high, low }, params: { n, stride: high.stride }, grid: [side, side] });
}
