import lossSource from '../../shaders/nn/loss.wgsl';
import { type Batch, f32bits } from '../runtime/batch.js';
import type { LooseKernel } from '../runtime/kernel.js';
import type { Matrix } from '../runtime/matrix.js';

export const LOSSES = ['mse', 'cross-entropy'] as const;
export type LossName = (typeof LOSSES)[number];

const kernels: Record<LossName, LooseKernel> = {
  mse: { name: 'loss_mse', source: lossSource, constants: { OPERATION: 0 } },
  'cross-entropy': { name: 'loss_cross_entropy', source: lossSource, constants: { OPERATION: 1 } },
};

/** By what the sum that `lossAndGradient` leaves is divided: all entries for 'mse', the rows for 'cross-entropy'. */
export const lossTerms = (loss: LossName, rows: number, outputs: number): number =>
  loss === 'mse' ? rows * outputs : rows;

/**
 * Loss of outputs (rows × classes) against targets of the same shape (±1, or any numbers whose largest marks the
 * class). 'mse' is the mean of (o − t)² over all entries, 'cross-entropy' the mean over rows of −log softmax(o)[label].
 * gradient (rows × classes) = the derivative by the outputs; results[slot] = the loss before its division by
 * `lossTerms`, results[slot + 1] = the rows whose largest output is at the label.
 */
export function lossAndGradient(
  batch: Batch,
  loss: LossName,
  outputs: Matrix,
  targets: Matrix,
  gradient: Matrix,
  results: Matrix,
  slot: number,
): void {
  batch.dispatchLoose(
    kernels[loss],
    [outputs, targets, gradient, results],
    [outputs.rows, outputs.cols, outputs.stride, slot, f32bits(1 / lossTerms(loss, outputs.rows, outputs.cols))],
    [1],
  );
}
