import largestMagnitudeSource from '../../../shaders/statistics/largest_magnitude.wgsl';
import { RfmError } from '../../errors.js';
import { type Batch, ceilDiv, sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import { allocate, download, type Matrix } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { copyScaled } from '../elementwise/elementwise.js';

const kernel = defineKernel({
  name: 'largest_magnitude',
  source: largestMagnitudeSource,
  bindings: { a: read('array<vec4u>'), largest: readWrite('array<atomic<u32>>') },
  // vec4 in the matrix, and invocations in the dispatch.
  params: { count: 'u32', step: 'u32', slot: 'u32' },
});
const SIZE = 64;
/** Workgroups of one dispatch at most. */
const GROUPS = 128;

/** largest[slot] = max(largest[slot], |a_ij|), which begins as 0; see largest_magnitude.wgsl. */
export function recordMagnitude(batch: Batch, a: Matrix, largest: Matrix, slot = 0): void {
  const count = (a.rows * a.stride) / 4;
  const groups = Math.min(GROUPS, ceilDiv(count, SIZE * 8));
  batch.dispatch(kernel, {
    bindings: { a, largest },
    params: { count, step: groups * SIZE, slot },
    grid: [groups],
  });
}

/** A row of zeros for `recordMagnitude` that lives as long as the batch. */
export function magnitudes(batch: Batch, count: number): Matrix {
  const largest = batch.temporary(1, count);
  batch.gpu.device.queue.writeBuffer(largest.buffer, 0, new Uint32Array(largest.stride));
  return largest;
}

/** The largest |a_ij| of each matrix; not finite where an entry is not. */
export async function largestMagnitudes(gpu: Gpu, matrices: readonly Matrix[]): Promise<Float32Array> {
  return owning(gpu, async (gpu) => {
    const largest = allocate(gpu, 1, matrices.length);
    gpu.device.queue.writeBuffer(largest.buffer, 0, new Uint32Array(largest.stride));
    await sendBatch(gpu, (batch) =>
      matrices.forEach((matrix, slot) => void recordMagnitude(batch, matrix, largest, slot)),
    );
    return download(gpu, largest);
  });
}

/**
 * e with 2^e ≤ value < 2^(e + 1); 0 for 0.
 * @throws internal error where it is not finite.
 */
export function exponentOf(value: number): number {
  if (!Number.isFinite(value)) throw new RfmError('internal', `expected numbers of some size, found ${value}`);
  if (value === 0) return 0;
  const e = Math.floor(Math.log2(value));
  return value < 2 ** e ? e - 1 : value >= 2 ** (e + 1) ? e + 1 : e;
}

/** Exponents of the powers of two that are normal float32 numbers, as are their inverses. */
const LARGEST_EXPONENT = 126;

/** out = 2^exponent · A, for |exponent| ≤ 252. */
export function scaleByPowerOfTwo(batch: Batch, a: Matrix, exponent: number, out: Matrix): void {
  if (Math.abs(exponent) <= LARGEST_EXPONENT) {
    copyScaled(batch, a, out, 2 ** exponent);
    return;
  }
  const half = Math.trunc(exponent / 2);
  const between = batch.temporary(a.rows, a.cols);
  copyScaled(batch, a, between, 2 ** half);
  copyScaled(batch, between, out, 2 ** (exponent - half));
}
