/** What is wrong with a column. */

import { inputError } from '../errors.js';
import type { NumberColumn, Table } from './table-types.js';

/** A name or a cell in a message: on one line, and not too long. */
export function shownName(name: string): string {
  const line = JSON.stringify(name);
  return line.length > 60 ? `${line.slice(0, 59)}…"` : line;
}

/** Numbers beyond are not all told apart in float64. */
export const LARGEST_WHOLE = Number.MAX_SAFE_INTEGER;

/**
 * Checks the numbers of a column.
 * @throws input error for an infinity, and for whole numbers that float64 does not tell apart.
 */
export function checkNumbers({ at, rowName }: Pick<Table, 'at' | 'rowName'>, { name, values }: NumberColumn): void {
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i]) || Number.isNaN(values[i])) continue;
    throw inputError(
      `${at}: column ${shownName(name)}, ${rowName(i)}: is infinite; remove the row, or drop the column with --drop`,
    );
  }
  const huge = values.findIndex((value) => Math.abs(value) > LARGEST_WHOLE && Number.isInteger(value));
  if (huge < 0 || values.some((value) => Number.isFinite(value) && !Number.isInteger(value))) return;
  throw inputError(
    `${at}: column ${shownName(name)}, ${rowName(huge)}: holds whole numbers beyond 2^53, which float64 does not tell apart, such as identifiers; drop the column with --drop`,
  );
}
