/** How columns of a table become numbers: learned from the training rows, and kept with the model. */

import { inputError, type RfmError, say, the } from '../errors.js';
import { NUMBER, placeAmong, shownName, usable } from './checks.js';
import { columnOf } from './target.js';
import type { Column, Table } from './types.js';

/** A column of numbers is standardised; of texts there is a feature for each level, 1 where a row has it. */
export type ColumnEncoding =
  | {
      name: string;
      kind: 'number';
      mean: number;
      deviation: number /** In place of a missing value. */;
      fill: number | null;
    }
  | { name: string; kind: 'category'; levels: string[]; fill: string | null };

/** What is done to missing values. */
export type Missing = 'refuse' | 'mean' | 'median';

export interface EncodingOptions {
  /** The column that is predicted. */
  target: string;
  /** Columns that are to be no features. */
  drop: readonly string[];
  /** Columns of numbers that are categories. */
  categories: readonly string[];
  missing: Missing;
}

/** @throws input error for a column that the table lacks, and for a target that is to be dropped. */
export function checkEncoding(table: Table, { target, drop, categories }: EncodingOptions): void {
  for (const name of drop) columnOf(table, name, 'drop');
  for (const name of categories) columnOf(table, name, 'categories');
  if (drop.includes(target))
    throw inputError(say`${the.drop} ${target}: is the target`, 'drop another column, or none');
  if (categories.includes(target)) {
    throw inputError(
      say`${the.categories} ${target}: is the target, and features alone are categories`,
      say`use ${the.task} multiclass for a target of classes`,
    );
  }
  const both = categories.find((name) => drop.includes(name));
  if (both !== undefined) {
    throw inputError(say`${the.categories} ${both}: ${the.drop} leaves it out`, 'name it once');
  }
}

/** Features of an encoding, by name: `age`, `city=Paris`. */
export const featureNames = (encoding: readonly ColumnEncoding[]): string[] =>
  encoding.flatMap((column) =>
    column.kind === 'number' ? [column.name] : column.levels.map((level) => `${column.name}=${level}`),
  );

/** Texts with more levels than this are no categories. */
const MOST_LEVELS = 200;

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/**
 * Learns an encoding from the training rows `ids` of a table.
 * @returns it, and what was dropped or changed, a sentence each.
 * @throws input error for a missing value that is to be refused, and where no feature is left.
 */
export function learnEncoding(
  table: Table,
  ids: ArrayLike<number>,
  options: EncodingOptions,
): { encoding: ColumnEncoding[]; changes: string[] } {
  const encoding: ColumnEncoding[] = [];
  const changes: string[] = [];
  for (const name of options.drop) changes.push(`${shownName(name)} was dropped, as asked for`);
  for (const given of table.columns) {
    if (given.name === options.target || options.drop.includes(given.name)) continue;
    usable(given);
    const column = options.categories.includes(given.name) ? asText(given) : given;
    const found =
      column.kind === 'number'
        ? ofNumbers(table, column, ids, options.missing)
        : ofTexts(table, column, ids, options.missing);
    if (found.change !== null) changes.push(`${shownName(given.name)} ${found.change}`);
    if (found.encoding) encoding.push(found.encoding);
  }
  if (encoding.length === 0) {
    const why =
      changes.length > 0 ? `no column is left to learn from (${changes.join('; ')})` : 'has no column to learn from';
    throw inputError(`${table.at}: ${why}; give columns whose values differ`);
  }
  return { encoding, changes };
}

const asText = (column: Column): Column & { kind: 'text' } =>
  column.kind === 'text'
    ? column
    : {
        name: column.name,
        kind: 'text',
        values: Array.from(column.values, (value) => (Number.isNaN(value) ? null : String(value))),
      };

interface Learned {
  encoding: ColumnEncoding | null;
  change: string | null;
}

const missingValue = (
  { at, rowName }: Table,
  { name, values }: Pick<Column, 'name' | 'values'>,
  row: number,
  when: 'fitted' | 'applied',
): RfmError => {
  const count = Array.from<number | string | null>(values).filter(
    (value) => value === null || Number.isNaN(value),
  ).length;
  return inputError(
    `${at}: column ${shownName(name)}, ${rowName(row)}: has no value (${count} of its rows have none)`,
    when === 'fitted'
      ? say`use ${the.missing} mean or median, or drop the column with ${the.drop}`
      : say`fill it in, or fit with ${the.missing} mean or median, or without the column`,
  );
};

