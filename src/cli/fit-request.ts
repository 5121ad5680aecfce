/** What `fit` is asked for: flags checked against each other and the tables, before an adapter is opened. */

import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { withFile } from '../data/files.js';
import { readTable, type Table } from '../data/table.js';
import { arrayTable } from '../data/table-arrays.js';
import { inputError } from '../errors.js';
import type { ClassCode } from '../model/codes.js';
import { type FamilyName, type FamilySettings, familyOf } from '../ops/kernels/families.js';
import type { Bandwidth, EstimatorOptions } from '../rfm/estimator.js';
import type { MetricForm } from '../rfm/estimator-metric.js';
import type { ScoreName } from '../rfm/scores.js';
import { foldSplit, folds, holdOut, type Split } from '../rfm/split.js';
import type { RunConfig } from '../rfm/types.js';
import type { AdapterChoice } from '../runtime/adapter.js';
import type { EncodingOptions, Missing } from '../table/encoding.js';
import { columnOf, readTarget, readTargetAs, type Target, type Task } from '../table/target.js';
import type { OutputFlags } from './flags.js';

export interface FitFlags extends OutputFlags {
  target?: string;
  y?: string;
  task?: Task | 'auto';
  test?: string;
  validation?: number | string;
  folds?: number;
  drop?: string[];
  categories?: string[];
  missing?: Missing;
  delimiter?: string;
  kernel?: FamilyName;
  exponent?: number;
  norm?: number;
  power?: number;
  constantMix?: number;
  bandwidth?: Bandwidth;
  ridge?: number;
  ridgeForm?: 'absolute' | 'relative';
  metricForm?: MetricForm;
  iterations?: number;
  patience?: number;
  codes?: ClassCode;
  score?: ScoreName;
  seed?: number;
  agop?: RunConfig['agop'];
  agopSamples?: number;
  solver?: RunConfig['solver'];
  memoryLimit?: number;
  plan?: boolean;
  resume?: boolean;
  saveModel?: string;
  out?: string;
  adapter?: AdapterChoice;
  gpu?: string;
  /** A number: --tune; false: --no-tune. */
  tune?: number | boolean;
}

/** Settings as metrics.json has them. */
export interface FitConfig extends FamilySettings {
  table: string;
  target: string;
  task: Task;
  test: string | null;
  /** The share of rows that is held out, or the table with them; null: none. */
  validation: number | string | null;
  folds: number | null;
  missing: Missing;
  bandwidth: Bandwidth;
  ridge: number;
  ridgeForm: 'absolute' | 'relative';
  metricForm: MetricForm;
  iterations: number;
  patience: number;
  /** null: regression. */
  codes: ClassCode | null;
  score: ScoreName;
  seed: number;
  agop: RunConfig['agop'];
  agopSamples: number;
  solver: RunConfig['solver'];
  /** Trials of a search; null: none. */
  tune: number | null;
}

/** A table with what is predicted of its rows. */
export interface TargetTable {
  table: Table;
  target: Target;
}

export interface FitRequest {
  config: FitConfig;
  rows: TargetTable;
  /** Of --validation FILE. */
  validation: TargetTable | null;
  test: TargetTable | null;
  encoding: EncodingOptions;
  /** SHA-256 of the files, by what they are. */
  checksums: Record<string, string | null>;
  out: string;
  remarks: string[];
}

/** A table with its target, from --y where that is given. */
async function withTarget(path: string, flag: string, flags: FitFlags): Promise<Table> {
  const table = await readTable(path, flag, { delimiter: flags.delimiter });
  if (flags.y === undefined || flag !== '') return table;
  const targets = arrayTable(flags.y, '--y', 'y');
  if (targets.rows !== table.rows) {
    throw inputError(
      `--y ${flags.y}: has ${targets.rows} rows, but ${table.at} has ${table.rows}; both need one per row`,
    );
  }
  if (targets.columns.length > 1) {
    throw inputError(
      `--y ${flags.y}: has ${targets.columns.length} columns, expected one number a row; give one column`,
    );
  }
  return { ...table, columns: [...table.columns.filter(({ name }) => name !== 'y'), ...targets.columns] };
}

/**
 * Checks the flags of `fit` and reads its tables.
 * @throws input error for flags that contradict each other or the tables, and everything that the readers refuse.
 */
export async function readFitRequest(path: string, flags: FitFlags): Promise<FitRequest> {
  const table = await withTarget(path, '', flags);
  const target = targetName(table, flags);
  const { target: found, found: remark } = readTarget(table, target, flags.task ?? 'auto');
  const remarks = remark === null ? [] : [remark];
  for (const [flag, names] of [
    ['--drop', flags.drop ?? []],
    ['--categories', flags.categories ?? []],
  ] as const) {
    for (const name of names) columnOf(table, name, flag);
  }
  if (flags.drop?.includes(target)) throw inputError(`--drop ${target}: is the target; drop another column, or none`);
  const config = configOf(path, target, found, flags);
  const like = async (given: string | null, flag: string): Promise<TargetTable | null> => {
    if (given === null) return null;
    const other = await readTable(given, flag, { delimiter: flags.delimiter });
    return { table: other, target: readTargetAs(other, target, found) };
  };
  const validation = await like(typeof config.validation === 'string' ? config.validation : null, '--validation');
  const test = await like(config.test, '--test');
  checkRows(table, found, config);
  return {
    config,
    rows: { table, target: found },
    validation,
    test,
    encoding: {
      target,
      drop: flags.drop ?? [],
      categories: flags.categories ?? [],
      missing: config.missing,
    },
    checksums: {
      'training table': checksum(path, ''),
      'validation table': validation && checksum(String(config.validation), '--validation'),
      'test table': config.test === null ? null : checksum(config.test, '--test'),
      ...(flags.y !== undefined && { targets: checksum(flags.y, '--y') }),
    },
    out: flags.out ?? `results/fit-${basename(path).replace(/\.[^.]*$/, '')}`,
    remarks,
  };
}

