/** Class labels in .npy files, in the forms that other programs write. */

import { inputError } from '../errors.js';
import { place } from './files.js';
import { type NpyArray, readNpy, toMatrix } from './npy.js';
import { shapeText } from './npy-header.js';

/** Labels as in the file, and the number of target columns (null for a file of labels). */
export interface ClassLabels {
  values: Int32Array;
  columns: number | null;
}

/**
 * Reads one class a row: labels (non-negative integers, or −1 and 1) of length n, n × 1 or 1 × n, or an n × C matrix of ±1
 * or 0/1, where the class is the column of the row's only 1. Booleans count as 0 and 1.
 * @param flagName the flag that named the file, `--y`.
 * @param rows number of samples, by which a single row of labels is told from a single row of targets.
 * @throws input error as readNpy, and for soft targets and other values, with their row.
 */
export function readClasses(path: string, flagName: string, rows: number): ClassLabels {
  const array = readNpy(path, { flag: flagName });
  const at = place(flagName, path);
  const [first, cols = 1] = array.shape;
  if (first === 1 && cols === rows && rows > 1) array.shape = [cols];
  return array.shape.length === 1 || cols === 1
    ? { values: toLabels(array, at), columns: null }
    : { values: toColumns(array, at), columns: cols };
}

function toLabels(array: NpyArray, at: string): Int32Array {
  const [rows, cols = 1] = array.shape;
  if (cols !== 1)
    throw inputError(`${at}: has the shape ${shapeText(array.shape)}, expected one label a row: (${rows},)`);
  const given = Array.from<number | bigint, number>(array.data, Number);
  // A negative label beside others often marks rows without one (scikit-learn's -1).
  const signs = given.every((value) => value === 1 || value === -1);
  return Int32Array.from(given, (value, i) => {
    if (signs || (Number.isInteger(value) && value >= 0 && value <= 0x7fffffff)) return value;
    const remedy = Number.isInteger(value)
      ? 'leave out rows without a label, and number the rest with np.unique(a, return_inverse=True)[1]'
      : 'give one class a row (any numbers: --y of layer and rfm)';
    throw inputError(
      `${at}: label ${value} in row ${i} (counted from 0), expected integers from 0 to 2147483647, or just -1 and 1; ${remedy}`,
    );
  });
}

/** The column of each row's only 1, the other entries being −1, or 0. */
function toColumns(array: NpyArray, at: string): Int32Array {
  const { rows, cols, data } = toMatrix(array, at);
  const other = data.some((entry: number) => entry === -1) ? -1 : 0;
  return Int32Array.from({ length: rows }, (_, row) => {
    const entries = data.subarray(row * cols, (row + 1) * cols);
    const wrong = entries.findIndex((entry: number) => entry !== 1 && entry !== other);
    if (wrong >= 0) {
      throw inputError(
        `${at}: ${entries[wrong]} in row ${row}, column ${wrong} (counted from 0), expected labels, ±1 or 0/1: the ` +
          'collapse of classes needs one class a row; give a.argmax(axis=1) (soft targets: --y of layer and rfm)',
      );
    }
    const label = entries.indexOf(1);
    if (label < 0 || entries.lastIndexOf(1) !== label) {
      const count = entries.filter((entry: number) => entry === 1).length;
      throw inputError(
        `${at}: row ${row} (counted from 0) has ${count} entries +1, expected exactly one, at its class`,
      );
    }
    return label;
  });
}
