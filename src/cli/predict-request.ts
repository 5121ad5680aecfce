/** What `predict` is asked for: flags, model and rows checked against each other, before an adapter is opened. */

import { existsSync, realpathSync, statSync } from 'node:fs';
import { dirname, extname, resolve, sep } from 'node:path';
import type { CifarLabels } from '../data/cifar.js';
import { DATASET_NAMES, type DatasetName, type EmnistSplit, loadPart } from '../data/dataset.js';
import { place } from '../data/files.js';
import { folderFiles } from '../data/folder-files.js';
import { readClasses } from '../data/labels.js';
import { readMatrix } from '../data/npy.js';
import type { Part } from '../data/rows.js';
import { arrayColumn, isArray } from '../data/table-arrays.js';
import { inputError, RfmError } from '../errors.js';
import { isOfTable } from '../model/document.js';
import { type Model, openModel } from '../model/files.js';
import { layersOf } from '../model/predict.js';
import type { HostRows, Numbers } from '../numbers.js';
import type { AdapterChoice } from '../runtime/adapter.js';
import { placeAmong, shownName } from '../table/checks.js';
import type { Column } from '../table/types.js';
import type { OutputFlags } from './flags.js';
import { required, rowsDisagree } from './matrices.js';
import { tableRows } from './predict-table.js';
import { checkPlace } from './save-model.js';

export const ARRAYS = ['scores', 'labels', 'probabilities'] as const;
export type ArrayName = (typeof ARRAYS)[number];
export const PARTS = ['test', 'train'] as const satisfies readonly Part[];
const FORMATS = ['.npy', '.csv', '.json'] as const;
export type Format = (typeof FORMATS)[number];

export interface PredictFlags extends OutputFlags {
  model?: string;
  x?: string;
  delimiter?: string;
  y?: string;
  dataset?: DatasetName;
  dataDir?: string;
  part?: Part;
  split?: EmnistSplit;
  labels?: CifarLabels;
  classes?: number[];
  stratified?: boolean;
  n?: number;
  layer?: number[] | 'all';
  array?: ArrayName;
  float64?: boolean;
  memoryLimit?: number;
  adapter?: AdapterChoice;
  gpu?: string;
  tune?: boolean;
  out?: string;
}

/** What is known of the rows' outputs: class numbers of the model, or targets, rows × outputs. */
export type Truth = { labels: Int32Array } | { targets: Numbers };

export interface PredictRequest {
  model: Model;
  rows: HostRows;
  truth: Truth | null;
  /** Which layers predict; none for a model that has but one predictor. */
  layers: number[];
  out: string;
  format: Format;
  array: ArrayName;
  remarks: string[];
}

/**
 * Checks the flags of `predict`, opens the model and reads the rows.
 * @throws input error for flags that contradict each other, a model that is not whole or of another version, and rows that do not
 * fit to it.
 */
export async function readPredictRequest(flags: PredictFlags): Promise<PredictRequest> {
  const dir = required(flags.model, '--model', 'the folder of a saved model');
  const { out, format } = checkOut(flags, dir);
  const array = checkArray(flags, format);
  checkSource(flags);
  const model = await openModel(folderFiles(dir, '--model'));
  const layers = within(flags.layer === undefined ? '' : '--layer', () => layersOf(model, flags.layer));
  if (array !== 'scores' && model.document.classes === null) {
    throw inputError(`--array ${array}: the model predicts numbers and has no classes; drop --array`);
  }
  const { rows, truth, remarks } = await rowsFor(flags, model);
  return { model, rows, truth, layers, out, format, array, remarks };
}

/** Does the work; what is wrong is said of a flag. */
function within<T>(at: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof RfmError && at !== '' ? error.within(at) : error;
  }
}

