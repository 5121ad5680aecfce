import { inputError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { hostLabels, hostRows, type Values } from './arrays.js';

/** Rows with their classes. */
export interface LabelledData {
  /** n × d: an array of rows, or one typed array with the numbers of all rows one after the other. */
  x: Values;
  /** Class 0 … C − 1 of each row, of at least two classes. */
  labels: ArrayLike<number>;
  /** Rows that are scored and take no part in training. */
  testX?: Values;
  testLabels?: ArrayLike<number>;
}

/** The same as the method takes it, checked. */
export function labelledRows({ x, labels, testX, testLabels }: LabelledData): {
  train: LabelledRows;
  test: LabelledRows | null;
  classes: number;
} {
  if ((testX === undefined) !== (testLabels === undefined)) {
    throw inputError('test rows need both testX and testLabels; give both or none');
  }
  const part = (prefix: string, values: Values, classes: ArrayLike<number>): LabelledRows => ({
    ...hostRows(prefix === '' ? 'x' : 'testX', values, { rows: classes.length }),
    labels: hostLabels(prefix === '' ? 'labels' : 'testLabels', classes),
  });
  const train = part('', x, labels);
  const test = testX && testLabels ? part('test', testX, testLabels) : null;
  if (test && test.cols !== train.cols) {
    throw inputError(`testX: rows have ${test.cols} numbers, expected ${train.cols} as those of x`);
  }
  const known = new Set(train.labels);
  const strange = test ? test.labels.findIndex((label) => !known.has(label)) : -1;
  if (strange >= 0) {
    throw inputError(
      `testLabels: the label of row ${strange} (from 0) is ${test?.labels[strange]}, a class that no row of x has; remove the row`,
    );
  }
  const classes = train.labels.reduce((most, label) => Math.max(most, label + 1), 0);
  return { train, test, classes };
}
