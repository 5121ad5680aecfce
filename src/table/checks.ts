/** What is wrong with a column. */

import { inputError, RfmError, say, the } from '../errors.js';
import type { Column, NumberColumn, Table } from './types.js';

/** A text that is a number. */
export const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A name or a cell in a message: on one line, and not too long. */
export function shownName(name: string): string {
  const line = JSON.stringify(name);
  return line.length > 60 ? `${line.slice(0, 59)}…"` : line;
}

/**
 * Finds a text among names: its number, or −1. Where all names are numbers as they are printed, a number counts however it is
 * written (1, 1.0, 01), and where all are true and false, either in any case. A date is found with its midnight and without.
 */
export function placeAmong(names: readonly string[]): (text: string) => number {
  const places = new Map(names.map((name, i) => [name, i]));
  const areNumbers = names.every((name) => NUMBER.test(name) && String(Number(name)) === name);
  const areBooleans = names.every((name) => /^(true|false)$/i.test(name));
  const inAnyCase = new Map(areBooleans ? names.map((name, i) => [name.toLowerCase(), i]) : []);
  const dates = new Map(names.flatMap((name, i) => (DATE.test(name) ? [[dateKey(name), i]] : [])));
  return (text) => {
    const number = areNumbers && NUMBER.test(text) ? places.get(String(Number(text))) : undefined;
    const date = DATE.test(text) ? dates.get(dateKey(text)) : undefined;
    return places.get(text) ?? number ?? inAnyCase.get(text.toLowerCase()) ?? date ?? -1;
  };
}

/** What stands for a value that is missing, in lower case. */
const MISSING = new Set(['', 'na', 'n/a', 'nan', 'null', 'none', '?', '#n/a']);

export const isMissing = (cell: string): boolean => MISSING.has(cell.toLowerCase());

/**
 * The column, to be used.
 * @throws input error where nothing can be made of it.
 */
export function usable<C extends Column>(column: C): C {
  if (column.refusal) throw column.refusal;
  return column;
}

/** A column as it is read, or, of one that is refused, without values: a column that nobody uses may be as it is. */
export function readable(name: string, rows: number, read: () => Column): Column {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RfmError)) throw error;
    return { name, kind: 'text', values: Array.from({ length: rows }, () => null), refusal: error };
  }
}

const DATE = /^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?$/;

/** The same for all ways to write a date: without midnight, seconds of 0, and the letters of ISO 8601. */
const dateKey = (text: string): string =>
  text
    .replace('T', ' ')
    .replace(/Z$/, '')
    .replace(/\.0+$/, '')
    .replace(/( \d\d:\d\d):00$/, '$1')
    .replace(/ 00:00$/, '');

/** @throws input error for an infinity in a column. */
export function checkNumbers({ at, rowName }: Pick<Table, 'at' | 'rowName'>, { name, values }: NumberColumn): void {
  const row = values.findIndex((value) => !Number.isFinite(value) && !Number.isNaN(value));
  if (row < 0) return;
  throw inputError(
    `${at}: column ${shownName(name)}, ${rowName(row)}: is infinite`,
    say`remove the row, or drop the column with ${the.drop}`,
  );
}

/**
 * @param wholeAt whether the value of a row is written as a whole number.
 * @throws input error for whole numbers that float64 does not tell apart.
 */
export function checkWhole(
  { at, rowName }: Pick<Table, 'at' | 'rowName'>,
  { name, values }: NumberColumn,
  wholeAt: (row: number) => boolean,
): void {
  const row = values.findIndex((value, i) => Math.abs(value) > Number.MAX_SAFE_INTEGER && wholeAt(i));
  if (row < 0) return;
  throw inputError(
    `${at}: column ${shownName(name)}, ${rowName(row)}: holds whole numbers beyond 2^53, which float64 does not tell apart, such as identifiers`,
    say`drop the column with ${the.drop}`,
  );
}
