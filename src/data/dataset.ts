/** Datasets by name: where their files are looked for, and the rows that a run takes from them. */

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { inputError, type RfmError } from '../errors.js';
import type { LabelledRows } from '../numbers.js';
import { type CifarLabels, cifar100Classes, cifarNames, readCifar10, readCifar100 } from './cifar.js';
import { errorCode } from './files.js';
import { idxNames, readIdxClasses, readIdxRows, readSplitClasses } from './idx.js';
import { loadImages } from './images.js';
import { checkCounts, type Dataset, DIGITS, type ImageShape, type Part, type RowsRequest } from './rows.js';
import { readMnistSample } from './sample.js';
import { pickOf, type Selection } from './select.js';
import { readSvhn, svhnName } from './svhn.js';

export { loadNpyDataset, type NpyDatasetRequest } from './npy-dataset.js';
export type { Dataset, ImageShape } from './rows.js';

export const DATASET_NAMES = [
  'mnist-sample',
  'mnist',
  'fashion-mnist',
  'kmnist',
  'emnist',
  'cifar10',
  'cifar100',
  'svhn',
  'images',
] as const;
export type DatasetName = (typeof DATASET_NAMES)[number];

export const EMNIST_SPLITS = ['balanced', 'byclass', 'bymerge', 'digits', 'letters', 'mnist'] as const;
export type EmnistSplit = (typeof EMNIST_SPLITS)[number];

/** Rows that are not simply the first ones, and what their labels are. */
export interface DatasetSelection extends Selection {
  /** Of emnist. Default: balanced. */
  split?: EmnistSplit | undefined;
  /** Of cifar100: the 100 classes, or their 20 groups. Default: fine. */
  labels?: CifarLabels | undefined;
}

export interface DatasetRequest extends DatasetSelection {
  name: DatasetName;
  /** --data-dir: the folder with the files, or one that holds it. */
  dataDir?: string | undefined;
  /** Training rows, at least 2: the first n of the training file. Default: 1000; of pictures: all. */
  n?: number | undefined;
  /** Test rows: the first testN of the test file; 0 for none. Default: as n. */
  testN?: number | undefined;
}

const DEFAULT_ROWS = 1000;

interface Source {
  image: ImageShape;
  /** Where under a data folder the files may lie, in this order. */
  folders: string[];
  /** Names of which one marks the folder, the usual one first. */
  marks: string[];
  /** Complete file list and official address, for messages. */
  expected: string;
  url: string;
  /** Files, by their path in the folder or one level below, that show what was downloaded in place of the dataset. */
  instead: readonly (readonly [path: RegExp, what: string, remedy: string])[];
  /** The labels in the files, where these are not 0 to 9, and what has to be told about them. */
  classes?(dir: string, flag: string, selection: DatasetSelection): { values: readonly number[]; remarks: string[] };
  read(request: RowsRequest, classValues: readonly number[], selection: DatasetSelection): LabelledRows;
}

const GREY: ImageShape = { channels: 1, height: 28, width: 28 };
const COLOUR: ImageShape = { channels: 3, height: 32, width: 32 };
const IDX_FILES =
  'train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each plain or .gz';

const BINARY_VERSION = 'take the binary version, cifar-10-binary.tar.gz';
const BINARY_VERSION_100 = 'take the binary version, cifar-100-binary.tar.gz';

/** As long as they do not say, what is asked for. */
const DEFAULTS = { split: 'balanced', labels: 'fine' } as const;

const splitOf = ({ split = DEFAULTS.split }: DatasetSelection): EmnistSplit => split;

const emnistMarks = (split: string): string[] => idxNames('train', 'images', split);

