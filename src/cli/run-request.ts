/** What `run` is asked for: flags checked against each other, rows loaded, before an adapter is opened. */

import type { Dataset, DatasetName } from '../data/dataset.js';
import { place } from '../data/files.js';
import { datasetRemarks } from '../data/rows.js';
import { SAMPLE_TEST_ROWS, SAMPLE_TRAIN_ROWS } from '../data/sample.js';
import { inputError } from '../errors.js';
import type { PresetUse } from '../made.js';
import { kernelOf } from '../ops/kernels/kernels.js';
import type { MetricFactor } from '../rfm/metric.js';
import { type DeepRfmOptions, defaultWidth } from '../rfm/options.js';
import type { RunConfig } from '../rfm/types.js';
import type { AdapterChoice } from '../runtime/adapter.js';
import { loadRows, type RowFlags, rowSelection } from './dataset-rows.js';
import type { OutputFlags } from './flags.js';
import { type KernelFlags, kernelSettings } from './kernel.js';
import { readMetric } from './matrices.js';
import { presetRemarks } from './presets.js';

const DEFAULT_GRAM_LAYERS = [1, 3, 7, 13, 19];
const DEFAULT_ROWS = 1000;

export interface RunFlags extends OutputFlags, KernelFlags, RowFlags {
  depth?: number;
  activation?: RunConfig['activation'];
  width?: RunConfig['width'];
  preset?: string;
  metric?: string;
  gamma?: number;
  seed?: number;
  seeds?: number[];
  agop?: RunConfig['agop'];
  agopSamples?: number;
  solver?: RunConfig['solver'];
  gramLayers?: number[];
  memoryLimit?: number;
  tile?: number;
  plan?: boolean;
  planFor?: string;
  adapter?: AdapterChoice;
  gpu?: string;
  tune?: boolean;
  figures?: boolean;
  out?: string;
  savePredictions?: boolean;
  saveModel?: string;
  resume?: boolean;
}

