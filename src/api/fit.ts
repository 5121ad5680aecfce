import { z } from 'zod';
import { inputError } from '../errors.js';
import { CLASS_CODES } from '../model/codes.js';
import { type Model, memoryFiles, openModel } from '../model/files.js';
import { fitScored, writeFit } from '../model/fit-estimator.js';
import { type Prepared, predictorOf, prepare } from '../model/fit-rows.js';
import {
  type EstimatorChoices,
  type EstimatorSettings,
  estimatorOptions,
  estimatorSettings,
} from '../model/fit-settings.js';
import { FAMILY_NAMES } from '../ops/kernels/families.js';
import type { EstimatorResult } from '../rfm/estimator.js';
import { importancesOf } from '../rfm/estimator-metric.js';
import { type FitIteration, SCORES } from '../rfm/scores.js';
import { holdOut, type Split } from '../rfm/split.js';
import type { Gpu } from '../runtime/gpu.js';
import { checkEncoding, type EncodingOptions, type Missing } from '../table/encoding.js';
import { checkRows, readTarget, TASKS, type Target, type Task } from '../table/target.js';
import type { Table } from '../table/types.js';
import type { Values } from './arrays.js';
import { checkOptions, positive, share, whole } from './options.js';
import { columnFrom, isColumns, matrixTable, type TableColumns, tableOf } from './tables.js';

/** What `fit` may be told: the settings of the command `fit`, by their names there. Everything has a default. */
export interface FitOptions extends Omit<EstimatorChoices, 'bandwidth'> {
  /** A length, or a multiple of the median distance in each iteration. Default: { multiple: 1 }. */
  bandwidth?: number | { multiple: number };
  /** Default: 'auto', by the target. */
  task?: Task | 'auto';
  /** Share of the rows, of each class, that is held out to score by; 0: none, and the last fit is kept. Default: 0.2. */
  validation?: number;
  /** Columns to leave out. */
  drop?: readonly string[];
  /** Columns of numbers that are categories. */
  categories?: readonly string[];
  /** What is done to values that are missing. Default: 'refuse'. */
  missing?: Missing;
  /** Bytes of device memory not to go beyond. Default: what is known of the device's memory. */
  memoryLimit?: number;
  /** Hears of each fit as it comes. */
  onFit?: (fit: FitIteration) => void;
  /** Stops the fit between two iterations: it throws the signal's reason. */
  signal?: AbortSignal;
}

/** What a fit came to. */
export interface FitResult {
  /** What `predict` and `saveModel` take. */
  model: Model;
  task: Task;
  /** Names of the classes 0, 1, …; null of a regression. */
  classes: readonly string[] | null;
  /** Rows that were learned from, and those that were held out to score by. */
  rows: { train: number; validation: number };
  /** What was dropped or changed of the columns, a sentence each. */
  changes: readonly string[];
  /** Each fit, from plain kernel regression on. */
  fits: readonly FitIteration[];
  /** The fit that was kept, which is one of them. */
  best: FitIteration;
  /** The diagonal of its M, over its largest entry, by the names of the features; largest first. */
  importances: readonly { feature: string; value: number }[];
}

/** What programs without types may get wrong. */
const optionsSchema = z.strictObject({
  kernel: z.enum(FAMILY_NAMES).optional(),
  exponent: positive.optional(),
  norm: positive.optional(),
  power: z.int().positive().optional(),
  constantMix: share.optional(),
  bandwidth: z
    .union([positive, z.strictObject({ multiple: positive })], 'expected a number above 0, or { multiple }')
    .optional(),
  ridge: z.number().min(0).optional(),
  ridgeForm: z.enum(['absolute', 'relative']).optional(),
  metricForm: z.enum(['full', 'diagonal']).optional(),
  iterations: whole.optional(),
  patience: whole.optional(),
  codes: z.enum(CLASS_CODES).optional(),
  score: z.enum(SCORES).optional(),
  seed: whole.optional(),
  agop: z.enum(['auto', 'gram', 'jacobian']).optional(),
  agopSamples: whole.optional(),
  solver: z.enum(['auto', 'cholesky', 'cholesky-host', 'conjugate-gradients']).optional(),
  task: z.enum(['auto', ...TASKS]).optional(),
  validation: share.optional(),
  drop: z.array(z.string()).optional(),
  categories: z.array(z.string()).optional(),
  missing: z.enum(['refuse', 'mean', 'median']).optional(),
  memoryLimit: positive.optional(),
});

