import { type DeepRfmProgress, type DeepRfmResult, deepRfm as runDeepRfm } from '../rfm/deep-rfm.js';
import type { DeepRfmOptions } from '../rfm/options.js';
import type { Gpu } from '../runtime/gpu.js';
import { type LabelledData, labelledRows } from './data.js';

/**
 * Deep Recursive Feature Machine (Beaglehole, Súkeník, Mondelli, Belkin, NeurIPS 2024, arXiv 2402.13728): rows are sorted by
 * class and standardised, then each layer divides rows by their length, fits kernel ridge regression, computes the AGOP M of
 * the predictor, multiplies the rows by M^{1/2} and applies random features.
 * @param options everything has a default; `progress` is told of phases and layers as they come, and holds the signal that
 * stops the run.
 * @returns NC1 and NC2 of every layer at its input, after M^{1/2} and after the features; accuracies, residuals and repairs.
 * @throws `RfmError` of kind 'input' where shapes or labels do not fit, a number is not finite, a row is zero after
 * standardisation, or all rows are of one class; 'doesNotFit' where the device's memory does not suffice.
 */
export async function deepRfm(
  gpu: Gpu,
  data: LabelledData,
  { progress = {}, ...method }: DeepRfmOptions & { progress?: DeepRfmProgress } = {},
): Promise<DeepRfmResult> {
  return runDeepRfm(gpu, labelledRows(data), method, { progress });
}
