import { inputError } from '../errors.js';
import type { PredictionOptions } from '../model/context.js';
import { isOfTable } from '../model/document.js';
import { copyModel, type Model, memoryFiles, openModel } from '../model/files.js';
import { type Predictions, predictRows } from '../model/predict.js';
import type { HostRows } from '../numbers.js';
import type { Gpu } from '../runtime/gpu.js';
import { encodeRows } from '../table/encoding.js';
import { hostRows, type Values } from './arrays.js';
import { isColumns, matrixTable, type TableColumns, tableOf } from './tables.js';

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
 * @param x rows × columns of the model, as they were before the fit: what was done to the training rows is done to them. A model
 * that `fit` made of a table takes its columns by name, in any order.
 * @returns scores (rows × outputs), and of a classifier the class numbers and the probabilities (rows × classes).
 * @throws `RfmError` of kind 'input' where rows have other columns, a number is not finite, or the model has no such layer;
 * 'doesNotFit' where the device's memory does not suffice.
 */
export async function predict(
  gpu: Gpu,
  model: Model,
  x: Values | TableColumns,
  { layer, ...options }: PredictOptions = {},
): Promise<Predictions> {
  const rows = rowsOf(model, x);
  const [found] = await predictRows(gpu, model, rows, {
    ...options,
    layers: layer === undefined ? undefined : [layer],
  });
  return found;
}

function rowsOf({ document }: Model, x: Values | TableColumns): HostRows {
  if (!isOfTable(document)) {
    if (!isColumns(x)) return hostRows('x', x, { cols: ArrayBuffer.isView(x) ? document.columns : undefined });
    throw inputError(`x: a model of kind ${document.kind} takes rows × columns, found columns by name`);
  }
  const { columns, matrix } = document.table;
  if (isColumns(x)) return encodeRows(tableOf(x), columns);
  if (matrix !== undefined) return encodeRows(matrixTable(x, { cols: matrix }), columns);
  throw inputError('x: the model takes the columns of a table by name, such as { age: [31, 45] }, found rows');
}

/**
 * The same by several layers of a Deep RFM in one go.
 * @param x rows × columns of the model.
 * @param options `layers` in the order of what is returned; all of them unless told.
 * @throws `RfmError` as `predict` does.
 */
export async function predictLayers(
  gpu: Gpu,
  model: Model,
  x: Values,
  { layers = 'all', ...options }: PredictionOptions & { layers?: readonly number[] | 'all' } = {},
): Promise<Predictions[]> {
  const cols = ArrayBuffer.isView(x) ? model.document.columns : undefined;
  return predictRows(gpu, model, hostRows('x', x, { cols }), { ...options, layers });
}
