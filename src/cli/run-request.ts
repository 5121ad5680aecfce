/** What `run` is asked for: flags checked against each other, rows loaded, before an adapter is opened. */

import { DATASET_NAMES, type Dataset, type DatasetName, loadDataset, loadNpyDataset } from '../data/dataset.js';
import { inputError } from '../errors.js';
import type { DeepRfmConfig } from '../rfm/types.js';
import type { AdapterChoice } from '../runtime/gpu.js';
import { type CommonFlags, defaultWidth } from './flags.js';
import { required } from './matrices.js';

export const RUN_DATASETS = [...DATASET_NAMES, 'npy'] as const;

const DEFAULT_GRAM_LAYERS = [1, 3, 7, 13, 19];
const DEFAULT_ROWS = 1000;

export interface RunFlags extends CommonFlags {
  dataset?: DatasetName | 'npy';
  dataDir?: string;
  x?: string;
  y?: string;
  testX?: string;
  testY?: string;
  n?: number;
  testN?: number;
  depth?: number;
  kernel?: DeepRfmConfig['kernel'];
  bandwidth?: number;
  ridge?: number;
  activation?: DeepRfmConfig['activation'];
  width?: number;
  gamma?: number;
  seed?: number;
  agop?: DeepRfmConfig['agop'];
  agopSamples?: number;
  gramLayers?: number[];
  memoryLimit?: number;
  tile?: number;
  plan?: boolean;
  planFor?: string;
  adapter?: AdapterChoice;
  tune?: boolean;
  out?: string;
  resume?: boolean;
}

export interface RunRequest {
  config: DeepRfmConfig;
  dataset: Dataset;
  /** Features of a row. */
  d: number;
  out: string;
  /** Remarks about flags that have no effect. */
  remarks: string[];
}

function load(flags: RunFlags): Dataset {
  const { dataset = 'mnist-sample', dataDir, x, y, testX, testY, n, testN } = flags;
  if (dataset === 'npy') {
    if (dataDir !== undefined) {
      throw inputError(`--data-dir ${dataDir}: --dataset npy takes its files from --x and --y; drop --data-dir`);
    }
    return loadNpyDataset({
      x: required(x, '--x', 'the .npy file with the features (n × d)'),
      y: required(y, '--y', 'the .npy file with the labels (n)'),
      testX,
      testY,
      n,
      testN,
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
  return loadDataset({ name: dataset, dataDir, n: n ?? DEFAULT_ROWS, testN: testN ?? DEFAULT_ROWS });
}

/** @throws input error if every training row is the same: all features are constant then. */
function checkVaried({ x, rows, cols }: Dataset['train'], what: string): void {
  for (let i = cols; i < x.length; i++) if (x[i] !== x[i % cols]) return;
  throw inputError(
    `${what}: all ${rows} training rows are equal to row 0, so every feature is constant; use other data`,
  );
}

/**
 * Checks the flags of `run` and loads its rows.
 * @throws input error for flags that contradict each other or the data, and everything the readers refuse.
 */
export function readRunRequest(flags: RunFlags): RunRequest {
  const dataset = load(flags);
  const name = flags.dataset ?? 'mnist-sample';
  checkVaried(dataset.train, flags.x === undefined ? `--dataset ${name}` : `--x ${flags.x}`);
  const depth = flags.depth ?? 20;
  const activation = flags.activation ?? 'relu';
  const remarks: string[] = [];
  const beyond = flags.gramLayers?.filter((layer) => layer > depth) ?? [];
  if (beyond.length > 0) remarks.push(`--gram-layers: ${beyond.join(', ')} ignored, the depth is ${depth}`);
  if (flags.gamma !== undefined && activation === 'relu') {
    remarks.push('--gamma has no effect with --activation relu: its weights are uniform');
  }
  const config: DeepRfmConfig = {
    dataset: name,
    n: dataset.train.rows,
    testN: dataset.test?.rows ?? 0,
    depth,
    kernel: flags.kernel ?? 'laplace',
    bandwidth: flags.bandwidth ?? 2,
    ridge: flags.ridge ?? 1e-3,
    activation,
    width: flags.width ?? defaultWidth(activation),
    gamma: flags.gamma ?? 0.1,
    seed: flags.seed ?? 0,
    agop: flags.agop ?? 'auto',
    agopSamples: flags.agopSamples ?? 0,
    gramLayers: (flags.gramLayers ?? DEFAULT_GRAM_LAYERS).filter((layer) => layer <= depth),
  };
  if (config.agopSamples > 0 && config.agop === 'gram') {
    throw inputError(
      `--agop-samples ${config.agopSamples}: the Gram form sums over all rows; drop it, or use --agop jacobian`,
    );
  }
  if (config.agopSamples >= config.n) {
    remarks.push(`--agop-samples ${config.agopSamples} has no effect: there are ${config.n} training rows`);
    config.agopSamples = 0;
  }
  const out = flags.out ?? `results/${name}-n${config.n}-seed${config.seed}`;
  return { config, dataset, d: dataset.train.cols, out, remarks };
}