const SOURCES: Record<Exclude<DatasetName, 'mnist-sample' | 'images'>, Source> = {
  mnist: {
    image: GREY,
    folders: ['', 'mnist', 'MNIST/raw'],
    marks: idxNames('train', 'images'),
    expected: IDX_FILES,
    url: 'http://yann.lecun.com/exdb/mnist/ (mirror: https://ossci-datasets.s3.amazonaws.com/mnist/)',
    instead: [
      [
        /(^|\/)emnist-\w+-(train|test)-(images|labels)/,
        'EMNIST under its own names',
        'use --dataset emnist with --split',
      ],
      [/(^|\/)mnist\.npz$/, "Keras' copy", 'take the four files, or reshape its images for --dataset npy'],
    ],
    classes: readIdxClasses,
    read: (request, classValues) => readIdxRows(request, { image: GREY, classValues }),
  },
  'fashion-mnist': {
    image: GREY,
    folders: ['', 'fashion-mnist', 'FashionMNIST/raw'],
    marks: idxNames('train', 'images'),
    expected: IDX_FILES,
    url: "https://github.com/zalandoresearch/fashion-mnist (or install Debian's dataset-fashion-mnist)",
    instead: [],
    read: (request) => readIdxRows(request, { image: GREY }),
  },
  kmnist: {
    image: GREY,
    folders: ['', 'kmnist', 'KMNIST/raw'],
    marks: idxNames('train', 'images'),
    expected: IDX_FILES,
    url: 'https://codh.rois.ac.jp/kmnist/',
    instead: [[/(^|\/)(kmnist|k49)-\w+-\w+\.npz$/, 'the NumPy version', 'take the four files in the format of MNIST']],
    read: (request) => readIdxRows(request, { image: GREY }),
  },
  emnist: {
    image: GREY,
    folders: ['', 'emnist', 'EMNIST/raw', 'gzip', 'emnist/gzip'],
    marks: emnistMarks(DEFAULTS.split),
    expected:
      'emnist-SPLIT-train-images-idx3-ubyte, emnist-SPLIT-train-labels-idx1-ubyte and the same of test, each plain or .gz',
    url: 'https://www.nist.gov/itl/products-and-services/emnist-dataset (binary format)',
    instead: [
      [/(^|\/)gzip\.zip$/, 'the archive', 'unpack it with unzip'],
      [/(^|\/)emnist-\w+\.mat$/, 'the MATLAB version', 'take the binary format'],
      [/(^|\/)emnist-\w+-train-images/, 'another split', 'name it with --split'],
    ],
    classes: (dir, flag, selection) => ({ values: readSplitClasses(dir, flag, splitOf(selection)), remarks: [] }),
    read: (request, classValues, selection) =>
      readIdxRows(request, { image: GREY, classValues, split: splitOf(selection) }),
  },
  cifar10: {
    image: COLOUR,
    folders: ['', 'cifar-10-batches-bin', 'cifar10', 'cifar10/cifar-10-batches-bin'],
    marks: cifarNames('train').slice(0, 1),
    expected: `${cifarNames('train').join(', ')} and ${cifarNames('test')[0]}`,
    url: 'https://www.cs.toronto.edu/~kriz/cifar.html (the binary version)',
    instead: [
      [/(^|\/)data_batch_1$/, 'the Python version (pickles)', BINARY_VERSION],
      [/(^|\/)data_batch_1\.mat$/, 'the MATLAB version', BINARY_VERSION],
      [/(^|\/)cifar-10-binary\.tar\.gz$/, 'the archive', 'unpack it with tar xzf'],
      [/(^|\/)cifar-10-(python|matlab)\.tar\.gz$/, 'the Python or MATLAB version', BINARY_VERSION],
      [/(^|\/)(fine_label_names\.txt|train\.bin)$/, 'CIFAR-100, binary version', 'use --dataset cifar100'],
      [
        /(^|\/)cifar-100-|^meta$/,
        'CIFAR-100',
        'take CIFAR-10, or of CIFAR-100 the binary version and --dataset cifar100',
      ],
    ],
    read: readCifar10,
  },
  cifar100: {
    image: COLOUR,
    folders: ['', 'cifar-100-binary', 'cifar100', 'cifar100/cifar-100-binary'],
    marks: ['train.bin'],
    expected: 'train.bin and test.bin',
    url: 'https://www.cs.toronto.edu/~kriz/cifar.html (the binary version)',
    instead: [
      [/(^|\/)cifar-100-binary\.tar\.gz$/, 'the archive', 'unpack it with tar xzf'],
      [/(^|\/)cifar-100-(python|matlab)|^meta$/, 'the Python or MATLAB version', BINARY_VERSION_100],
      [/(^|\/)data_batch_1\.bin$/, 'CIFAR-10', 'use --dataset cifar10'],
    ],
    classes: (_dir, _flag, { labels = DEFAULTS.labels }) => ({
      values: Array.from({ length: cifar100Classes(labels) }, (_, label) => label),
      remarks: [],
    }),
    read: (request, _values, { labels = DEFAULTS.labels }) => readCifar100(request, labels),
  },
  svhn: {
    image: COLOUR,
    folders: ['', 'svhn', 'SVHN'],
    marks: [svhnName('train')],
    expected: `${svhnName('train')} and ${svhnName('test')}`,
    url: 'http://ufldl.stanford.edu/housenumbers/ (format 2, cropped digits)',
    instead: [
      [
        /(^|\/)(digitStruct\.mat|(train|test|extra)\.tar\.gz)$/,
        'format 1, full pictures',
        'take format 2, train_32x32.mat and test_32x32.mat',
      ],
    ],
    read: readSvhn,
  },
};

