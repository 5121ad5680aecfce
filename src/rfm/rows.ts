import { inputError, say, the } from '../errors.js';
import type { HostRows, LabelledRows, Numbers } from '../numbers.js';
import {
  columnStatistics,
  lengthOf,
  magnitude,
  permuteRows,
  powerOfTwo,
  standardize,
  standardizedRow,
} from '../ops/host-rows.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';

/** Entries whose squares vanish in float32 beside those of size 1. */
const LOST = 1e-18;

/**
 * For a kernel like Laplace's, whose gradient between two rows does not fade as they come together.
 * @param x as given, and `rounded` as used.
 * @param scaled a row of x before it is divided by its length, where rows are: those of one direction are equal then.
 * @throws input error where rows that differ do no longer, or by so little that its square vanishes.
 */
export function refuseLostDifferences(
  { x, rows, cols }: HostRows,
  rounded: Float32Array,
  kernel: RadialKernel,
  scaled: ((row: number) => Float64Array) | null = null,
): void {
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
    else if (!(agree(given, other, row) || (scaled !== null && haveOneDirection(scaled(other), scaled(row))))) {
      throw inputError(
        `rows ${other} and ${row} (from 0) differ by less than float32 holds beside the other rows, and the gradient of the ${kernel.name} kernel between them would be lost`,
        say`remove one of them, bring the columns to like units, or use ${the.kernel} gaussian`,
      );
    }
  }
}

/** Rounding of what leads to a number of a row of length 1 in float64. */
const SAME_NUMBER = 2 ** -50;

function haveOneDirection(a: Float64Array, b: Float64Array): boolean {
  const [lengthA, lengthB] = [lengthOf(a), lengthOf(b)];
  return a.every((value, j) => Math.abs(value / lengthA - b[j] / lengthB) <= SAME_NUMBER);
}

/** Targets over a unit in which neither they nor α, which is about targets over 1 + ridge, leave float32's range. */
export function scaledTargets(y: Numbers, ridge: number): { y: Float32Array; unit: number } {
  const unit = magnitude(y) / powerOfTwo(Math.max(1, ridge));
  return { y: inUnit(y, unit), unit };
}

/** Numbers over a unit, rounded to float32. */
function inUnit(values: Numbers, unit: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let e = 0; e < values.length; e++) out[e] = values[e] / unit;
  return out;
}

/** Every row minus `mean`, in float64 or rounded to float32. */
function subtractMean<T extends Numbers>(x: Numbers, mean: Float64Array, out: T): T {
  const cols = mean.length;
  for (let start = 0; start < x.length; start += cols) {
    for (let j = 0; j < cols; j++) out[start + j] = x[start + j] - mean[j];
  }
  return out;
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
  const apart = subtractMean(unit, mean, new Float32Array(unit.length));
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
  /** Of the training rows. */
  mean: Float64Array;
  /** A power of two: distances are this many times those of what is returned. */
  unit: number;
}

/** What is squared and subtracted in float32 has neither an origin nor a unit that costs it digits. */
export function centred(train: HostRows, test: HostRows | null): CentredRows {
  const { first, shift } = columnStatistics(train);
  const mean = first.map((value, j) => value + shift[j]);
  const own = subtractMean(train.x, mean, new Float64Array(train.x.length));
  const unit = magnitude(own);
  return { train: inUnit(own, unit), test: test && centredBy({ mean, unit }, test, 'test row'), mean, unit };
}

/**
 * Other rows by the same mean and unit.
 * @param part what a message calls a row.
 * @throws input error for a row too far away for float32.
 */
export function centredBy(
  { mean, unit }: Pick<CentredRows, 'mean' | 'unit'>,
  rows: HostRows,
  part: string,
): Float32Array {
  const apart = subtractMean(rows.x, mean, new Float64Array(rows.x.length));
  const far = apart.findIndex((value) => !(Math.abs(value / unit) < FARTHEST));
  if (far >= 0) {
    throw inputError(
      `${part} ${Math.floor(far / rows.cols)}, column ${far % rows.cols} (from 0): ${rows.x[far]} is ${(Math.abs(apart[far]) / unit).toExponential(1)} times as far from the mean of the training rows as these are; check that both are in the same units`,
    );
  }
  return inUnit(apart, unit);
}

/** The square of a longer row is beyond float32. */
const FARTHEST = 1e15;

/** Rows of a layer's output, row-major. */
export interface FeatureRows {
  x: Float32Array;
  rows: number;
  cols: number;
}

/** What a layer starts from. */
export interface StartRows {
  /** Training rows in class order. */
  train: FeatureRows;
  test: FeatureRows | null;
}

/** What the first layer starts from: standardised rows of length 1, training rows in class order. */
export function standardizedRows(
  train: LabelledRows,
  test: LabelledRows | null,
  order: Int32Array,
  kernel: RadialKernel,
): StartRows {
  const standard = standardize(train, test, 'of length 1');
  refuseLostDifferences(train, standard.train, kernel, (row) => standardizedRow(standard.statistics, train.x, row));
  return {
    train: { ...train, x: permuteRows(standard.train, train.cols, order) },
    test: test && standard.test && { ...test, x: standard.test },
  };
}

/** Y transposed (classes × n): +1 at the label, −1 elsewhere. */
export function signTargets(labels: Int32Array, classes: number): Float32Array {
  const y = new Float32Array(classes * labels.length).fill(-1);
  labels.forEach((label, i) => {
    y[label * labels.length + i] = 1;
  });
  return y;
}
