/** Rows of numbers in host memory: their order by class, their standardisation. */

import { inputError } from '../errors.js';
import type { HostRows, Numbers } from '../numbers.js';

/** Rows in class order, and where each class begins. */
export interface ClassOrder {
  /** order[i] is the original number of row i. */
  order: Int32Array;
  /** First row of each class that has rows, then the number of rows. */
  starts: number[];
  /** Rows per class, empty ones included. */
  counts: number[];
}

/**
 * Stable order of rows by label 0 … C − 1.
 * @throws input error where all rows are of one class.
 */
export function classOrder(labels: Int32Array): ClassOrder {
  const classes = labels.reduce((max, label) => Math.max(max, label), 0) + 1;
  const counts = classCountsOf(labels, classes);
  const next = new Array<number>(classes).fill(0);
  for (let c = 1; c < classes; c++) next[c] = next[c - 1] + counts[c - 1];
  const starts = [...next.filter((_, c) => counts[c] > 0), labels.length];
  if (starts.length < 3)
    throw inputError('all rows are of one class, at least 2 are needed; add rows of another class');
  const order = new Int32Array(labels.length);
  labels.forEach((label, i) => {
    order[next[label]++] = i;
  });
  return { order, starts, counts };
}

/** Rows of each class 0 … classes − 1. */
export function classCountsOf(labels: Int32Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]++;
  return counts;
}

/** Where a column's values lie, and how far they spread. */
export interface ColumnStatistics {
  /** The first row: distances to it lose nothing where the values are nearly equal. */
  first: Float64Array;
  /** Mean minus first. */
  shift: Float64Array;
  /** n − 1 standard deviation; exactly 0 where all values are equal. */
  deviation: Float64Array;
}

/**
 * Mean and deviation of the columns of n × d numbers, of any origin and unit: sums are of distances to the first row, in
 * units of the largest of them.
 * @throws input error where a column spans more than the range of float64.
 */
export function columnStatistics({ x, rows, cols }: HostRows): ColumnStatistics {
  const first = Float64Array.from(x.subarray(0, cols));
  const largest = new Float64Array(cols);
  const shift = new Float64Array(cols);
  const deviation = new Float64Array(cols);
  for (let i = 0, e = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++, e++) largest[j] = Math.max(largest[j], Math.abs(x[e] - first[j]));
  }
  const beyond = largest.indexOf(Number.POSITIVE_INFINITY);
  if (beyond >= 0) {
    throw inputError(`column ${beyond} (from 0) spans more than the range of float64, ±1.8e308; scale it`);
  }
  for (let i = 0, e = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++, e++) if (largest[j] > 0) shift[j] += (x[e] - first[j]) / largest[j] / rows;
  }
  for (let i = 0, e = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++, e++) {
      if (largest[j] > 0) deviation[j] += ((x[e] - first[j]) / largest[j] - shift[j]) ** 2;
    }
  }
  for (let j = 0; j < cols; j++) {
    deviation[j] = largest[j] * Math.sqrt(deviation[j] / (rows - 1));
    shift[j] *= largest[j];
  }
  return { first, shift, deviation };
}

/** Whether standardised rows are divided by their lengths, too. */
export type RowLengths = 'of length 1' | 'as they are';

/**
 * Every column minus its training mean, over its n − 1 standard deviation; a constant column becomes 0. In float64, and
 * rounded to float32 only then: columns far from zero (times, identifiers) or in any unit keep their digits.
 * @param lengths whether rows are divided by their length, too, before they are rounded; a row of zeros stays one.
 * @throws input error for a value that float32 cannot hold even so.
 */
export function standardize(
  train: HostRows,
  test: HostRows | null,
  lengths: RowLengths = 'as they are',
): { train: Float32Array; test: Float32Array | null; statistics: ColumnStatistics } {
  const statistics = columnStatistics(train);
  return {
    statistics,
    train: standardizeBy(statistics, train, lengths, 'training row'),
    test: test && standardizeBy(statistics, test, lengths, 'test row'),
  };
}

