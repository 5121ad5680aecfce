/** Input matrices of `layer` and `rfm`, checked before a device is opened. */

import { place } from '../data/files.js';
import { type NpyMatrix, readMatrix, readNpy, toMatrix } from '../data/npy.js';
import { inputError, RfmError } from '../errors.js';
import { factorMetric, type MetricFactor } from '../rfm/metric.js';
import { unitRows } from '../rfm/rows.js';

/** A flag that has to be there. `what` says what it holds. */
export function required(value: string | undefined, flag: string, what: string): string {
  if (value === undefined) throw inputError(`${flag} is missing; give ${what} with ${flag}`);
  return value;
}

/**
 * --x of `layer`, which divides rows by their length, or of `rfm`, which takes them as they are: at least
 * two rows, not all alike; for `layer` none of them zero.
 */
export function readFeatures(path: string, rows: 'normalised' | 'as they are'): NpyMatrix {
  const at = place('--x', path);
  const x = readMatrix(path, '--x');
  if (x.rows < 2) throw inputError(`${at}: has 1 row, expected at least 2; give more data`);
  if (rows === 'normalised') {
    atFile(at, () => unitRows({ ...x, x: x.data }));
  } else if (x.data.every((value: number, i: number) => value === x.data[i % x.cols])) {
    throw inputError(`${at}: all ${x.rows} rows are equal; give data that differ`);
  }
  return x;
}

/** Does the work; what is wrong with the input is said of the file. */
function atFile<T>(at: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof RfmError && error.kind === 'input' ? error.within(at) : error;
  }
}

/**
 * --metric of `rfm` and `run`: symmetric and positive semi-definite, as wide as the rows.
 * @param rows what a message calls them.
 */
export function readMetric(path: string, cols: number, rows: string): MetricFactor {
  const at = place('--metric', path);
  const metric = readMatrix(path, '--metric');
  if (metric.rows !== cols || metric.cols !== cols) {
    throw inputError(
      `${at}: is ${metric.rows} × ${metric.cols}, but ${rows} has ${cols} columns, so that M is ${cols} × ${cols}; give a metric learned on the same features`,
    );
  }
  return atFile(at, () => factorMetric(metric.data, metric.cols));
}

/** Targets as they are in the file: n × outputs, or n. */
export interface TargetMatrix extends NpyMatrix {
  /** Dimensions of the array in the file, 1 or 2; results get as many. */
  dimensions: number;
  /** Whether these look like class labels: integers in one dimension, not all of them ±1. */
  likeLabels: boolean;
}

/** --y of `layer` and `rfm`. */
export function readTargets(path: string, x: NpyMatrix, xPath: string): TargetMatrix {
  const at = place('--y', path);
  const array = readNpy(path, { flag: '--y' });
  const y = toMatrix(array, at);
  if (y.rows !== x.rows) throw rowsDisagree(at, y.rows, x.rows, xPath);
  if (y.data.every((value: number) => value === 0)) {
    throw inputError(`${at}: all targets are 0, so there is nothing to learn; give ±1 targets, n × classes`);
  }
  const dimensions = array.shape.length;
  const likeLabels =
    dimensions === 1 && y.data.every(Number.isInteger) && y.data.some((value: number) => value !== 1 && value !== -1);
  return { ...y, dimensions, likeLabels };
}

/** Shape of a result with one row a target row. */
export const likeTargets = (y: TargetMatrix, rows: number): number[] => (y.dimensions === 1 ? [rows] : [rows, y.cols]);

export const rowsDisagree = (at: string, rows: number, xRows: number, xPath: string): RfmError =>
  inputError(`${at}: has ${rows} rows, but ${place('--x', xPath)} has ${xRows}; both need one per sample`);
