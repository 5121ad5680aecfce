/** What every dataset reader takes and gives. */

import { inputError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';

export type Part = 'train' | 'test';

export interface ImageShape {
  channels: number;
  height: number;
  width: number;
}

export interface Dataset {
  train: LabelledRows;
  /** null when no test rows were asked for. */
  test: LabelledRows | null;
  /** Labels are 0 … classes − 1. */
  classes: number;
  /** The label of each class in the user's files, ascending. */
  classValues: readonly number[];
  /** Rows are channel planes, each row-major; null for plain features. */
  imageShape: ImageShape | null;
  /** What was found in the files and has to be told. */
  remarks: string[];
}

export interface RowsRequest {
  /** The folder that holds the files. */
  dir: string;
  part: Part;
  /** How many rows to read, from the first. */
  rows: number;
  /** What named the folder, `--data-dir`; it starts messages about files. */
  flag: string;
  /** Chooses the rows by the labels in the file, as many as `rows`. Default: the first ones. */
  pick?: ((labels: ArrayLike<number>) => Int32Array) | undefined;
}

/** The labels of most datasets. */
export const DIGITS: readonly number[] = Array.from({ length: 10 }, (_, label) => label);

/** A pixel's byte as a float32 from 0 to 1. */
export const UNIT = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/** Rows of each class. */
export function countClasses({ labels }: LabelledRows, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]++;
  return counts;
}

/** What has to be told about a dataset: what was found in its files, and classes that no training row has. */
export function datasetRemarks({ train, test, classes, remarks }: Dataset): string[] {
  const counts = countClasses(train, classes);
  const missing = counts.filter((count) => count === 0).length;
  if (missing === 0) return remarks;
  const unseen = test?.labels.reduce((sum, label) => sum + (counts[label] === 0 ? 1 : 0), 0) ?? 0;
  const tests = unseen > 0 ? `; ${unseen} of the ${test?.rows} test rows are of these, and cannot be right` : '';
  return [
    ...remarks,
    `${missing} of ${classes} classes have no row among the first ${train.rows} training rows${tests}; a larger --n may have them`,
  ];
}

/** The flag that says how many rows of a part are wanted. */
export const countFlag = (part: Part): string => (part === 'train' ? '--n' : '--test-n');

/** @throws input error naming --n or --test-n if fewer rows are there than wanted. `what` names the files. */
export function checkAvailable(part: Part, wanted: number, available: number, what: string): void {
  if (wanted > available) {
    throw inputError(
      `${countFlag(part)} ${wanted}: ${what} only ${available} ${part} rows; use ${countFlag(part)} ${available} or less`,
    );
  }
}

/** @throws input error unless n is an integer of at least 2 and testN one of at least 0. */
export function checkCounts(n: number, testN: number): void {
  if (!Number.isSafeInteger(n) || n < 2) {
    throw inputError(`${countFlag('train')} ${n}: expected an integer of at least 2; raise --n`);
  }
  if (!Number.isSafeInteger(testN) || testN < 0) {
    throw inputError(`${countFlag('test')} ${testN}: expected an integer of at least 0; use 0 for no test rows`);
  }
}
