/** Tables from the host's arrays: columns by name, or a matrix whose columns are called x0, x1, … as those of a .npy file are. */

import { inputError } from '../errors.js';
import { checkNumbers, readable } from '../table/checks.js';
import type { Column, Table } from '../table/types.js';
import { shapedRows, type Values } from './arrays.js';

/** Columns of a table by name, of numbers or of texts; NaN or null where a value is missing. */
export type TableColumns = Readonly<Record<string, ArrayLike<number> | readonly (string | null)[]>>;

export const isColumns = (x: Values | TableColumns): x is TableColumns => !ArrayBuffer.isView(x) && !Array.isArray(x);

/** @throws input error for columns of different lengths, and an infinity. */
export function tableOf(given: TableColumns): Table {
  const entries = Object.entries(given);
  const rows = entries[0]?.[1].length ?? 0;
  const columns = entries.map(([name, values]): Column => {
    if (values.length === rows) return columnFrom(name, values);
    throw inputError(`x: column ${name} has ${values.length} values, but ${entries[0][0]} has ${rows}; give one a row`);
  });
  return checked({ rows, columns });
}

/**
 * A matrix, rows × columns; NaN stands for a value that is missing.
 * @throws input error where rows differ in length, or are not as many or as long as `size` says, and for an infinity.
 */
export function matrixTable(values: Values, size: { rows?: number; cols?: number }): Table {
  const { x, rows, cols } = shapedRows('x', values, size);
  const columns = Array.from(
    { length: cols },
    (_, j): Column => ({
      name: `x${j}`,
      kind: 'number',
      values: Float64Array.from({ length: rows }, (_, i) => x[i * cols + j]),
    }),
  );
  return checked({ rows, columns });
}

/** A column of numbers, or of texts where there is one among them. */
export function columnFrom(name: string, values: TableColumns[string]): Column {
  const all = Array.from(values as ArrayLike<number | string | null>);
  return all.some((value) => typeof value === 'string')
    ? { name, kind: 'text', values: all.map((value) => (value === null ? null : String(value))) }
    : {
        name,
        kind: 'number',
        values: Float64Array.from(all, (value) => (value === null ? Number.NaN : Number(value))),
      };
}

function checked({ rows, columns }: Pick<Table, 'rows' | 'columns'>): Table {
  const table = { at: 'x', rows, rowName: (row: number) => `row ${row} (from 0)`, remarks: [] };
  const own = columns.map((column) =>
    readable(column.name, rows, () => {
      if (column.kind === 'number') checkNumbers(table, column);
      return column;
    }),
  );
  return { ...table, columns: own };
}
