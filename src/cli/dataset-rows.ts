/** The rows of `run` and `train`: flags, and what they load. */

import { Option } from 'commander';
import {
  DATASET_NAMES,
  type Dataset,
  type DatasetName,
  EMNIST_SPLITS,
  type EmnistSplit,
  loadDataset,
  loadNpyDataset,
} from '../data/dataset.js';
import { inputError } from '../errors.js';
import type { RowSelection } from '../made.js';
import { integer, integerList, oneOf, path, valued } from './flags.js';
import { required } from './matrices.js';

export const ROW_DATASETS = [...DATASET_NAMES, 'npy'] as const;

export interface RowFlags {
  dataset?: DatasetName | 'npy';
  dataDir?: string;
  split?: EmnistSplit;
  labels?: 'fine' | 'coarse';
  x?: string;
  y?: string;
  testX?: string;
  testY?: string;
  n?: number;
  testN?: number;
  classes?: number[];
  stratified?: boolean;
}

const rows = (flag: string, min: number) => integer(flag, { min, max: Number.MAX_SAFE_INTEGER, example: 1000 });

/** Classes as a comma list, each once, ascending. */
function classList(value: string): number[] {
  const found = [...new Set(integerList('--classes', { min: 0, max: 2 ** 31 - 1, example: '0,1,8' })(value))];
  if (found.length > 1) return found.sort((a, b) => a - b);
  throw inputError(
    `--classes ${value}: expected at least two classes with commas between; use for example --classes 0,1,8`,
  );
}

/** Where a dataset's files are, and which of its rows are taken. */
export const selectionOptions = (): Option[] => [
  valued('--data-dir <folder>', "folder with the dataset's files (default: $DEEP_RFM_DATA)", path('--data-dir')),
  valued(
    '--split <name>',
    `of emnist: ${EMNIST_SPLITS.join(', ')} (default: balanced)`,
    oneOf('--split', EMNIST_SPLITS),
  ),
  valued(
    '--labels <which>',
    'of cifar100: fine, its 100 classes, or coarse, their 20 groups (default: fine)',
    oneOf('--labels', ['fine', 'coarse']),
  ),
  valued('--classes <list>', 'labels whose rows are taken, such as 0,1,8 (default: all)', classList),
  new Option('--stratified', 'give each class the share of the rows that it has in the file'),
];

/** Which rows. */
export const rowOptions = (): Option[] => [
  valued('--dataset <name>', `${ROW_DATASETS.join(', ')} (default: mnist-sample)`, oneOf('--dataset', ROW_DATASETS)),
  ...selectionOptions(),
  valued('--x <file>', 'npy: training features, n × d (FILE.npy, or FILE.npz:NAME)', path('--x')),
  valued('--y <file>', 'npy: training labels, n, or ±1 or one-hot targets, n × C', path('--y')),
  valued('--test-x <file>', 'npy: test features', path('--test-x')),
  valued('--test-y <file>', 'npy: test labels or targets', path('--test-y')),
  valued('--n <rows>', 'training rows, from the first (default: 1000; npy, images: all)', rows('--n', 2)),
  valued('--test-n <rows>', 'test rows, from the first (default: 1000; npy, images: all)', rows('--test-n', 0)),
];

/** @throws input error for flags that contradict each other, and everything the readers refuse. */
export function loadRows(flags: RowFlags): Dataset {
  const { dataset = 'mnist-sample', dataDir, x, y, testX, testY, n, testN, classes, stratified, split, labels } = flags;
  if (dataset === 'npy') {
    for (const [flag, value] of Object.entries({ '--data-dir': dataDir, '--split': split, '--labels': labels })) {
      if (value === undefined) continue;
      throw inputError(`${flag} ${value}: --dataset npy takes its files from --x and --y; drop ${flag}`);
    }
    return loadNpyDataset({
      x: required(x, '--x', 'the .npy file with the features (n × d)'),
      y: required(y, '--y', 'the .npy file with the labels (n)'),
      ...{ testX, testY, n, testN, classes, stratified },
    });
  }
  for (const [flag, value] of Object.entries({ '--x': x, '--y': y, '--test-x': testX, '--test-y': testY })) {
    if (value === undefined) continue;
    const found = flags.dataset === undefined ? 'which is not given' : `found --dataset ${dataset}`;
    throw inputError(`${flag} ${value}: needs --dataset npy, ${found}; add --dataset npy or drop ${flag}`);
  }
  if (dataset === 'mnist-sample' && dataDir !== undefined) {
    throw inputError(
      `--data-dir ${dataDir}: mnist-sample comes with the program; drop --data-dir, or use --dataset mnist`,
    );
  }
  return loadDataset({ name: dataset, dataDir, n, testN, classes, stratified, split, labels });
}

/** Which rows beside the first ones, as metrics.json has it; undefined where nothing was asked for. */
export function rowSelection({ split, labels, classes, stratified, dataset }: RowFlags): RowSelection | undefined {
  const selection: RowSelection = {
    ...(dataset === 'emnist' && { split: split ?? 'balanced' }),
    ...(dataset === 'cifar100' && { labels: labels ?? 'fine' }),
    ...(classes && { classes }),
    ...(stratified && { stratified }),
  };
  return Object.keys(selection).length === 0 ? undefined : selection;
}