/** Where Debian's package dataset-fashion-mnist puts its files. */
const DEBIAN_FASHION_MNIST = '/usr/share/datasets/fashion-mnist';

/** The variable that names a folder of datasets, used where --data-dir is not given. */
export const DATA_VARIABLE = 'DEEP_RFM_DATA';

/**
 * Loads rows of a dataset: the first ones, of all classes or some. Pixels are byte / 255 in float32; a class may have no row
 * among the first n.
 * @throws input error naming --n, --test-n, --data-dir, --classes or the file, and what to do.
 */
export function loadDataset(request: DatasetRequest): Dataset {
  const { name } = request;
  checkSelection(request);
  if (name === 'images') {
    const { n, testN } = request;
    checkCounts(n ?? 2, testN ?? 0);
    return finished(request, loadImages({ ...request, dataDir: picturesFolder(request) }));
  }
  const { n = DEFAULT_ROWS, testN = DEFAULT_ROWS } = request;
  checkCounts(n, testN);
  if (!DATASET_NAMES.includes(name)) {
    throw inputError(`--dataset ${name}: unknown dataset, expected ${DATASET_NAMES.join(', ')} or npy`);
  }
  if (name === 'mnist-sample') {
    checkClasses(request, DIGITS);
    const picks = { train: pickOf(request, 'train', n), test: pickOf(request, 'test', testN) };
    const rest = { classes: DIGITS.length, classValues: DIGITS, imageShape: GREY, remarks: [] };
    return finished(request, { ...readMnistSample(n, testN, picks), ...rest });
  }
  const { read, values, remarks, image } = filesOf({ ...request, name });
  const train = read('train', n);
  const test = testN > 0 ? read('test', testN) : null;
  const rest = { classes: values.length, classValues: values, imageShape: image, remarks };
  return finished(request, { train, test, ...rest });
}

/** Rows of one part of a dataset, and the label of each class. */
export interface DatasetPart extends Pick<Dataset, 'classValues' | 'remarks'> {
  rows: LabelledRows;
}

/**
 * Loads rows of one part of a dataset, as `loadDataset` does of both.
 * @param count how many. Default: 1000; of pictures: all.
 * @throws input error naming --n, --test-n, --data-dir, --classes or the file, and what to do.
 */
export function loadPart(request: Omit<DatasetRequest, 'n' | 'testN'>, part: Part, count?: number): DatasetPart {
  const { name } = request;
  checkSelection(request);
  if (name === 'images') {
    const dataDir = picturesFolder(request);
    const counts = part === 'train' ? { n: count, testN: 0 } : { n: 2, testN: count };
    const { train, test, classValues, remarks } = loadImages({ ...request, dataDir, ...counts });
    checkClasses(request, classValues);
    const rows = part === 'train' ? train : test;
    if (rows === null) throw inputError(`--data-dir ${dataDir}: has no folder ${part} with pictures; add one`);
    return { rows, classValues, remarks };
  }
  const rows = count ?? DEFAULT_ROWS;
  if (name === 'mnist-sample') {
    checkClasses(request, DIGITS);
    const picks = { [part]: pickOf(request, part, rows) };
    const read = part === 'train' ? readMnistSample(rows, 0, picks) : readMnistSample(1, rows, picks);
    return { rows: read[part] as LabelledRows, classValues: DIGITS, remarks: [] };
  }
  const { read, values, remarks } = filesOf({ ...request, name });
  return { rows: read(part, rows), classValues: values, remarks };
}

function picturesFolder({ dataDir = process.env[DATA_VARIABLE] || undefined }: DatasetRequest): string {
  if (dataDir !== undefined) return dataDir;
  throw inputError('--data-dir is missing: images needs the folder with train/CLASS/NAME.png; name it with --data-dir');
}

/** A dataset's files, the labels in them, and what reads the rows that are asked for. */
function filesOf({ name, dataDir, ...selection }: DatasetRequest & { name: keyof typeof SOURCES }) {
  const source = name === 'emnist' ? { ...SOURCES.emnist, marks: emnistMarks(splitOf(selection)) } : SOURCES[name];
  const { dir, flag } = findFolder(name, source, dataDir);
  const { values, remarks } = source.classes?.(dir, flag, selection) ?? { values: DIGITS, remarks: [] };
  checkClasses({ ...selection, name }, values);
  const read = (part: Part, rows: number): LabelledRows =>
    source.read({ dir, part, rows, flag, pick: pickOf(selection, part, rows) }, values, selection);
  return { read, values, remarks, image: source.image };
}

