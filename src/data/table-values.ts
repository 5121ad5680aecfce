/** Columns of tables from values as other programs' files have them. */

import { inputError } from '../errors.js';
import { checkNumbers, checkWhole, isMissing as isMissingText, readable, shownName } from '../table/checks.js';
import type { Column, Table } from '../table/types.js';

/** A column as it was read: null or undefined where a value is missing. */
export interface ReadColumn {
  name: string;
  values: readonly unknown[];
}

/**
 * A table of such columns: of numbers where all values are, else of texts, of which the same as in CSV stand for missing values;
 * dates are texts. Lists and structures, infinities, and whole numbers that float64 does not tell apart are refused where a column is used.
 */
export function tableOfValues(at: string, rows: number, read: readonly ReadColumn[]): Table {
  const rowName = (row: number): string => `row ${row + 1}`;
  const columns = read.map((one) =>
    readable(one.name, rows, () => {
      const column = columnOf(at, one, rowName);
      if (column.kind === 'text') return column;
      checkNumbers({ at, rowName }, column);
      checkWhole({ at, rowName }, column, (row) => typeof one.values[row] === 'bigint');
      return column;
    }),
  );
  return { at, rows, columns, rowName, remarks: [] };
}

const isMissing = (value: unknown): boolean => value === null || value === undefined;
const isNumber = (value: unknown): boolean => typeof value === 'number' || typeof value === 'bigint';

function columnOf(at: string, { name, values }: ReadColumn, rowName: (row: number) => string): Column {
  const wrong = values.findIndex((value) => typeof value === 'object' && value !== null && !(value instanceof Date));
  if (wrong >= 0) {
    throw inputError(
      `${at}: column ${shownName(name)}, ${rowName(wrong)}: holds lists or structures, expected numbers or texts; leave it out of the file`,
    );
  }
  if (values.every((value) => isMissing(value) || isNumber(value))) {
    return {
      name,
      kind: 'number',
      values: Float64Array.from(values, (value) => (isMissing(value) ? Number.NaN : Number(value))),
    };
  }
  const late = values.findIndex((value) => value instanceof Date && Number.isNaN(value.getTime()));
  if (late >= 0) {
    throw inputError(
      `${at}: column ${shownName(name)}, ${rowName(late)}: holds a date that is none; correct it, or leave the column out of the file`,
    );
  }
  const days = values.every((value) => !(value instanceof Date) || value.getTime() % DAY === 0);
  const text = (value: unknown): string | null => {
    if (value instanceof Date) return dateText(value, days);
    const cell = String(value).trim();
    return isMissingText(cell) ? null : cell;
  };
  return { name, kind: 'text', values: values.map((value) => (isMissing(value) ? null : text(value))) };
}

/** Milliseconds. */
const DAY = 86_400_000;

/** As pandas writes them to CSV, so that both files have the same: days alone, or with the time, of seconds where they are whole. */
function dateText(date: Date, days: boolean): string {
  const [day, time] = date.toISOString().slice(0, -1).split('T');
  return days ? day : `${day} ${time.replace('.000', '')}`;
}
