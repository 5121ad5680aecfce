import type { PredictionOptions } from '../model/context.js';
import { copyModel, type Model, memoryFiles, openModel } from '../model/files.js';
import { type Predictions, predictRows } from '../model/predict.js';
import type { Gpu } from '../runtime/gpu.js';
import { hostRows, type Values } from './arrays.js';

/** The files of a model: model.json and its .safetensors, by name. */
export type ModelBytes = Iterable<readonly [name: string, bytes: Uint8Array]>;

/**
 * The files of a model in memory, to keep them where you like: `loadModel` takes them.
 * @throws `RfmError` of kind 'input' where the model's own files were changed since it was loaded.
 */
export async function saveModel(model: Model): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const files = memoryFiles();
  await copyModel(model, files);
  return new Map(files.bytes);
}

/**
 * A model from its files, checked: their lengths, checksums and headers.
 * @param files by name; a `Map`, or `Object.entries` of an object.
 * @throws `RfmError` of kind 'input' that names the file which is missing, cut short, changed or of another version.
 */
export const loadModel = (files: ModelBytes): Promise<Model> => openModel(memoryFiles(files));

/** Which layer predicts, and what predictions may use. */
export interface PredictOptions extends PredictionOptions {
  /** Of a Deep RFM, from 1 on. Default: the last. */
  layer?: number;
}

/**
 * Predictions of a model for rows, which pass it in tiles.
 * @param x rows × columns of the model, as they were before the fit: what was done to the training rows is done to them.
 * @returns scores (rows × outputs), and of a classifier the class numbers and the probabilities (rows × classes).
 * @throws `RfmError` of kind 'input' where rows have other columns, a number is not finite, or the model has no such layer;
 * 'doesNotFit' where the device's memory does not suffice.
 */
export async function predict(
  gpu: Gpu,
  model: Model,
  x: Values,
  { layer, ...options }: PredictOptions = {},
): Promise<Predictions> {
  const cols = ArrayBuffer.isView(x) ? model.document.columns : undefined;
  const rows = hostRows('x', x, { cols });
  const [found] = await predictRows(gpu, model, rows, {
    ...options,
    layers: layer === undefined ? undefined : [layer],
  });
  return found;
}

/** The same by several layers of a Deep RFM, or by all of them, in one go. */
export async function predictLayers(
  gpu: Gpu,
  model: Model,
  x: Values,
  { layers = 'all', ...options }: PredictionOptions & { layers?: readonly number[] | 'all' } = {},
): Promise<Predictions[]> {
  const cols = ArrayBuffer.isView(x) ? model.document.columns : undefined;
  return predictRows(gpu, model, hostRows('x', x, { cols }), { ...options, layers });
}
