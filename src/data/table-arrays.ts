/** Tables from NumPy arrays, whose columns have no names: they are x0, x1, … */

import { inputError } from '../errors.js';
import { checkNumbers, checkWhole, readable, usable } from '../table/checks.js';
import type { Column, Table } from '../table/types.js';
import { place } from './files.js';
import { readNpy } from './npy.js';

/** Whether a file is read as an array, by its name. */
export const isArray = (path: string): boolean => /\.(npy|npz)(:[^:/\\]+)?$/i.test(path);

/**
 * One number a row, as a column.
 * @throws input error as `arrayTable`, and for several columns.
 */
export function arrayColumn(path: string, flag: string, name: string): { rows: number; column: Column } {
  const { at, rows, columns } = arrayTable(path, flag, name);
  if (columns.length === 1) return { rows, column: usable(columns[0]) };
  throw inputError(`${at}: has ${columns.length} columns, expected one number a row; give one column`);
}

/**
 * A matrix, rows × columns, as a table.
 * @throws input error for another array than one of real numbers in one or two dimensions.
 */
export function arrayTable(path: string, flag: string, name = 'x'): Table {
  const at = place(flag, path);
  const { shape, data } = readNpy(path, { flag });
  if (shape.length === 0) throw inputError(`${at}: holds a single number, expected rows × columns`);
  const [rows, cols = 1] = shape;
  const values = Array.from({ length: cols }, () => new Float64Array(rows));
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) values[j][i] = Number(data[i * cols + j]);
  const rowName = (row: number): string => `row ${row + 1}`;
  const columns = values.map((numbers, j): Column => {
    const column = {
      name: cols === 1 && name !== 'x' ? name : `${name}${j}`,
      kind: 'number' as const,
      values: numbers,
    };
    return readable(column.name, rows, () => {
      checkNumbers({ at, rowName }, column);
      checkWhole({ at, rowName }, column, (row) => typeof data[row * cols + j] === 'bigint');
      return column;
    });
  });
  return { at, rows, columns, rowName, remarks: [] };
}
