/** What every dataset reader takes and gives. */

import { inputError } from '../errors.js';
import type { Numbers } from '../numbers.js';

export type Part = 'train' | 'test';

export interface LabelledRows {
  /** rows × cols, row-major; float64 where float32 would round. */
  x: Numbers;
  /** One class per row, from 0. */
  labels: Int32Array;
  rows: number;
  cols: number;
}

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
  classValues: number[];
  /** Rows are channel planes, each row-major; null for plain features. */
  imageShape: ImageShape | null;
}

export interface RowsRequest {
  /** The folder that holds the files. */
  dir: string;
  part: Part;
  /** How many rows to read, from the first. */
  rows: number;
  /** What named the folder, `--data-dir`; it starts messages about files. */
  flag: string;
}

/** A pixel's byte as a float32 from 0 to 1. */
export const UNIT = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

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