export interface RunRequest {
  /** As metrics.json has it. */
  config: RunConfig;
  dataset: Dataset;
  /** Features of a row. */
  d: number;
  out: string;
  /** Of the rows before the first layer; null: none was given. */
  metric: MetricFactor | null;
  /** Remarks about flags that have no effect. */
  remarks: string[];
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
 * @param like a request with the same metric, which takes long to be factored.
 * @throws input error for flags that contradict each other or the data, and everything the readers refuse.
 */
export function readRunRequest(
  flags: RunFlags,
  preset: PresetUse | null = null,
  like: Pick<RunRequest, 'metric'> | null = null,
): RunRequest {
  const dataset = loadRows(flags);
  const name = flags.dataset ?? 'mnist-sample';
  checkVaried(dataset.train, flags.x === undefined ? `--dataset ${name}` : `--x ${flags.x}`);
  const { config, remarks } = readConfig(flags, dataset.train.rows, dataset.test?.rows ?? 0);
  if (flags.savePredictions && dataset.test === null) {
    throw inputError('--save-predictions: there are no test rows to predict; give some with --test-n or --test-x');
  }
  const out = flags.out ?? `results/${name}-n${config.n}-seed${config.seed}`;
  const selection = rowSelection(flags);
  if (selection) config.selection = selection;
  if (preset) config.preset = preset;
  if (flags.metric !== undefined) config.metric = flags.metric;
  const all = [...presetRemarks(preset), ...datasetRemarks(dataset), ...remarks];
  const d = dataset.train.cols;
  const rows = flags.x === undefined ? `--dataset ${name}` : place('--x', flags.x);
  const metric = like?.metric ?? (flags.metric === undefined ? null : readMetric(flags.metric, d, rows));
  return { config, dataset, d, out, metric, remarks: all };
}

/** What `run --plan` needs to know. */
export interface PlanRequest {
  config: RunConfig;
  d: number;
  classes: number;
}

/** Training rows, test rows and features of the datasets with ten classes. */
const SHAPES: Readonly<Partial<Record<DatasetName, readonly [train: number, test: number, d: number]>>> = {
  'mnist-sample': [SAMPLE_TRAIN_ROWS, SAMPLE_TEST_ROWS, 784],
  mnist: [60_000, 10_000, 784],
  'fashion-mnist': [60_000, 10_000, 784],
  kmnist: [60_000, 10_000, 784],
  cifar10: [50_000, 10_000, 3072],
  svhn: [73_257, 26_032, 3072],
};

/** The same for a plan, which does not need the rows of a dataset whose shape is known. */
export function readPlanRequest(flags: RunFlags): PlanRequest {
  // Under MNIST's names there may be EMNIST, which is larger.
  const { dataset: name = 'mnist-sample', dataDir, x, y, testX, testY, metric } = flags;
  const named = [x, y, testX, testY, metric].some((file) => file !== undefined);
  const read = named || (dataDir !== undefined && ['mnist', 'mnist-sample'].includes(name));
  const shape = read || rowSelection(flags) ? undefined : SHAPES[name as DatasetName];
  if (shape === undefined) {
    const { config, dataset, d } = readRunRequest(flags);
    return { config, d, classes: dataset.classes };
  }
  const [train, test, d] = shape;
  const { n = DEFAULT_ROWS, testN = DEFAULT_ROWS } = flags;
  for (const [flag, value, rows] of [
    ['--n', n, train],
    ['--test-n', testN, test],
  ] as const) {
    if (value > rows) throw inputError(`${flag} ${value}: ${name} has ${rows}; use ${flag} ${rows} or less`);
  }
  return { config: readConfig(flags, n, testN).config, d, classes: 10 };
}

/** What the method is told of the configuration that metrics.json has. A given metric is read from its file. */
export function optionsOf({ depth, ridge, activation, width, gamma, seed, ...config }: RunConfig): DeepRfmOptions {
  const { agop, agopSamples, solver, gramLayers } = config;
  const kernel = kernelOf(config);
  return { depth, kernel, ridge, activation, width, gamma, seed, agop, agopSamples, solver, gramLayers };
}

/**
 * What has no effect with features of infinite width.
 * @throws input error for what they do not have.
 */
function infiniteRemarks(flags: RunFlags, { activation, agop, agopSamples, solver }: RunConfig): string[] {
  if (activation !== 'relu') {
    throw inputError(`--width inf: only ReLU features have it, found --activation ${activation}; give a number`);
  }
  if (agop === 'jacobian' || agopSamples > 0) {
    const found = agopSamples > 0 ? `--agop-samples ${agopSamples}` : '--agop jacobian';
    throw inputError(`--width inf: the AGOP is taken in Gram space, found ${found}; drop it`);
  }
  if (solver !== 'auto' && solver !== 'cholesky') {
    throw inputError(`--width inf: systems are solved by cholesky, found --solver ${solver}; drop it`);
  }
  return flags.seed === undefined ? [] : ['--seed has no effect with --width inf: it has no weights'];
}

function readConfig(flags: RunFlags, n: number, testN: number): { config: RunConfig; remarks: string[] } {
  const depth = flags.depth ?? 20;
  const activation = flags.activation ?? 'relu';
  const remarks: string[] = [];
  const beyond = flags.gramLayers?.filter((layer) => layer > depth) ?? [];
  if (beyond.length > 0) remarks.push(`--gram-layers: ${beyond.join(', ')} ignored, the depth is ${depth}`);
  if (flags.gamma !== undefined && activation === 'relu') {
    remarks.push('--gamma has no effect with --activation relu: its weights are uniform');
  }
  const config: RunConfig = {
    dataset: flags.dataset ?? 'mnist-sample',
    n,
    testN,
    depth,
    ...kernelSettings(flags),
    activation,
    width: flags.width ?? defaultWidth(activation),
    gamma: flags.gamma ?? 0.1,
    seed: flags.seed ?? 0,
    agop: flags.agop ?? 'auto',
    agopSamples: flags.agopSamples ?? 0,
    solver: flags.solver ?? 'auto',
    gramLayers: (flags.gramLayers ?? DEFAULT_GRAM_LAYERS).filter((layer) => layer <= depth),
  };
  if (config.width === 'inf') remarks.push(...infiniteRemarks(flags, config));
  if (config.agopSamples > 0 && config.agop === 'gram') {
    throw inputError(
      `--agop-samples ${config.agopSamples}: the Gram form sums over all rows; drop it, or use --agop jacobian`,
    );
  }
  if (config.agopSamples >= n) {
    remarks.push(`--agop-samples ${config.agopSamples} has no effect: there are ${n} training rows`);
    config.agopSamples = 0;
  }
  return { config, remarks };
}
