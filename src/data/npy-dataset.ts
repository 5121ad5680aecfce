/** A dataset from the user's own .npy files (`--dataset npy`). */

import { inputError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { place } from './files.js';
import { type ClassLabels, readClasses } from './labels.js';
import { type NpyMatrix, readMatrix } from './npy.js';
import { checkAvailable, checkCounts, type Dataset, type Part } from './rows.js';
import { pickOf, type Selection } from './select.js';

export interface NpyDatasetRequest extends Selection {
  /** --x: features, n × d. */
  x: string;
  /** --y: labels of length n (or n × 1), or an n × C matrix of ±1 or 0/1; see `readClasses`. */
  y: string;
  /** --test-x and --test-y: both or neither. */
  testX?: string | undefined;
  testY?: string | undefined;
  /** The first n rows are used; all of them unless told. */
  n?: number | undefined;
  testN?: number | undefined;
}

/**
 * Loads features and labels. The distinct labels among the training rows, in ascending order, become the classes
 * 0 … C − 1 (`classValues` maps back).
 * @throws input error naming the flag and file for rows or columns that disagree, a single class, and test labels that
 * no training row has.
 */
export function loadNpyDataset(request: NpyDatasetRequest): Dataset {
  const { x, y, testX, testY, n, testN, classes, stratified } = request;
  if ((testX === undefined) !== (testY === undefined)) {
    const [given, missing] = testX === undefined ? ['--test-y', '--test-x'] : ['--test-x', '--test-y'];
    throw inputError(`${missing} is missing, but ${given} was given; give both or neither`);
  }
  checkCounts(n ?? 2, testN ?? 0);
  const whole = readMatrix(x, '--x');
  const given = readClasses(y, '--y', whole.rows);
  checkRows(whole, given, place('--x', x), place('--y', y));
  const { features, targets } = chosen(whole, given, { part: 'train', rows: n, classes, stratified });
  const rows = n ?? features.rows;
  if (rows < 2) throw inputError(`${place('--x', x)}: has 1 row, expected at least 2; give more data`);
  checkAvailable('train', rows, features.rows, `${x} holds`);
  const values = targets.values.subarray(0, rows);
  const classValues = [...new Set(values)].sort((a, b) => a - b);
  if (classValues.length < 2) {
    const among = n === undefined ? `all ${rows} rows` : `the first ${rows} rows`;
    throw inputError(
      `${place('--y', y)}: ${among} are of class ${classValues[0]}, expected at least two classes; add rows`,
    );
  }
  const classOf = new Map(classValues.map((value, index) => [value, index]));
  const train = take(features, values, classOf, place('--y', y));
  const test =
    testX === undefined || testY === undefined || testN === 0
      ? null
      : loadTest({ testX, testY, testN, classes, stratified }, train, targets.columns, classOf);
  if (testN !== undefined && testN > 0 && testX === undefined) {
    throw inputError(`--test-n ${testN}: no test rows were given; add --test-x and --test-y, or use --test-n 0`);
  }
  const all = Math.max(new Set(targets.values).size, targets.columns ?? 0);
  const remarks: string[] = [];
  if (all > classValues.length) {
    remarks.push(
      `${place('--y', y)}: ${classValues.length} of its ${all} classes have a row among the ${rows} training rows; the others are left out`,
    );
  }
  return { train, test, classes: classValues.length, classValues, imageShape: null, remarks };
}

function loadTest(
  { testX, testY, testN, ...selection }: Selection & { testX: string; testY: string; testN: number | undefined },
  train: LabelledRows,
  columns: number | null,
  classOf: Map<number, number>,
): LabelledRows {
  const atX = place('--test-x', testX);
  const atY = place('--test-y', testY);
  const whole = readMatrix(testX, '--test-x');
  if (whole.cols !== train.cols) {
    throw inputError(`${atX}: has ${whole.cols} columns, but --x has ${train.cols}; both need the same features`);
  }
  const targets = readClasses(testY, '--test-y', whole.rows);
  if (columns !== null && targets.columns !== null && columns !== targets.columns) {
    throw inputError(
      `${atY}: has ${targets.columns} target columns, but --y has ${columns}; both need the same classes`,
    );
  }
  // A column is a class only if labels count from 0, as columns do.
  const known = [...classOf.keys()];
  if (columns === null && targets.columns !== null && !(Math.max(...known) < targets.columns && known[0] >= 0)) {
    throw inputError(
      `${atY}: has ${targets.columns} target columns, but the labels of --y go from ${known[0]} to ${known.at(-1)}; give labels, too`,
    );
  }
  checkRows(whole, targets, atX, atY);
  const { features, targets: own } = chosen(whole, targets, { part: 'test', rows: testN, ...selection });
  const rows = testN ?? features.rows;
  checkAvailable('test', rows, features.rows, `${testX} holds`);
  return take(features, own.values.subarray(0, rows), classOf, atY);
}

/** The rows that a selection takes, in their order; all of them without one. */
function chosen(
  features: NpyMatrix,
  targets: ClassLabels,
  { part, rows, ...selection }: Selection & { part: Part; rows: number | undefined },
): { features: NpyMatrix; targets: ClassLabels } {
  const { classes } = selection;
  const absent = part === 'train' ? classes?.find((value) => !targets.values.includes(value)) : undefined;
  if (absent !== undefined) {
    throw inputError(`--classes ${classes?.join(',')}: no training row is of class ${absent}; leave it out`);
  }
  const own = classes ? targets.values.filter((value) => classes.includes(value)).length : features.rows;
  const pick = pickOf(selection, part, rows ?? own);
  if (pick === undefined) return { features, targets };
  const taken = pick(targets.values);
  const { cols } = features;
  const data = new Float32Array(taken.length * cols);
  taken.forEach((row, i) => {
    data.set(features.data.subarray(row * cols, (row + 1) * cols), i * cols);
  });
  const values = taken.map((row) => targets.values[row]);
  return { features: { ...features, rows: taken.length, data }, targets: { ...targets, values } };
}

function checkRows(features: NpyMatrix, targets: ClassLabels, atX: string, atY: string): void {
  if (features.rows !== targets.values.length) {
    throw inputError(
      `${atY}: has ${targets.values.length} rows, but ${atX} has ${features.rows}; both need one per sample`,
    );
  }
}

/** The first rows of `features`, as many as there are values, with their classes. */
function take(features: NpyMatrix, values: Int32Array, classOf: Map<number, number>, atY: string): LabelledRows {
  const { cols } = features;
  const labels = values.map((value, row) => {
    const label = classOf.get(value);
    if (label === undefined) {
      const known = [...classOf.keys()];
      const list = known.length > 12 ? `${known.slice(0, 12).join(', ')}, …` : known.join(', ');
      throw inputError(`${atY}: label ${value} in row ${row} (counted from 0) is in no training row, expected ${list}`);
    }
    return label;
  });
  const rows = values.length;
  // A copy only where rows are left out, so that these can be freed.
  const x = rows === features.rows ? features.data : features.data.slice(0, rows * cols);
  return { x, labels, rows, cols };
}