/**
 * Fits a Recursive Feature Machine to a table, as the command `fit` does: from M = I on, each iteration is kernel ridge regression with
 * distances of M, scored on rows that were held out, and M becomes the AGOP of the fit over its largest entry. The fit with the best
 * score is kept. Numbers are standardised, texts become a feature for each level.
 * @param x the columns of a table by name, each with a value a row; or rows × columns, whose columns are then called x0, x1, …
 * @param target the column to predict, by its name; or the values themselves, one a row: numbers, or the names of classes.
 * @throws `RfmError` of kind 'input' where columns or rows differ in length, a value is missing or infinite, rows are too few, the
 * target is not of the task, an option is none or has no such value, or float32 has no solution; 'doesNotFit' where the device's memory
 * does not suffice.
 */
export async function fit(
  gpu: Gpu,
  x: Values | TableColumns,
  target: string | ArrayLike<number> | readonly string[],
  options: FitOptions = {},
): Promise<FitResult> {
  const { onFit, signal, ...told } = options;
  checkOptions('fit', 'FitOptions', optionsSchema, told);
  const { task = 'auto', validation = 0.2, drop = [], categories = [], missing = 'refuse', bandwidth, ...rest } = told;
  const { memoryLimit = null, ...choices } = rest;
  const table = tableWith(x, target);
  const encoding = { target: typeof target === 'string' ? target : TARGET, drop, categories, missing };
  const { target: found } = readTarget(table, encoding.target, task);
  checkEncoding(table, encoding);
  checkRows(table, found, null);
  const settings = estimatorSettings(
    {
      ...choices,
      ...(bandwidth !== undefined && { bandwidth: typeof bandwidth === 'number' ? { length: bandwidth } : bandwidth }),
    },
    found.task,
  );
  const rows = { table, target: found };
  const tables = { rows, validation: null, test: null, encoding, config: settings };
  const prepared = prepare(tables, splitOf(table, found, validation, settings.seed));
  const fits: FitIteration[] = [];
  const result = await fitScored(
    gpu,
    { prepared, options: estimatorOptions(settings, prepared.data.n, memoryLimit), score: settings.score },
    (one) => {
      fits.push(one);
      onFit?.(one);
      signal?.throwIfAborted();
    },
  );
  return {
    model: await modelOf(gpu, { table, found, encoding, prepared, settings, validation }, result),
    task: found.task,
    classes: found.task === 'regression' ? null : found.classes,
    rows: { train: prepared.data.n, validation: prepared.validation?.rows ?? 0 },
    changes: prepared.changes,
    fits,
    best: fits[result.best.iteration],
    importances: importancesOf(result.best.metric, prepared.features),
  };
}

/** What a target is called that is no column of the table. */
const TARGET = 'y';

/** The table with its target, as a column of it. */
function tableWith(x: Values | TableColumns, target: Parameters<typeof fit>[2]): Table {
  if (typeof target === 'string') {
    if (isColumns(x)) return tableOf(x);
    if (ArrayBuffer.isView(x)) throw inputError(TYPED_ARRAY);
    return matrixTable(x, {});
  }
  const table = isColumns(x) ? tableOf(x) : matrixTable(x, { rows: target.length });
  if (table.rows !== target.length) {
    throw inputError(`target: has ${target.length} values, but x has ${table.rows} rows; both need one per row`);
  }
  if (table.columns.some(({ name }) => name === TARGET)) {
    throw inputError(`x: has a column ${TARGET}, as the target is called; name it as the target, or call it otherwise`);
  }
  return { ...table, columns: [...table.columns, columnFrom(TARGET, target)] };
}

const TYPED_ARRAY =
  'x: a typed array does not tell the length of its rows; pass an array of rows, or the target as an array of values';

const splitOf = ({ rows }: Table, target: Target, share: number, seed: number): Split =>
  share > 0
    ? holdOut(rows, share, target.task === 'regression' ? null : target.labels, seed)
    : { train: Int32Array.from({ length: rows }, (_, i) => i), held: new Int32Array(0) };

interface Fitted {
  table: Table;
  found: Target;
  encoding: EncodingOptions;
  prepared: Prepared;
  settings: EstimatorSettings;
  validation: number;
}

/** The model of a fit, in host memory. */
async function modelOf(
  gpu: Gpu,
  { table, found, encoding, prepared, settings, validation }: Fitted,
  { best }: EstimatorResult,
): Promise<Model> {
  const files = memoryFiles();
  await writeFit(gpu, files, {
    rows: { table, target: found },
    target: encoding.target,
    ...{ prepared, fitted: predictorOf(prepared, best, settings), settings },
    about: { settings: { task: found.task, validation, missing: encoding.missing, ...settings }, data: {} },
  });
  return openModel(files);
}