/** The first row of a table, among those of `ids`, without a value. */
const firstAbsent = (ids: ArrayLike<number>, isAbsent: (id: number) => boolean): number =>
  Array.from(ids)
    .sort((a, b) => a - b)
    .find(isAbsent) ?? 0;

function ofNumbers(
  table: Table,
  { name, values }: Column & { kind: 'number' },
  ids: ArrayLike<number>,
  missing: Missing,
): Learned {
  const all = Array.from(ids, (id) => values[id]);
  const present = all.filter((value) => !Number.isNaN(value));
  const absent = all.length - present.length;
  if (present.length === 0) return { encoding: null, change: 'was dropped: it has no values' };
  if (absent > 0 && missing === 'refuse')
    throw missingValue(
      table,
      { name, values },
      firstAbsent(ids, (id) => Number.isNaN(values[id])),
      'fitted',
    );
  const fill = missing === 'median' ? medianOf(present) : meanOf(present);
  const filled = all.map((value) => (Number.isNaN(value) ? fill : value));
  const mean = meanOf(filled);
  const deviation = Math.sqrt(
    filled.reduce((sum, value) => sum + ((value - mean) / Math.max(1, filled.length - 1)) * (value - mean), 0),
  );
  if (filled.every((value) => value === filled[0]))
    return { encoding: null, change: `was dropped: it is ${filled[0]} in every training row` };
  if (!(deviation > 0 && Number.isFinite(deviation))) {
    throw inputError(`${table.at}: column ${shownName(name)}: its values spread beyond the range of float64; scale it`);
  }
  const change =
    absent > 0 ? `had no value in ${plural(absent, 'training row')}: ${fill} (the ${missing}) took its place` : null;
  return { encoding: { name, kind: 'number', mean, deviation, fill: missing === 'refuse' ? null : fill }, change };
}

