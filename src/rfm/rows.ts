import { inputError } from '../errors.js';
import type { Numbers } from '../numbers.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';

/** Rows in class order, and where each class begins. */
export interface ClassOrder {
  /** order[i] is the original number of row i. */
  order: Int32Array;
  /** First row of each class that has rows, then the number of rows. */
  starts: number[];
  /** Rows per class, empty ones included. */
  counts: number[];
}

/** Stable order of rows by label 0 … C − 1. */
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

/** Rows of numbers, row-major. */
export interface HostRows {
  x: Numbers;
  rows: number;
  cols: number;
}

/** Where a column's values lie, and how far they spread. */
interface ColumnStatistics {
  /** The first row: distances to it lose nothing where the values are nearly equal. */
  first: Float64Array;
  /** Mean minus first. */
  shift: Float64Array;
  /** n − 1 standard deviation; exactly 0 where all values are equal. */
  deviation: Float64Array;
}

/** Of columns of any origin and unit: sums are of distances to the first row, in units of the largest of them. */
function columnStatistics({ x, rows, cols }: HostRows): ColumnStatistics {
  const first = Float64Array.from(x.subarray(0, cols));
  const largest = new Float64Array(cols);
  const shift = new Float64Array(cols);
  const deviation = new Float64Array(cols);
  const overRows = (visit: (column: number, distance: number) => void): void => {
    for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) visit(j, x[i * cols + j] - first[j]);
  };
  overRows((j, distance) => {
    largest[j] = Math.max(largest[j], Math.abs(distance));
  });
  const beyond = largest.indexOf(Number.POSITIVE_INFINITY);
  if (beyond >= 0) {
    throw inputError(`column ${beyond} (from 0) spans more than the range of float64, ±1.8e308; scale it`);
  }
  overRows((j, distance) => {
    if (largest[j] > 0) shift[j] += distance / largest[j] / rows;
  });
  overRows((j, distance) => {
    if (largest[j] > 0) deviation[j] += (distance / largest[j] - shift[j]) ** 2;
  });
  for (let j = 0; j < cols; j++) {
    deviation[j] = largest[j] * Math.sqrt(deviation[j] / (rows - 1));
    shift[j] *= largest[j];
  }
  return { first, shift, deviation };
}

/**
 * Every column minus its training mean, over its n − 1 standard deviation; a constant column becomes 0. In float64, and
 * rounded to float32 only then: columns far from zero (times, identifiers) or in any unit keep their digits.
 * @param lengths whether rows are divided by their length, too, before they are rounded; a row of zeros stays one.
 * @throws input error for a value that float32 cannot hold even so.
 */
export function standardize(
  train: HostRows,
  test: HostRows | null,
  lengths: 'of length 1' | 'as they are' = 'as they are',
): { train: Float32Array; test: Float32Array | null } {
  const { first, shift, deviation } = columnStatistics(train);
  const apply = ({ x, rows, cols }: HostRows, part: string): Float32Array => {
    const out = new Float32Array(rows * cols);
    const row = new Float64Array(cols);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < cols; j++) {
        row[j] = deviation[j] === 0 ? 0 : (x[i * cols + j] - first[j] - shift[j]) / deviation[j];
      }
      const length = lengths === 'of length 1' ? lengthOf(row) || 1 : 1;
      for (let j = 0; j < cols; j++) {
        const at = i * cols + j;
        out[at] = row[j] / length;
        if (Number.isFinite(out[at])) continue;
        throw inputError(
          `${part} row ${i}, column ${j} (from 0): ${x[at]} is further from the training mean than 3.4e38 standard deviations, beyond float32; check that the parts are in the same units`,
        );
      }
    }
    return out;
  };
  return { train: apply(train, 'training'), test: test && apply(test, 'test') };
}

/** Euclidean, of numbers of any size. */
function lengthOf(row: Numbers): number {
  const size = magnitude(row);
  let square = 0;
  for (const value of row) square += (value / size) ** 2;
  return size * Math.sqrt(square);
}

/** The largest 2^k that is not larger than any of |values|'s largest; 1 where all are 0. Dividing by it rounds nothing. */
export function magnitude(values: Numbers): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
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

/** Entries whose squares vanish in float32 beside those of size 1. */
const LOST = 1e-18;

/**
 * For a kernel like Laplace's, whose gradient between two rows does not fade as they come together.
 * @param x as given, and `rounded` as used.
 * @throws input error where rows that differ do no longer, or by so little that its square vanishes.
 */
