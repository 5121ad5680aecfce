/** From numbers of the host to matrices of the device and back. */

import { inputError } from '../errors.js';
import type { HostRows, Numbers } from '../numbers.js';
import type { Gpu } from '../runtime/gpu.js';
import { download, type Matrix, upload } from '../runtime/matrix.js';

/** Rows of numbers: an array of rows, or the numbers of all rows one after the other. */
export type Values = Numbers | readonly ArrayLike<number>[];

/**
 * A new matrix on the device with these numbers, rounded to float32. Free it with `release`.
 * @param values an array of rows of equal length, or rows × cols numbers, row by row.
 * @param cols numbers in a row; needed where `values` is one typed array.
 * @throws `RfmError` of kind 'input' where rows differ in length, or a number is NaN or beyond float32 (±3.4e38);
 * 'doesNotFit' where a buffer of the device cannot hold them.
 */
export function matrix(gpu: Gpu, values: Values, cols?: number): Matrix {
  if (ArrayBuffer.isView(values) && cols === undefined) {
    throw inputError('matrix: a typed array does not tell the length of its rows; pass the number of columns');
  }
  const rows = hostRows('matrix', values, { cols });
  return upload(gpu, rows.rows, rows.cols, rows.x);
}

/**
 * Waits for the device and reads a matrix back.
 * @returns its numbers row by row (rows × cols), without padding.
 * @throws `RfmError` of kind 'internal' where the matrix was released, 'deviceLost' where the device is gone.
 */
export const toArray = (gpu: Gpu, source: Matrix): Promise<Float32Array> => download(gpu, source);

/** Numbers of a side, as far as they are known. */
interface Size {
  rows?: number;
  cols?: number | undefined;
}

/**
 * Values as row-major numbers, whatever these are. Of a typed array either `rows` or `cols` says where a row ends.
 * @param name what messages call them.
 * @throws input error where rows differ in length, or are not as many or as long as `size` says.
 */
export const shapedRows = (name: string, values: Values, size: Size): HostRows =>
  ArrayBuffer.isView(values) ? flat(name, values, size) : nested(name, values, size);

/**
 * The same, of numbers that float32 holds.
 * @throws input error as `shapedRows`, and for a number that is not finite, or beyond float32.
 */
export function hostRows(name: string, values: Values, size: Size): HostRows {
  const found = shapedRows(name, values, size);
  const wrong = found.x.findIndex((value) => !Number.isFinite(Math.fround(value)));
  if (wrong >= 0) {
    const [row, col] = [Math.floor(wrong / found.cols), wrong % found.cols];
    throw inputError(
      `${name}: the number at row ${row}, column ${col} (from 0) is ${found.x[wrong]}, expected finite numbers within float32's ±3.4e38`,
    );
  }
  return found;
}

function flat(name: string, x: Numbers, { rows, cols }: Size): HostRows {
  const size = cols ?? x.length / (rows ?? 0);
  if (!Number.isInteger(size) || size < 1 || x.length === 0 || x.length % size !== 0) {
    const asked = cols === undefined ? `${rows} rows` : `rows of ${cols}`;
    throw inputError(`${name}: ${x.length} numbers do not make ${asked}; check both`);
  }
  return { x, rows: x.length / size, cols: size };
}

function nested(name: string, values: Exclude<Values, Numbers>, size: Size): HostRows {
  const cols = size.cols ?? values[0]?.length ?? 0;
  if (values.length === 0 || cols === 0) throw inputError(`${name}: found no numbers, expected at least one row`);
  if (size.rows !== undefined && size.rows !== values.length) {
    throw inputError(`${name}: found ${values.length} rows, expected ${size.rows}`);
  }
  const x = new Float64Array(values.length * cols);
  values.forEach((row, i) => {
    if (row.length !== cols) {
      throw inputError(`${name}: row ${i} (from 0) has ${row.length} numbers, expected ${cols} as in the others`);
    }
    for (let j = 0; j < cols; j++) x[i * cols + j] = row[j];
  });
  return { x, rows: values.length, cols };
}

/** Each is an output, a column of targets. */
const MOST_CLASSES = 2 ** 16;

/**
 * Classes 0 … C − 1, one a row.
 * @param name what messages call them.
 */
export function hostLabels(name: string, labels: ArrayLike<number>): Int32Array {
  const out = Int32Array.from(labels);
  const wrong = out.findIndex((label, i) => label !== labels[i] || label < 0 || label >= MOST_CLASSES);
  if (wrong >= 0) {
    throw inputError(
      `${name}: the label of row ${wrong} (from 0) is ${labels[wrong]}, expected a class 0, 1, 2, … below ${MOST_CLASSES}; number the classes from 0`,
    );
  }
  return out;
}