/**
 * The same for rows (rows × cols) with statistics that are known.
 * @param part what a message calls a row.
 * @throws input error for a value that float32 cannot hold even so.
 */
export function standardizeBy(
  statistics: ColumnStatistics,
  { x, rows, cols }: HostRows,
  lengths: RowLengths,
  part: string,
): Float32Array {
  const out = new Float32Array(rows * cols);
  const row = new Float64Array(cols);
  for (let i = 0; i < rows; i++) {
    standardizedRow(statistics, x, i, row);
    const length = lengths === 'of length 1' ? lengthOf(row) || 1 : 1;
    for (let j = 0; j < cols; j++) {
      const at = i * cols + j;
      out[at] = row[j] / length;
      if (Number.isFinite(out[at])) continue;
      throw inputError(
        `${part} ${i}, column ${j} (from 0): ${x[at]} is further from the training mean than 3.4e38 standard deviations, beyond float32; check that the parts are in the same units`,
      );
    }
  }
  return out;
}

/** Row i of x (rows × cols), in float64: a constant column is 0. */
export function standardizedRow(
  { first, shift, deviation }: ColumnStatistics,
  x: Numbers,
  i: number,
  out = new Float64Array(first.length),
): Float64Array {
  const cols = first.length;
  for (let j = 0; j < cols; j++) {
    out[j] = deviation[j] === 0 ? 0 : (x[i * cols + j] - first[j] - shift[j]) / deviation[j];
  }
  return out;
}

/** Euclidean, of numbers of any size. */
export function lengthOf(row: Numbers): number {
  const size = magnitude(row);
  let square = 0;
  for (let j = 0; j < row.length; j++) square += (row[j] / size) ** 2;
  return size * Math.sqrt(square);
}

/** Columns first … first + count − 1 of a row-major matrix (rows × n): rows × count. */
export function columnsOf(matrix: Float32Array, n: number, first: number, count: number): Float32Array {
  const rows = matrix.length / n;
  const out = new Float32Array(rows * count);
  for (let i = 0; i < rows; i++) out.set(matrix.subarray(i * n + first, i * n + first + count), i * count);
  return out;
}

/** The Euclidean length of the longest row of a row-major matrix of so many rows. */
export function longestOf(values: Numbers, rows: number): number {
  const cols = values.length / rows;
  return Math.max(...Array.from({ length: rows }, (_, i) => lengthOf(values.subarray(i * cols, (i + 1) * cols))));
}

/**
 * The largest 2^k that is not larger than the largest of these numbers' |values|; 1 where all are 0. Dividing by it rounds
 * nothing.
 */
export function magnitude(values: Numbers): number {
  let largest = 0;
  for (let e = 0; e < values.length; e++) largest = Math.max(largest, Math.abs(values[e]));
  return powerOfTwo(largest);
}

/** The largest power of two up to x; 1 for 0. */
export function powerOfTwo(x: number): number {
  if (x === 0) return 1;
  // Of a subnormal number the reciprocal would be infinite.
  const power = 2 ** Math.max(Math.floor(Math.log2(x)), -1021);
  // log2 rounds up just below a power.
  return power > x ? power / 2 : power;
}

/** Rows of a row-major matrix in a new order. */
export function permuteRows<T extends Numbers>(data: T, cols: number, order: Int32Array): T {
  const out = data.slice(0, order.length * cols) as T;
  order.forEach((from, to) => {
    out.set(data.subarray(from * cols, (from + 1) * cols), to * cols);
  });
  return out;
}

/** Undoes `permuteRows`: puts rows of `cols` numbers back into their first order. */
export function restoreRows<T extends Numbers>(data: T, cols: number, order: Int32Array): T {
  const out = data.slice() as T;
  order.forEach((to, from) => {
    out.set(data.subarray(from * cols, (from + 1) * cols), to * cols);
  });
  return out;
}

/** Aᵀ of a row-major rows × cols matrix. */
export function transposeHost<T extends Numbers>(data: T, rows: number, cols: number): T {
  const out = data.slice() as T;
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = data[i * cols + j];
  return out;
}
