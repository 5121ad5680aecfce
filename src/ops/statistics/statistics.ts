import groupMeansSource from '../../../shaders/statistics/group_means.wgsl';
import inverseScaleSource from '../../../shaders/statistics/inverse_scale.wgsl';
import normalizeRowsSource from '../../../shaders/statistics/normalize_rows.wgsl';
import { type Batch, ceilDiv, type Kernel } from '../../runtime/batch.js';
import type { Matrix } from '../../runtime/matrix.js';

const normalizeKernel: Kernel = {
  name: 'normalize_rows',
  source: normalizeRowsSource,
  constants: { LENGTHS_ONLY: false },
};
const lengthsKernel: Kernel = { name: 'row_lengths', source: normalizeRowsSource, constants: { LENGTHS_ONLY: true } };
const meansSource = `${inverseScaleSource}\n${groupMeansSource}`;
const meansKernel: Kernel = { name: 'group_means', source: meansSource, constants: { SCALED: false } };
const scaledMeansKernel: Kernel = { name: 'group_means_scaled', source: meansSource, constants: { SCALED: true } };

/** out_i = a_i / ‖a_i‖ and lengths (1 × m) = ‖a_i‖; a row of zeros stays zero. */
export function normalizeRows(batch: Batch, a: Matrix, out: Matrix, lengths: Matrix): void {
  batch.dispatch(normalizeKernel, [a, out, lengths], [a.rows, a.stride, 0], [a.rows]);
}

/** lengths (1 × m) = ‖a_i‖ for the rows of A (m × n). */
export function rowLengths(batch: Batch, a: Matrix, lengths: Matrix): void {
  batch.dispatch(lengthsKernel, [a, batch.temporary(1, 4), lengths], [a.rows, a.stride, 0], [a.rows]);
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
  batch.dispatch(
    largest ? scaledMeansKernel : meansKernel,
    [a, numbers, largest ?? numbers, means],
    [means.rows, a.cols, a.stride, means.stride, 0],
    [ceilDiv(means.stride, 64), means.rows],
  );
}

/** Row numbers as a buffer that lives as long as the batch. */
export function startsBuffer(batch: Batch, starts: readonly number[]): Matrix {
  const buffer = batch.temporary(1, starts.length);
  batch.gpu.device.queue.writeBuffer(buffer.buffer, 0, new Uint32Array(starts));
  return buffer;
}