function checkOut({ out: given, x, y, overwrite = false }: PredictFlags, dir: string): { out: string; format: Format } {
  const out = required(given, '--out', 'the file to write, .npy, .csv or .json');
  const format = FORMATS.find((known) => known === extname(out).toLowerCase());
  if (format === undefined) {
    throw inputError(
      `--out ${out}: expected a name that ends in ${FORMATS.join(', ')}; use for example --out predictions.csv`,
    );
  }
  const real = (path: string): string => (existsSync(path) ? realpathSync(path) : resolve(path));
  for (const [flag, path] of [
    ['--x', x],
    ['--y', y],
  ] as const) {
    if (path !== undefined && real(path) === real(out)) {
      throw inputError(`--out ${out}: would overwrite ${flag} ${path}; choose another file`);
    }
  }
  if (`${real(out)}${sep}`.startsWith(`${real(dir)}${sep}`)) {
    throw inputError(`--out ${out}: is in the folder of the model; choose another folder`);
  }
  const there = existsSync(out);
  if (there && statSync(out).isDirectory()) {
    throw inputError(`--out ${out}: is a folder, expected a file; choose another name`);
  }
  if (there && !overwrite) throw inputError(`--out ${out}: is there already; choose another file, or add --overwrite`);
  checkPlace(dirname(resolve(out)), `--out ${out}`);
  return { out, format };
}

function checkArray({ array, float64 }: PredictFlags, format: Format): ArrayName {
  if (format !== '.npy' && array !== undefined) {
    throw inputError(
      `--array ${array}: a ${format} file holds all there is, only a .npy file has one array; drop --array`,
    );
  }
  if (format !== '.npy' && float64)
    throw inputError(`--float64: only .npy files have it, found --out of ${format}; drop it`);
  return array ?? 'scores';
}

/** Rows come from a file or from a dataset. */
function checkSource({ x, y, dataset, dataDir, ...flags }: PredictFlags): void {
  if (x !== undefined && dataset !== undefined) {
    throw inputError(`--x ${x}: found --dataset ${dataset} as well; use one of the two`);
  }
  if (x === undefined && dataset === undefined) {
    throw inputError(
      `--x is missing; give the .npy file with the rows (n × d) with --x, or one of ${DATASET_NAMES.join(', ')} with --dataset`,
    );
  }
  if (dataset === undefined) {
    const { part, split, labels, classes, stratified } = flags;
    const needy = { '--data-dir': dataDir, '--part': part, '--split': split, '--labels': labels, '--classes': classes };
    for (const [flag, value] of Object.entries({ ...needy, '--stratified': stratified })) {
      if (value === undefined) continue;
      const given = value === true ? flag : `${flag} ${value}`;
      throw inputError(`${given}: needs --dataset, found --x ${x}; drop ${flag}`);
    }
  } else if (y !== undefined) {
    throw inputError(`--y ${y}: the labels of --dataset ${dataset} are known; drop --y`);
  }
  if (dataset === 'mnist-sample' && dataDir !== undefined) {
    throw inputError(
      `--data-dir ${dataDir}: mnist-sample comes with the program; drop --data-dir, or use --dataset mnist`,
    );
  }
}

type Found = Pick<PredictRequest, 'rows' | 'truth' | 'remarks'>;

/** @throws input error where rows are not those of the model. */
function expectColumns({ cols }: { cols: number }, { document }: Model, at: string): void {
  if (cols === document.columns) return;
  throw inputError(
    `${at}: has ${cols} columns, but the model expects ${document.columns}; give the features that it was made with`,
  );
}

async function rowsFor(flags: PredictFlags, model: Model): Promise<Found> {
  const { dataset, x } = flags;
  if (isOfTable(model.document)) {
    if (x !== undefined) return fromTable(flags, x, model);
    throw inputError(`--dataset ${dataset}: the model predicts rows of a table; give the table with --x`);
  }
  if (flags.delimiter !== undefined) {
    throw inputError(`--delimiter ${flags.delimiter}: a model of kind ${model.document.kind} takes no tables; drop it`);
  }
  return x === undefined ? fromDataset(flags, model) : fromFiles(flags, x, model);
}

