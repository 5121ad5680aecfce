/** Rows to run on: the embedded digits, or files that were dropped, by the readers of the command line. */

import { loadDataset, loadNpyDataset } from '../../src/data/dataset.js';
import { readIdx } from '../../src/data/idx.js';
import { readMat } from '../../src/data/mat.js';
import { readMatrix } from '../../src/data/npy.js';
import { inputError } from '../../src/errors.js';
import type { LabelledRows } from '../../src/numbers.js';
import type { DeepRfmData } from '../../src/rfm/deep-rfm.js';
import { FOLDER, holdFiles } from '../node/fs.js';
import type { DataInfo } from './protocol.js';

/** Rows of which the first so many can be had. */
export interface Source {
  info: DataInfo;
  load(n: number, testN: number): DeepRfmData;
}

const PIXELS = 784;

/** How many digits digits.bin holds; scripts/web.mjs writes it. */
declare const DIGITS: { train: number; test: number };

/** The first digits of mnist-sample, training rows and then test rows, a byte a pixel. */
export async function embedded(): Promise<Source> {
  const response = await fetch('digits.bin');
  if (!response.ok) throw inputError(`digits.bin: the server answered ${response.status}; load the page again`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const rows = (start: number, count: number): LabelledRows => ({
    // The package has pixel / 255 rounded to three decimals.
    x: Float32Array.from(
      bytes.subarray(start * PIXELS, (start + count) * PIXELS),
      (byte) => Math.round((byte * 1000) / 255) / 1000,
    ),
    labels: Int32Array.from({ length: count }, (_, i) => i % 10),
    ...{ rows: count, cols: PIXELS },
  });
  const { train, test } = DIGITS;
  return {
    info: { name: 'mnist-sample', n: train, testN: test, d: PIXELS, classes: 10, digits: true, remarks: [] },
    load: (n, testN) => ({ train: rows(0, n), test: testN > 0 ? rows(train, testN) : null, classes: 10 }),
  };
}

const HELP =
  'expected the files of MNIST or Fashion-MNIST (train-images-idx3-ubyte and the others, plain or .gz), of CIFAR-10 (data_batch_1.bin …), of SVHN (train_32x32.mat …), or a pair of .npy files, X.npy and y.npy';

/** The files that are kept in memory. */
let held: ReadonlyMap<string, Uint8Array> = new Map();

function hold(files: ReadonlyMap<string, Uint8Array>): void {
  held = files;
  holdFiles(files);
}

/** Keeps the dropped files in memory and finds out what they are; those before them stay where it is nothing. */
function recognised(files: ReadonlyMap<string, Uint8Array>): Source {
  const before = held;
  hold(files);
  try {
    return sourceOf([...files.keys()]);
  } catch (error) {
    hold(before);
    throw error;
  }
}

function sourceOf(names: readonly string[]): Source {
  for (const one of PUBLISHED) {
    if (names.some((name) => one.first.test(name))) {
      return remarking(
        published(one.name, one.count, names),
        names.filter((name) => !one.all.test(name)),
      );
    }
  }
  if (names.some((name) => /\.npy$/i.test(name))) return arrays(names);
  throw inputError(`${names.join(', ')}: not recognised; ${HELP}`);
}

/** The source, with a word on files that are none of its own. */
function remarking(source: Source, unused: readonly string[]): Source {
  if (unused.length === 0) return source;
  const { info } = source;
  return { ...source, info: { ...info, remarks: [...info.remarks, `Not used: ${unused.join(', ')}`] } };
}

type Counter = (names: readonly string[], part: 'train' | 'test') => number;

const at = (name: string): string => `${FOLDER}/${name}`;

const idxRows: Counter = (names, part) => {
  const name = names.find((one) => one.startsWith(part === 'train' ? 'train-labels' : 't10k-labels'));
  return name === undefined ? 0 : readIdx(at(name), '', 1).shape[0]!;
};

const CIFAR_RECORD = 3073;
const cifarRows: Counter = (names, part) =>
  names
    .filter((name) => (part === 'train' ? /^data_batch_\d\.bin$/ : /^test_batch\.bin$/).test(name))
    .reduce((sum, name) => sum + Math.floor((held.get(name)?.length ?? 0) / CIFAR_RECORD), 0);

const svhnRows: Counter = (names, part) => {
  const name = `${part}_32x32.mat`;
  return names.includes(name) ? readMat(at(name), ['y'], '').get('y')!.data.length : 0;
};

/** Datasets by the names of their files: of the first that is asked for, and of all. */
const PUBLISHED = [
  { name: 'mnist', first: /^train-(images|labels)/, all: /^(train|t10k)-(images|labels)/, count: idxRows },
  { name: 'cifar10', first: /^data_batch_\d\.bin$/, all: /^(data|test)_batch(_\d)?\.bin$/, count: cifarRows },
  { name: 'svhn', first: /^train_32x32\.mat$/, all: /^(train|test)_32x32\.mat$/, count: svhnRows },
] as const;

function published(name: 'mnist' | 'cifar10' | 'svhn', count: Counter, names: readonly string[]): Source {
  const [n, testN] = [count(names, 'train'), count(names, 'test')];
  const load = (rows: number, testRows: number) =>
    loadDataset({ name, dataDir: FOLDER, n: rows, testN: testN > 0 ? testRows : 0 });
  // A missing file or a wrong one shows here, and not after the start.
  const { train, classes, remarks } = load(Math.max(2, Math.min(n, 200)), Math.min(testN, 1));
  return {
    info: { name, n, testN, d: train.cols, classes, digits: train.cols === PIXELS, remarks },
    load,
  };
}

const isLabels = (name: string): boolean => /(^|[^a-z])(y|labels?|targets?)([^a-z]|$)/i.test(name);

/** A pair of arrays, or two with test rows. */
function arrays(all: readonly string[]): Source {
  const names = all.filter((name) => /\.npy$/i.test(name));
  const pick = (test: boolean, labels: boolean): string | undefined => {
    const found = names.filter((name) => /test/i.test(name) === test && isLabels(name) === labels);
    if (found.length > 1) {
      throw inputError(
        `${found.join(', ')}: more than one array of the same kind; drop X.npy and y.npy, with test in the names of test rows`,
      );
    }
    return found[0];
  };
  const [x, y, testX, testY] = [pick(false, false), pick(false, true), pick(true, false), pick(true, true)];
  if (x === undefined || y === undefined) {
    throw inputError(
      `${names.join(', ')}: a pair is needed, rows in X.npy and their labels in y.npy; drop both together`,
    );
  }
  const load = (n: number, testN: number) =>
    loadNpyDataset({
      ...{ x: at(x), y: at(y), n, testN: testX && testY ? testN : 0 },
      ...(testX && testY && testN > 0 && { testX: at(testX), testY: at(testY) }),
    });
  const n = readMatrix(at(x), '').rows;
  const testN = testX && testY ? readMatrix(at(testX), '').rows : 0;
  const { train, classes, remarks } = load(n, testN);
  const info = { name: 'npy', n, testN, d: train.cols, classes, digits: train.cols === PIXELS, remarks };
  const used = testN > 0 ? [x, y, testX, testY] : [x, y];
  return remarking(
    { info, load },
    all.filter((name) => !used.includes(name)),
  );
}

/** Reads files that were dropped. */
export async function fromFiles(files: readonly File[]): Promise<Source> {
  const bytes = new Map<string, Uint8Array>();
  for (const file of files) bytes.set(file.name, new Uint8Array(await file.arrayBuffer()));
  return recognised(bytes);
}

/** A reader's message without the flags of the command line. */
export const inWords = (message: string): string =>
  message
    .replaceAll(`--data-dir ${FOLDER}/`, '')
    .replaceAll(`--data-dir ${FOLDER}`, 'the dropped files')
    .replaceAll(`${FOLDER}/`, '')
    .replace(/--(test-)?[xy] (?=\S+\.npy)/g, '')
    .replaceAll('--test-n', 'test rows')
    .replaceAll('--n', 'training rows');
