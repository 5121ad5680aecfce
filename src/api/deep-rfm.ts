import { deepRfmWriter } from '../model/deep-rfm.js';
import { type Model, memoryFiles, openModel, writeModelDocument } from '../model/files.js';
import { deepRfmDocument } from '../model/make.js';
import { settingsOf } from '../ops/kernels/kernels.js';
import { type DeepRfmProgress, type DeepRfmResult, deepRfm as runDeepRfm } from '../rfm/deep-rfm.js';
import { type DeepRfmOptions, deepRfmOptions } from '../rfm/options.js';
import type { Gpu } from '../runtime/gpu.js';
import { type LabelledData, labelledRows } from './data.js';
import { checkOptions, DEEP_RFM_OPTIONS } from './options.js';

/** What `deepRfm` may be told beside the method. */
export interface DeepRfmCall {
  /** Told of phases and layers as they come, and holds the signal that stops the run. */
  progress?: DeepRfmProgress;
  /** Whether the model is kept, in host memory: of each layer its rows, rows × features, and two square matrices. Default: false. */
  keepModel?: boolean;
}

/**
 * Deep Recursive Feature Machine (Beaglehole, Súkeník, Mondelli, Belkin, NeurIPS 2024, arXiv 2402.13728): rows are sorted by
 * class and standardised, then each layer divides rows by their length, fits kernel ridge regression, computes the AGOP M of
 * the predictor, multiplies the rows by M^{1/2} and applies random features.
 * @param options everything has a default.
 * @returns NC1 and NC2 of every layer at its input, after M^{1/2} and after the features; accuracies, residuals and repairs;
 * where it is kept, the model, which `predict` and `saveModel` take, else null.
 * @throws `RfmError` of kind 'input' where shapes or labels do not fit, an option is none or has no such value, a number is not
 * finite, a row is zero after standardisation, all rows are of one class, or a model is to be kept of infinite width or with a
 * kernel of your own; 'doesNotFit' where the device's memory does not suffice.
 */
export async function deepRfm(
  gpu: Gpu,
  data: LabelledData,
  options: DeepRfmOptions & DeepRfmCall = {},
): Promise<DeepRfmResult & { model: Model | null }> {
  checkOptions('deepRfm', 'DeepRfmOptions', DEEP_RFM_OPTIONS, options);
  const { progress = {}, keepModel = false, ...method } = options;
  const rows = labelledRows(data);
  if (!keepModel) return { ...(await runDeepRfm(gpu, rows, method, { progress })), model: null };
  const { kernel, activation, metric, ...settings } = deepRfmOptions(method);
  settingsOf(kernel);
  const files = memoryFiles();
  const { keep, written } = deepRfmWriter(files);
  const result = await runDeepRfm(gpu, rows, method, { progress, keep });
  const about = {
    ...{ columns: rows.train.cols, outputs: rows.classes, code: 'sign' as const, data: {} },
    classes: Array.from({ length: rows.classes }, (_, c) => String(c)),
    settings: { ...settingsOf(kernel), activation, ...settings, ...(metric && { metric: `of rank ${metric.rank}` }) },
  };
  await writeModelDocument(files, deepRfmDocument(gpu, about, { kernel, activation }, written()));
  return { ...result, model: await openModel(files) };
}
