import lossSource from '../../shaders/nn/loss.wgsl';
import type { Batch } from '../runtime/batch.js';
import { defineKernel, read, readWrite, specialize } from '../runtime/kernel.js';
import type { Matrix } from '../runtime/matrix.js';

export const LOSSES = ['mse', 'cross-entropy'] as const;
export type LossName = (typeof LOSSES)[number];

const kernel = defineKernel({
  name: 'loss',
  source: lossSource,
  bindings: {
    outputs: read('array<f32>'),
    targets: read('array<f32>'),
    gradient: readWrite('array<f32>'),
    results: readWrite('array<f32>'),
  },
  params: { rows: 'u32', cols: 'u32', stride: 'u32', slot: 'u32', scale: 'f32', zero: 'zero' },
  constants: { CROSS_ENTROPY: 'bool' },
});
const kernels = {
  mse: specialize(kernel, 'loss_mse', { CROSS_ENTROPY: false }),
  'cross-entropy': specialize(kernel, 'loss_cross_entropy', { CROSS_ENTROPY: true }),
};

/** By what the sum that `lossAndGradient` leaves is divided: all entries for 'mse', the rows for 'cross-entropy'. */
export const lossTerms = (loss: LossName, rows: number, outputs: number): number =>
  loss === 'mse' ? rows * outputs : rows;

/** What a loss is computed of, and where its gradient goes: rows × classes each. */
export interface LossOperands {
  outputs: Matrix;
  /** ±1, or any numbers whose largest marks the class. */
  targets: Matrix;
  /** Receives the derivative by the outputs. */
  gradient: Matrix;
}

/**
 * 'mse' is the mean of (o − t)² over all entries, 'cross-entropy' the mean over rows of −log softmax(o)[label].
 * results[slot] = the loss before its division by `lossTerms`, results[slot + 1] = the rows whose largest output is at the
 * label.
 */
export function lossAndGradient(
  batch: Batch,
  loss: LossName,
  operands: LossOperands,
  results: Matrix,
  slot: number,
): void {
  const { rows, cols, stride } = operands.outputs;
  batch.dispatch(kernels[loss], {
    bindings: { ...operands, results },
    params: { rows, cols, stride, slot, scale: 1 / lossTerms(loss, rows, cols) },
    grid: [1],
  });
}
