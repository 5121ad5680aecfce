import groupMeansSource from '../../../shaders/statistics/group_means.wgsl';
import normalizeRowsSource from '../../../shaders/statistics/normalize_rows.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, read, readView, readWrite, specialize } from '../../runtime/kernel.js';
import type { Matrix, View } from '../../runtime/matrix.js';
import { rowGroup } from '../../runtime/variants.js';

const normalize = defineKernel({
  name: 'normalize_rows',
  source: normalizeRowsSource,
  bindings: { a: readView('array<vec4f>'), out: readWrite('array<vec4f>'), lengths: readWrite('array<f32>') },
  params: { rows: 'u32', stride: 'u32', offset: 'u32', zero: 'zero' },
  constants: { LENGTHS_ONLY: 'bool', SIZE: 'u32' },
});
const normalizeKernel = specialize(normalize, 'normalize_rows', { LENGTHS_ONLY: false });
const lengthsKernel = specialize(normalize, 'row_lengths', { LENGTHS_ONLY: true });

const means = defineKernel({
  name: 'group_means',
  source: groupMeansSource,
  bindings: {
    a: read('array<f32>'),
    starts: read('array<u32>'),
    scale: read('array<u32>'),
    means: readWrite('array<f32>'),
  },
  params: { groups: 'u32', cols: 'u32', stride: 'u32', strideOut: 'u32', zero: 'zero' },
  constants: { SCALED: 'bool' },
});
const meansKernel = specialize(means, 'group_means', { SCALED: false });
const scaledMeansKernel = specialize(means, 'group_means_scaled', { SCALED: true });

/** out_i = a_i / ‖a_i‖ and lengths (1 × m) = ‖a_i‖; a row of zeros stays zero. */
export function normalizeRows(batch: Batch, a: Matrix, out: Matrix, lengths: Matrix): void {
  batch.dispatch(normalizeKernel, {
    bindings: { a, out, lengths },
    params: { rows: a.rows, stride: a.stride, offset: 0 },
    constants: { SIZE: rowGroup(batch.gpu) },
    grid: [a.rows],
  });
}

/** lengths (1 × m) = ‖a_i‖ for the rows of A (m × n). */
export function rowLengths(batch: Batch, a: View, lengths: Matrix): void {
  batch.dispatch(lengthsKernel, {
    bindings: { a, out: batch.temporary(1, 4), lengths },
    params: { rows: a.rows, stride: a.stride, offset: a.offset },
    constants: { SIZE: rowGroup(batch.gpu) },
    grid: [a.rows],
  });
}

/**
 * means (groups × n): row g is the mean of rows starts[g] … starts[g + 1] − 1 of A; groups are not empty. With `largest` (of
 * `recordMagnitude`) it is the mean of A over the power of two below that, in which no sum overflows.
 */
export function groupMeans(
  batch: Batch,
  a: Matrix,
  starts: readonly number[],
  means: Matrix,
  largest: Matrix | null = null,
): void {
  const numbers = startsBuffer(batch, starts);
  batch.dispatch(largest ? scaledMeansKernel : meansKernel, {
    bindings: { a, starts: numbers, scale: largest ?? numbers, means },
    params: { groups: means.rows, cols: a.cols, stride: a.stride, strideOut: means.stride },
    grid: [ceilDiv(means.stride, 64), means.rows],
  });
}

/** Row numbers as a buffer that lives as long as the batch. */
export function startsBuffer(batch: Batch, starts: readonly number[]): Matrix {
  const buffer = batch.temporary(1, starts.length);
  batch.gpu.device.queue.writeBuffer(buffer.buffer, 0, new Uint32Array(starts));
  return buffer;
}