/** Where the table has the column that the model predicts, or --y gives it to an array, predictions are judged by it. */
async function fromTable({ y, n, delimiter }: PredictFlags, x: string, model: Model): Promise<Found> {
  const { rows: all, target: own, remarks } = await tableRows(model, x, '--x', delimiter);
  const target = y === undefined ? own : targetFrom(y, x, all.rows);
  const from = y === undefined ? `${place('--x', x)}: ${shownName(own?.name ?? '')}` : place('--y', y);
  if (n !== undefined && n > all.rows) throw tooFew(n, x, all.rows);
  const count = n ?? all.rows;
  const rows = { ...all, x: all.x.subarray(0, count * all.cols), rows: count };
  if (target === null) return { rows, truth: null, remarks };
  const values = target.values.slice(0, count);
  const missing = Array.from<string | number | null>(values).filter(
    (value) => value === null || Number.isNaN(value),
  ).length;
  if (missing > 0) {
    const remark = `predictions are not judged: ${shownName(target.name)} is missing in ${missing} of ${count} rows`;
    return { rows, truth: null, remarks: [...remarks, remark] };
  }
  const { classes } = model.document;
  if (classes) {
    const names = Array.from(values, String);
    return {
      rows,
      truth: { labels: classNumbers(names, classes, from) },
      remarks,
    };
  }
  if (target.kind === 'number') return { rows, truth: { targets: Float64Array.from(values as Float64Array) }, remarks };
  throw inputError(
    `${place('--x', x)}: ${shownName(target.name)} holds texts, and the model predicts numbers; drop the column`,
  );
}

/** What is predicted, of an array that has no names of columns. */
function targetFrom(y: string, x: string, rows: number): Column {
  if (!isArray(x)) throw inputError(`--y ${y}: a table holds what is predicted as a column; add it there, or drop --y`);
  const { rows: count, column } = arrayColumn(y, '--y', 'y');
  if (count !== rows) throw rowsDisagree(place('--y', y), count, rows, x);
  return column;
}

const tooFew = (n: number, x: string, rows: number): RfmError =>
  inputError(`--n ${n}: ${x} holds only ${rows} rows; use --n ${rows} or less`);

function fromDataset({ dataset, part = 'test', n, ...selection }: PredictFlags, model: Model): Found {
  const name = dataset as DatasetName;
  const at = `--dataset ${name}`;
  const { rows, classValues, remarks } = loadPart({ name, ...selection }, part, n);
  expectColumns(rows, model, at);
  const { classes } = model.document;
  // Of a model of numbers the classes are no targets.
  const truth = classes && {
    labels: classNumbers(
      rows.labels.map((label) => classValues[label]),
      classes,
      at,
    ),
  };
  return { rows, truth, remarks };
}

function fromFiles({ y, n }: PredictFlags, x: string, model: Model): Found {
  const at = place('--x', x);
  const all = readMatrix(x, '--x');
  expectColumns(all, model, at);
  if (n !== undefined && n > all.rows) throw tooFew(n, x, all.rows);
  const count = n ?? all.rows;
  const rows = { x: all.data.subarray(0, count * all.cols), rows: count, cols: all.cols };
  if (y === undefined) return { rows, truth: null, remarks: [] };
  const { classes, outputs } = model.document;
  if (classes === null) {
    const targets = readMatrix(y, '--y');
    if (targets.rows !== all.rows) throw rowsDisagree(place('--y', y), targets.rows, all.rows, x);
    if (targets.cols !== outputs) {
      throw inputError(
        `${place('--y', y)}: has ${targets.cols} columns, but the model has ${outputs} outputs; give one column each`,
      );
    }
    return { rows, truth: { targets: targets.data.subarray(0, count * outputs) }, remarks: [] };
  }
  const { values } = readClasses(y, '--y', all.rows);
  if (values.length !== all.rows) throw rowsDisagree(place('--y', y), values.length, all.rows, x);
  return {
    rows,
    truth: { labels: classNumbers(values.subarray(0, count), classes, place('--y', y)) },
    remarks: [],
  };
}

/** The numbers of classes by their names. */
function classNumbers(values: ArrayLike<number | string>, names: readonly string[], at: string): Int32Array {
  const placeOf = placeAmong(names);
  return Int32Array.from(values, (value, row) => {
    const found = placeOf(String(value));
    if (found >= 0) return found;
    const list = names.length > 12 ? `${names.slice(0, 12).join(', ')}, …` : names.join(', ');
    throw inputError(`${at}: label ${value} in row ${row} (counted from 0) is no class of the model, expected ${list}`);
  });
}
