/** The tables that `fit` is measured on. None needs a download. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadDataset } from '../src/data/dataset.js';
import { readNpy } from '../src/data/npy.js';
import type { Task } from '../src/table/target.js';
import { normalArray, uniforms } from './host.js';
import { pythonWith, scriptFolder } from './peers.js';

/** A table of numbers with a target. */
export interface BenchTable {
  name: string;
  /** Where the rows come from. */
  data: string;
  rows: number;
  cols: number;
  task: Task;
  /** Of the estimator: one for each class, of two classes one. */
  outputs: number;
  /** x: rows × cols, row-major. y: a number for each row, of classes that of the class. */
  read(): { x: ArrayLike<number>; y: ArrayLike<number> };
}

/** Columns that Friedman's function depends on, and columns of noise beside them. */
const FRIEDMAN = { relevant: 5, noise: 100 };

/** Friedman's first function (1991) of uniform columns, with normal noise of deviation 1. */
export function friedmanTable(n: number): BenchTable {
  const cols = FRIEDMAN.relevant + FRIEDMAN.noise;
  return {
    ...{ name: 'friedman-1', data: 'made by formula', rows: n, cols, task: 'regression', outputs: 1 },
    read() {
      const next = uniforms(101);
      const noise = normalArray(n, 102);
      const x = Float64Array.from({ length: n * cols }, next);
      const y = noise.map((error, i) => {
        const [a, b, c, d, e] = x.subarray(i * cols, i * cols + FRIEDMAN.relevant);
        return 10 * Math.sin(Math.PI * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e + error;
      });
      return { x, y };
    },
  };
}

/** Columns of −1 and 1; the class is whether the product of the first three is 1. */
export function parityTable(n: number): BenchTable {
  const cols = 50;
  return {
    ...{ name: 'parity-3', data: 'made by formula', rows: n, cols, task: 'binary', outputs: 1 },
    read() {
      const next = uniforms(103);
      const x = Float64Array.from({ length: n * cols }, () => (next() < 0.5 ? -1 : 1));
      const y = Float64Array.from({ length: n }, (_, i) =>
        x[i * cols] * x[i * cols + 1] * x[i * cols + 2] > 0 ? 1 : 0,
      );
      return { x, y };
    },
  };
}

/** The first n digits of the sample, as many of each digit. */
export const digitsTable = (n: number): BenchTable => ({
  ...{ name: 'mnist-sample', data: 'mnist-sample', rows: n, cols: 784, task: 'multiclass', outputs: 10 },
  read() {
    const { train } = loadDataset({ name: 'mnist-sample', n, testN: 0 });
    return { x: train.x, y: train.labels };
  },
});

/** The sets that scikit-learn comes with. */
const BUNDLED = [
  { name: 'diabetes', rows: 442, cols: 10, task: 'regression', outputs: 1 },
  { name: 'breast_cancer', rows: 569, cols: 30, task: 'binary', outputs: 1 },
  { name: 'digits', rows: 1797, cols: 64, task: 'multiclass', outputs: 10 },
  { name: 'wine', rows: 178, cols: 13, task: 'multiclass', outputs: 3 },
  { name: 'iris', rows: 150, cols: 4, task: 'multiclass', outputs: 3 },
] as const;

/**
 * The sets that come with scikit-learn, read by the Python that has it.
 * @param python the interpreter asked for.
 * @returns them, or a text that says why they are not to be had.
 */
export async function bundledTables(python: string | undefined): Promise<BenchTable[] | string> {
  const scripts = scriptFolder();
  if (scripts === null) return 'the script bench/peers/sklearn_sets.py is not there';
  const found = await pythonWith('sklearn', python);
  if (found === null) {
    const who = python === undefined ? 'no Python interpreter here can' : `--python ${python} cannot`;
    return `${who} import sklearn; install scikit-learn, or name one with --python`;
  }
  const folder = await mkdtemp(join(tmpdir(), 'deep-rfm-tables-'));
  try {
    const names = BUNDLED.map(({ name }) => name);
    await promisify(execFile)(found, [join(scripts, 'sklearn_sets.py'), folder, ...names], { timeout: 120_000 });
    return BUNDLED.map((set) => {
      const [x, y] = ['x', 'y'].map((part) => readNpy(join(folder, `${set.name}-${part}.npy`)));
      if (x.shape[0] !== set.rows || x.shape[1] !== set.cols || y.shape[0] !== set.rows)
        throw new Error(`${set.name} has ${x.shape.join(' × ')} numbers, expected ${set.rows} × ${set.cols}`);
      const numbers = { x: Float64Array.from(x.data, Number), y: Float64Array.from(y.data, Number) };
      return { ...set, name: set.name.replace('_', '-'), data: 'scikit-learn', read: () => numbers };
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `${found} could not read them from sklearn: ${why.trim().split('\n').at(-1)}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
