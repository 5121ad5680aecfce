/** What `fit` is asked for: flags checked against each other and the tables, before an adapter is opened. */

import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { withFile } from '../data/files.js';
import { readTable, type Table } from '../data/table.js';
import { arrayColumn } from '../data/table-arrays.js';
import { inputError } from '../errors.js';
import type { TablesToFit, TargetTable } from '../model/fit-rows.js';
import { type EstimatorChoices, type EstimatorSettings, estimatorSettings } from '../model/fit-settings.js';
import { foldSplit, folds, holdOut, type Split } from '../rfm/split.js';
import { LEAF_ROWS } from '../rfm/tree.js';
import type { AdapterChoice } from '../runtime/adapter.js';
import { checkEncoding, type Missing } from '../table/encoding.js';
import { checkRows, readTarget, readTargetAs, type Target, type Task } from '../table/target.js';
import type { OutputFlags } from './flags.js';

export interface FitFlags extends OutputFlags, EstimatorChoices {
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
  leafRows?: number;
  splitTemperature?: number | 'auto';
  memoryLimit?: number;
  plan?: boolean;
  resume?: boolean;
  saveModel?: string;
  out?: string;
  adapter?: AdapterChoice;
  gpu?: string;
  /** true: --tune without its number. */
  tune?: number | true;
  /** false: --no-tune. */
  variants?: boolean;
}

/** Settings as metrics.json has them. */
export interface FitConfig extends EstimatorSettings {
  table: string;
  target: string;
  task: Task;
  test: string | null;
  /** The share of rows that is held out, or the table with them; null: none. */
  validation: number | string | null;
  folds: number | null;
  missing: Missing;
  /** Rows of a leaf at most; null: as many as usual, or as fit. */
  leafRows: number | null;
  /** Of soft routing between leaves; 'auto': by the score. */
  splitTemperature: number | 'auto';
  /** Trials of a search; null: none. */
  tune: number | null;
}

export interface FitRequest extends TablesToFit {
  config: FitConfig;
  /** SHA-256 of the files, by what they are. */
  checksums: Record<string, string | null>;
  out: string;
  remarks: string[];
}

/** A table with its target, from --y where that is given. */
async function withTarget(path: string, flags: FitFlags): Promise<Table> {
  const table = await readTable(path, '', { delimiter: flags.delimiter });
  if (flags.y === undefined) return table;
  if (flags.target !== undefined) {
    throw inputError(`--y ${flags.y}: found --target ${flags.target} as well; use one of the two`);
  }
  if (table.columns.some(({ name }) => name === 'y')) {
    throw inputError(
      `--y ${flags.y}: ${table.at} has a column "y" itself; use --target y, or give the column another name`,
    );
  }
  const { rows, column } = arrayColumn(flags.y, '--y', 'y');
  if (rows !== table.rows) {
    throw inputError(`--y ${flags.y}: has ${rows} rows, but ${table.at} has ${table.rows}; both need one per row`);
  }
  return { ...table, columns: [...table.columns, column] };
}

/**
 * Checks the flags of `fit` and reads its tables.
 * @throws input error for flags that contradict each other or the tables, and everything that the readers refuse.
 */
export async function readFitRequest(path: string, flags: FitFlags): Promise<FitRequest> {
  const table = await withTarget(path, flags);
  const target = targetName(table, flags);
  const { target: found, found: remark } = readTarget(table, target, flags.task ?? 'auto');
  const remarks = remark === null ? [] : [`${remark}; --task says otherwise`];
  const encoding = {
    target,
    drop: flags.drop ?? [],
    categories: flags.categories ?? [],
    missing: flags.missing ?? 'refuse',
  } as const;
  checkEncoding(table, encoding);
  const config = configOf(path, target, found, flags);
  const texts = table.columns.filter(({ kind }) => kind === 'text').map(({ name }) => name);
  const like = async (given: string | null, flag: string): Promise<TargetTable | null> => {
    if (given === null) return null;
    const other = await readTable(given, flag, { delimiter: flags.delimiter, texts });
    if (flags.y !== undefined && other.columns.every(({ name }) => name !== target)) {
      throw inputError(
        `${flag} ${given}: has no column "y", and --y has targets of the training rows alone; give a table with it, or hold rows out with --validation 0.2`,
      );
    }
    return { table: other, target: readTargetAs(other, target, found) };
  };
  const validation = await like(typeof config.validation === 'string' ? config.validation : null, '--validation');
  const test = await like(config.test, '--test');
  checkRows(table, found, config.folds);
  checkTree(table, config);
  return {
    config,
    rows: { table, target: found },
    validation,
    test,
    encoding,
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
  const settings = estimatorSettings(flags, task);
  checkScoring(flags);
  const validation = flags.folds === undefined ? (flags.validation ?? 0.2) : null;
  return {
    ...{ table: path, target, task, test: flags.test ?? null },
    validation: validation === 0 ? null : validation,
    folds: flags.folds ?? null,
    missing: flags.missing ?? 'refuse',
    ...settings,
    ...{ leafRows: flags.leafRows ?? null, splitTemperature: flags.splitTemperature ?? 'auto' },
    tune: typeof flags.tune === 'number' ? flags.tune : null,
  };
}

/** @throws input error for ways to score by that exclude each other. */
function checkScoring(flags: FitFlags): void {
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
}

/** @throws input error for folds of more rows than one machine takes. */
function checkTree({ rows }: Table, { leafRows, folds }: FitConfig): void {
  const most = leafRows ?? LEAF_ROWS;
  if (folds === null || rows <= most) return;
  throw inputError(
    `--folds ${folds}: works with a single machine, but ${rows} rows are more than the ${most} of a leaf and become a tree; drop --folds, or use --leaf-rows ${rows}`,
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