function targetName(table: Table, { target, y }: FitFlags): string {
  if (target !== undefined) return target;
  if (y !== undefined) return 'y';
  const names = table.columns.map(({ name }) => name);
  throw inputError(`--target is missing; name the column to predict, for example --target ${names.at(-1)}`);
}

/**
 * The settings of a fit: what flags give, and the defaults of the rest.
 * @throws input error for flags that contradict each other or the task.
 */
export function configOf(path: string, target: string, { task }: Pick<Target, 'task'>, flags: FitFlags): FitConfig {
  const { kernel = 'laplace', exponent, norm, power, constantMix } = flags;
  const family: FamilySettings = {
    kernel,
    ...(exponent !== undefined && { exponent }),
    ...(norm !== undefined && { norm }),
    ...(power !== undefined && { power }),
    ...(constantMix !== undefined && { constantMix }),
  };
  familyOf(family).at(1);
  const regression = task === 'regression';
  if (flags.codes !== undefined && regression) {
    throw inputError(`--codes ${flags.codes}: a regression has no classes; drop it, or use --task multiclass`);
  }
  const score = flags.score ?? (regression ? 'rmse' : 'logLoss');
  if (['rmse', 'mae', 'r2'].includes(score) !== regression) {
    const some = regression ? 'rmse, mae or r2' : 'accuracy, log-loss, brier, auc or f1';
    throw inputError(`--score ${score}: is no score of a ${task} task; use ${some}`);
  }
  if (flags.folds !== undefined && flags.validation !== undefined) {
    throw inputError(`--folds ${flags.folds}: holds rows out by itself; drop --validation`);
  }
  if (flags.tune === true) throw inputError('--tune: its value is missing; use for example --tune 30');
  if (typeof flags.tune === 'number' && flags.folds !== undefined) {
    throw inputError('--tune: searches with one split; drop --folds, and use --validation for another share');
  }
  if (typeof flags.tune === 'number' && flags.validation === 0) {
    throw inputError('--tune: needs rows to score by; drop --validation 0');
  }
  const validation = flags.folds === undefined ? (flags.validation ?? 0.2) : null;
  return {
    ...{ table: path, target, task, test: flags.test ?? null },
    validation: validation === 0 ? null : validation,
    folds: flags.folds ?? null,
    missing: flags.missing ?? 'refuse',
    ...family,
    bandwidth: flags.bandwidth ?? { multiple: 1 },
    ridge: flags.ridge ?? 1e-3,
    ridgeForm: flags.ridgeForm ?? 'absolute',
    metricForm: flags.metricForm ?? 'full',
    iterations: flags.iterations ?? 5,
    patience: flags.patience ?? 3,
    codes: regression ? null : (flags.codes ?? 'one-hot'),
    score,
    seed: flags.seed ?? 0,
    agop: flags.agop ?? 'auto',
    agopSamples: flags.agopSamples ?? 0,
    solver: flags.solver ?? 'auto',
    tune: typeof flags.tune === 'number' ? flags.tune : null,
  };
}

/** @throws input error where rows, or those of a class, are too few for what is asked. */
function checkRows(table: Table, target: Target, { folds }: FitConfig): void {
  const parts = folds ?? 1;
  if (table.rows < Math.max(4, 2 * parts)) {
    const needed = folds === null ? 'at least 4' : `at least ${2 * folds} for --folds ${folds}`;
    throw inputError(`${table.at}: has ${table.rows} rows, expected ${needed}; give more rows`);
  }
  if (target.task === 'regression') return;
  const counts = target.classes.map((_, c) => target.labels.reduce((sum, label) => sum + (label === c ? 1 : 0), 0));
  const rarest = counts.indexOf(Math.min(...counts));
  if (counts[rarest] >= 2) return;
  throw inputError(
    `${table.at}: class ${target.classes[rarest]} of the target has a single row, expected at least 2, to learn from and to score by; remove it`,
  );
}

const checksum = (path: string, flag: string): string =>
  withFile(path.replace(/(\.npz):[^:]+$/i, '$1'), flag, ({ size, read }) => {
    const hash = createHash('sha256');
    const piece = new Uint8Array(2 ** 24);
    for (let at = 0; at < size; at += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, size - at));
      read(part, at);
      hash.update(part);
    }
    return hash.digest('hex');
  });

/** The rows that are trained on and held out: one split, or one for each fold. */
export function splitsOf({ config, rows: { table, target } }: FitRequest): Split[] {
  const labels = target.task === 'regression' ? null : target.labels;
  const all = Int32Array.from({ length: table.rows }, (_, i) => i);
  if (config.folds !== null) {
    const parts = folds(table.rows, config.folds, labels, config.seed);
    return Array.from({ length: config.folds }, (_, k) => foldSplit(parts, k));
  }
  if (typeof config.validation === 'number') return [holdOut(table.rows, config.validation, labels, config.seed)];
  return [{ train: all, held: new Int32Array(0) }];
}

/** What the estimator is told. `rows`: of the training rows, for a ridge relative to them. */
export const estimatorOptions = (config: FitConfig, rows: number, memoryLimit: number | null): EstimatorOptions => ({
  family: familyOf(config),
  bandwidth: config.bandwidth,
  ridge: config.ridgeForm === 'relative' ? config.ridge * rows : config.ridge,
  iterations: config.iterations,
  metricForm: config.metricForm,
  ...{ agop: config.agop, agopSamples: config.agopSamples, solver: config.solver },
  patience: config.patience,
  memoryLimit,
});