export function refuseLostDifferences({ x, rows, cols }: HostRows, rounded: Float32Array, kernel: RadialKernel): void {
  if (kernel.gradientFades) return;
  const bits = new Uint32Array(rounded.buffer, rounded.byteOffset, rounded.length);
  const kept = (e: number): number => (Math.abs(rounded[e]) < LOST ? 0 : bits[e]);
  const given = (e: number): number => x[e];
  const agree = (of: (e: number) => number, a: number, b: number): boolean => {
    for (let j = 0; j < cols; j++) if (of(a * cols + j) !== of(b * cols + j)) return false;
    return true;
  };
  /** Rows that are the first of their kind, by a hash of what is kept of them. */
  const seen = new Map<number, number[]>();
  for (let row = 0; row < rows; row++) {
    let hash = 0;
    for (let e = row * cols; e < (row + 1) * cols; e++) hash = (Math.imul(hash, 0x01000193) ^ kept(e)) | 0;
    const others = seen.get(hash) ?? [];
    const other = others.find((candidate) => agree(kept, candidate, row));
    if (other === undefined) seen.set(hash, [...others, row]);
    else if (!agree(given, other, row)) {
      throw inputError(
        `rows ${other} and ${row} (from 0) differ by less than float32 holds beside the other rows, and the gradient of the ${kernel.name} kernel between them would be lost; remove one of them, bring the columns to like units, or use --kernel gaussian`,
      );
    }
  }
}

/** Targets over a unit in which neither they nor α, which is about targets over 1 + ridge, leave float32's range. */
export function scaledTargets(y: Numbers, ridge: number): { y: Float32Array; unit: number } {
  const unit = magnitude(y) / powerOfTwo(Math.max(1, ridge));
  return { y: Float32Array.from(y, (value) => value / unit), unit };
}

/** Rows of length 1 as what they share and what they differ in: row i is mean + apart_i. */
export interface UnitRows {
  mean: Float64Array;
  apart: Float32Array;
}

/** Rows that differ by less, once divided by their length, have too few digits in common float32 features. */
const SAME_DIRECTION = 1e-5;

/**
 * Rows divided by their lengths, relative to their mean: in float64, so that neither their unit nor an origin far from them
 * costs digits.
 * @throws input error for a row of zeros, and where all rows have one direction.
 */
export function unitRows({ x, rows, cols }: HostRows): UnitRows {
  const unit = new Float64Array(rows * cols);
  const mean = new Float64Array(cols);
  for (let i = 0; i < rows; i++) {
    const row = x.subarray(i * cols, (i + 1) * cols);
    const size = magnitude(row);
    const length = lengthOf(row.map((value) => value / size));
    if (length === 0) {
      throw inputError(`row ${i} (counted from 0) is all zeros, but rows are divided by their length; remove it`);
    }
    for (let j = 0; j < cols; j++) {
      unit[i * cols + j] = row[j] / size / length;
      mean[j] += unit[i * cols + j] / rows;
    }
  }
  const apart = Float32Array.from(unit, (value, e) => value - mean[e % cols]);
  if (apart.every((value) => Math.abs(value) <= SAME_DIRECTION)) {
    throw inputError(
      `all ${rows} rows, from row 0 on, are equal to ${SAME_DIRECTION} once divided by their length; give data that differ, or subtract the mean of each column first`,
    );
  }
  return { mean, apart };
}

/** Rows relative to the mean of the training rows, in a unit near their spread. */
export interface CentredRows {
  train: Float32Array;
  test: Float32Array | null;
  /** A power of two: distances are this many times those of what is returned. */
  unit: number;
}

/** What is squared and subtracted in float32 has neither an origin nor a unit that costs it digits. */
export function centred(train: HostRows, test: HostRows | null): CentredRows {
  const { first, shift } = columnStatistics(train);
  const mean = first.map((value, j) => value + shift[j]);
  const apart = ({ x, cols }: HostRows): Float64Array => Float64Array.from(x, (value, e) => value - mean[e % cols]);
  const [own, others] = [apart(train), test && apart(test)];
  const unit = magnitude(own);
  const far = others?.findIndex((value) => !(Math.abs(value / unit) < FARTHEST)) ?? -1;
  if (test && others && far >= 0) {
    throw inputError(
      `test row ${Math.floor(far / test.cols)}, column ${far % test.cols} (from 0): ${test.x[far]} is ${(Math.abs(others[far]) / unit).toExponential(1)} times as far from the mean of the training rows as these are; check that both are in the same units`,
    );
  }
  return {
    train: Float32Array.from(own, (value) => value / unit),
    test: others && Float32Array.from(others, (value) => value / unit),
    unit,
  };
}

/** The square of a longer row is beyond float32. */
const FARTHEST = 1e15;

/** Rows of a row-major matrix in a new order. */
export function permuteRows<T extends Numbers>(data: T, cols: number, order: Int32Array): T {
  const out = data.slice(0, order.length * cols) as T;
  order.forEach((from, to) => {
    out.set(data.subarray(from * cols, (from + 1) * cols), to * cols);
  });
  return out;
}

/** Undoes `permuteRows`. */
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
