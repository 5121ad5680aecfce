/** What `train` is asked for: flags checked against each other, rows loaded, before an adapter is opened. */

import { DATASET_NAMES, type Dataset, type DatasetName, loadDataset, loadNpyDataset } from '../data/dataset.js';
import { datasetRemarks } from '../data/rows.js';
import { inputError } from '../errors.js';
import type { PresetUse } from '../made.js';
import type { LossName } from '../nn/loss.js';
import type { ModelName } from '../nn/models.js';
import type { OptimizerName } from '../nn/optimizer.js';
import { trainSettings } from '../nn/settings.js';
import type { TrainConfig } from '../nn/types.js';
import type { AdapterChoice } from '../runtime/adapter.js';
import type { OutputFlags } from './flags.js';
import { required } from './matrices.js';
import { presetRemarks } from './presets.js';

export const TRAIN_DATASETS = [...DATASET_NAMES, 'npy'] as const;
const DEFAULT_ROWS = 1000;

export interface TrainFlags extends OutputFlags {
  model?: ModelName;
  dataset?: DatasetName | 'npy';
  dataDir?: string;
  x?: string;
  y?: string;
  testX?: string;
  testY?: string;
  n?: number;
  testN?: number;
  depth?: number;
  width?: number;
  init?: number;
  initLayers?: 'all' | 'hidden';
  preset?: string;
  lr?: number;
  momentum?: number;
  weightDecay?: number;
  optimizer?: OptimizerName;
  loss?: LossName;
  epochs?: number;
  batch?: number;
  measureEvery?: number;
  seed?: number;
  seeds?: number[];
  resume?: boolean;
  saveModel?: string;
  adapter?: AdapterChoice;
  gpu?: string;
  /** false: --no-tune. */
  tune?: boolean;
  out?: string;
}

export interface TrainRequest {
  config: TrainConfig;
  dataset: Dataset;
  out: string;
  /** Remarks about flags that have no effect. */
  remarks: string[];
}

function load(flags: TrainFlags): Dataset {
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
    if (value !== undefined) throw inputError(`${flag} ${value}: needs --dataset npy; add it or drop ${flag}`);
  }
  if (dataset === 'mnist-sample' && dataDir !== undefined) {
    throw inputError(
      `--data-dir ${dataDir}: mnist-sample comes with the program; drop --data-dir, or use --dataset mnist`,
    );
  }
  return loadDataset({ name: dataset, dataDir, n: n ?? DEFAULT_ROWS, testN: testN ?? DEFAULT_ROWS });
}

/**
 * Checks the flags of `train` and loads its rows.
 * @throws input error for flags that contradict each other or the data, and everything the readers refuse.
 */
export function readTrainRequest(flags: TrainFlags, preset: PresetUse | null = null): TrainRequest {
  const { model = 'mlp', optimizer = 'sgd', seed, seeds } = flags;
  if (seed !== undefined && seeds !== undefined) {
    throw inputError(`--seed ${seed}: found --seeds ${seeds.join(',')} as well; use one of the two`);
  }
  const dataset = load(flags);
  const name = flags.dataset ?? 'mnist-sample';
  if (model !== 'mlp' && !dataset.imageShape) {
    throw inputError(`--model ${model}: needs images, found plain features (--dataset ${name}); use --model mlp`);
  }
  const remarks = [...presetRemarks(preset), ...datasetRemarks(dataset)];
  if (flags.momentum !== undefined && optimizer === 'adam') {
    remarks.push('--momentum has no effect with --optimizer adam');
  }
  const { model: head, ...settings } = trainSettings({
    ...flags,
    learningRate: flags.lr,
    seeds: seeds ?? [seed ?? 0],
  });
  const config: TrainConfig = {
    model: head,
    dataset: name,
    n: dataset.train.rows,
    testN: dataset.test?.rows ?? 0,
    ...settings,
    ...(preset && { preset }),
  };
  const out = flags.out ?? `results/${model}-${name}-n${config.n}`;
  return { config, dataset, out, remarks };
}