/** From distances to the first value, so that nothing is lost where all are far from 0. */
function meanOf(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += (value - values[0]) / values.length;
  return values[0] + sum;
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function ofTexts(
  table: Table,
  { name, values }: Column & { kind: 'text' },
  ids: ArrayLike<number>,
  missing: Missing,
): Learned {
  const counts = new Map<string, number>();
  let absent = 0;
  for (const value of Array.from(ids, (id) => values[id])) {
    if (value === null) absent++;
    else counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const levels = [...counts.keys()].sort((a, b) => (a < b ? -1 : 1));
  const present = ids.length - absent;
  if (absent > 0 && missing === 'refuse')
    throw missingValue(
      table,
      { name, values },
      firstAbsent(ids, (id) => values[id] === null),
      'fitted',
    );
  if (levels.length === 0) return { encoding: null, change: 'was dropped: it has no values' };
  if (levels.length === 1)
    return { encoding: null, change: `was dropped: it is ${shownName(levels[0])} in every training row` };
  if (levels.length > MOST_LEVELS || (levels.length > 10 && levels.length > present / 2)) {
    return { encoding: null, change: `was dropped: its ${levels.length} texts in ${present} rows are no categories` };
  }
  const fill = levels.reduce(
    (best, level) => ((counts.get(level) ?? 0) > (counts.get(best) ?? 0) ? level : best),
    levels[0],
  );
  const filled =
    absent > 0 ? `; ${shownName(fill)}, the most frequent, took the place of ${plural(absent, 'missing value')}` : '';
  return {
    encoding: { name, kind: 'category', levels, fill: missing === 'refuse' ? null : fill },
    change: `became ${levels.length} features, one for each level${filled}`,
  };
}

export interface Encoded {
  /** rows × features, row-major. */
  x: Float32Array;
  rows: number;
  cols: number;
  /** Levels that no training row had, which are 0 in every feature of their column: how many values and the last, by column. */
  unknown: Map<string, { count: number; last: string }>;
  /** What took the place of missing values: how often, by column. */
  filled: Map<string, { count: number; fill: string }>;
}

/** What is to be said of rows that a model was not fitted to, `where`: values that no training row has, and missing ones. */
export const encodingRemarks = ({ unknown, filled }: Pick<Encoded, 'unknown' | 'filled'>, where: string): string[] => [
  ...[...unknown].map(
    ([name, { count, last }]) =>
      `${shownName(name)} has ${plural(count, 'value')} in ${where} that no training row has, as ${shownName(last)}: all its features are 0 there`,
  ),
  ...[...filled].map(
    ([name, { count, fill }]) => `${shownName(name)} has no value in ${count} of ${where}: ${fill} took its place`,
  ),
];

/**
 * Encodes rows `ids` of a table (all, if not given).
 * @throws input error for a column that is missing or of another kind, a value that is missing and has nothing in its place, and one
 * beyond the range of float32.
 */
export function encodeRows(table: Table, encoding: readonly ColumnEncoding[], ids?: ArrayLike<number>): Encoded {
  const rows = ids?.length ?? table.rows;
  const rowOf = (i: number): number => ids?.[i] ?? i;
  const cols = featureNames(encoding).length;
  const x = new Float32Array(rows * cols);
  const unknown: Encoded['unknown'] = new Map();
  const filled: Encoded['filled'] = new Map();
  const fillIn = (name: string, fill: string): void => {
    filled.set(name, { count: (filled.get(name)?.count ?? 0) + 1, fill });
  };
  const columns = new Map(table.columns.map((column) => [column.name, column]));
  let first = 0;
  for (const one of encoding) {
    const column = columns.get(one.name);
    if (!column) throw noColumn(table, one.name);
    usable(column);
    if (one.kind === 'number') {
      encodeNumbers(
        table,
        numbersOf(table, column),
        one,
        (i, value, isFilled) => {
          x[i * cols + first] = value;
          if (isFilled) fillIn(one.name, String(one.fill));
        },
        { rows, rowOf },
      );
      first += 1;
      continue;
    }
    const place = placeAmong(one.levels);
    const { values } = asText(column);
    for (let i = 0; i < rows; i++) {
      const level = values[rowOf(i)] ?? one.fill;
      if (level === null) throw missingValue(table, { name: one.name, values }, rowOf(i), 'applied');
      if (values[rowOf(i)] === null) fillIn(one.name, shownName(level));
      const at = place(level);
      if (at >= 0) x[i * cols + first + at] = 1;
      else unknown.set(one.name, { count: (unknown.get(one.name)?.count ?? 0) + 1, last: level });
    }
    first += one.levels.length;
  }
  return { x, rows, cols, unknown, filled };
}

const noColumn = ({ at, columns }: Table, name: string): RfmError => {
  const names = columns.slice(0, 8).map((column) => shownName(column.name));
  return inputError(
    `${at}: has no column ${shownName(name)}, which the model was fitted with (found: ${names.join(', ')}${columns.length > 8 ? ', …' : ''}); give the same columns`,
  );
};

function numbersOf({ at, rowName }: Table, column: Column): Float64Array {
  if (column.kind === 'number') return column.values;
  const row = column.values.findIndex((value) => value !== null && !NUMBER.test(value));
  throw inputError(
    `${at}: column ${shownName(column.name)}, ${rowName(Math.max(0, row))}: is ${shownName(column.values[Math.max(0, row)] ?? '')}, expected a number as in the training rows; correct it`,
  );
}

function encodeNumbers(
  table: Table,
  values: Float64Array,
  { name, mean, deviation, fill }: ColumnEncoding & { kind: 'number' },
  store: (i: number, value: number, isFilled: boolean) => void,
  { rows, rowOf }: { rows: number; rowOf: (i: number) => number },
): void {
  for (let i = 0; i < rows; i++) {
    const given = values[rowOf(i)];
    if (Number.isNaN(given) && fill === null) throw missingValue(table, { name, values }, rowOf(i), 'applied');
    const value = ((Number.isNaN(given) ? (fill ?? 0) : given) - mean) / deviation;
    if (!(Math.abs(value) < FARTHEST)) {
      throw inputError(
        `${table.at}: column ${shownName(name)}, ${table.rowName(rowOf(i))}: ${given} is ${value.toExponential(1)} standard deviations from the training rows' mean; check its unit`,
      );
    }
    store(i, value, Number.isNaN(given));
  }
}

/** The square of more standard deviations is beyond float32. */
const FARTHEST = 1e15;