/** @throws input error for what belongs to another dataset. */
function checkSelection({ name, split, labels }: DatasetRequest): void {
  if (split !== undefined && name !== 'emnist') {
    throw inputError(`--split ${split}: only --dataset emnist has splits, found ${name}; drop it`);
  }
  if (labels !== undefined && name !== 'cifar100') {
    throw inputError(`--labels ${labels}: only --dataset cifar100 has two labels a row, found ${name}; drop it`);
  }
}

/** @throws input error for a class that the files do not have. */
function checkClasses({ classes, name }: Pick<DatasetRequest, 'classes' | 'name'>, values: readonly number[]): void {
  const wrong = classes?.find((value) => !values.includes(value));
  if (classes === undefined || wrong === undefined) return;
  throw inputError(
    `--classes ${classes.join(',')}: ${name} has no class ${wrong}, expected some of ${values[0]} to ${values.at(-1)}`,
  );
}

/** With the classes that were asked for, numbered from 0. @throws input error where all training rows are of one class. */
function finished(request: DatasetRequest, dataset: Dataset): Dataset {
  checkClasses(request, dataset.classValues);
  const { train, test, classValues } = dataset;
  if (train.labels.every((label) => label === train.labels[0])) {
    throw inputError(
      `--n ${train.rows}: the first ${train.rows} training rows are all of class ${classValues[train.labels[0]]}; use a larger --n`,
    );
  }
  const { classes: wanted } = request;
  if (wanted === undefined) return dataset;
  const values = [...wanted].sort((a, b) => a - b);
  const renumbered = (rows: LabelledRows): LabelledRows => ({
    ...rows,
    labels: rows.labels.map((label) => values.indexOf(classValues[label])),
  });
  return {
    ...dataset,
    ...{ train: renumbered(train), test: test && renumbered(test) },
    ...{ classes: values.length, classValues: values },
  };
}

/** Where below a data folder the files of a dataset are looked for. */
export const foldersOf = (name: string): readonly string[] =>
  name in SOURCES ? SOURCES[name as keyof typeof SOURCES].folders : [];

/** The folder that holds the dataset's files, and the flag or variable that led to it. */
function findFolder(name: string, source: Source, dataDir: string | undefined): { dir: string; flag: string } {
  const variable = process.env[DATA_VARIABLE] ?? '';
  const roots: { root: string; flag: string }[] = [];
  if (dataDir !== undefined) roots.push({ root: dataDir, flag: '--data-dir' });
  else {
    if (variable !== '') roots.push({ root: variable, flag: DATA_VARIABLE });
    if (name === 'fashion-mnist') roots.push({ root: DEBIAN_FASHION_MNIST, flag: '--dataset fashion-mnist' });
  }
  for (const { root, flag } of roots) {
    const dirs = source.folders.map((folder) => join(root, folder));
    const dir = dirs.find((dir) => source.marks.some((mark) => existsSync(join(dir, mark))));
    if (dir !== undefined) return { dir, flag };
  }
  throw notFound(name, source, dataDir, variable);
}

function notFound(name: string, source: Source, dataDir: string | undefined, variable: string): RfmError {
  const need = `${name} needs ${source.expected}, from ${source.url}`;
  if (dataDir !== undefined) return inputError(`--data-dir ${dataDir}: ${folderTrouble(dataDir, source)}; ${need}`);
  const start = '--data-dir is missing';
  if (variable === '') return inputError(`${start}: ${need}; name the folder with --data-dir or ${DATA_VARIABLE}`);
  return inputError(`${start}, and ${DATA_VARIABLE} names ${variable}: ${folderTrouble(variable, source)}; ${need}`);
}

function folderTrouble(dir: string, source: Source): string {
  let found: string[];
  try {
    found = readdirSync(dir, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name, ...namesIn(join(dir, entry.name), entry.name)] : [entry.name],
    );
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return 'no such folder';
    if (code === 'ENOTDIR') return 'a file, expected a folder';
    return `the folder cannot be read (${code})`;
  }
  const missing = `no ${source.marks[0]} in it, nor in ${source.folders.slice(1).join(', ')} below it`;
  for (const [pattern, what, remedy] of source.instead) {
    const path = found.find((name) => pattern.test(name));
    if (path !== undefined) return `${missing}, but ${path}, which is ${what}: ${remedy}`;
  }
  return missing;
}

/** Paths of the files in a folder that is named after a dataset; others may be large, and are not looked into. */
function namesIn(folder: string, name: string): string[] {
  if (!/cifar|mnist|svhn|^(train|test|gzip)$/i.test(name)) return [];
  try {
    return readdirSync(folder).map((file) => `${name}/${file}`);
  } catch {
    return [];
  }
}
