/** What `train` is asked for: flags checked against each other, rows loaded, before an adapter is opened. */

import type { Dataset } from '../data/dataset.js';
import { datasetRemarks } from '../data/rows.js';
import { inputError } from '../errors.js';
import type { PresetUse } from '../made.js';
import type { LossName } from '../nn/loss.js';
import type { ModelName } from '../nn/models.js';
import type { OptimizerName } from '../nn/optimizer.js';
import { trainSettings } from '../nn/settings.js';
import type { TrainConfig } from '../nn/types.js';
import type { AdapterChoice } from '../runtime/adapter.js';
import { loadRows, type RowFlags, rowSelection } from './dataset-rows.js';
import type { OutputFlags } from './flags.js';
import { presetRemarks } from './presets.js';

export interface TrainFlags extends OutputFlags, RowFlags {
  model?: ModelName;
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
  figures?: boolean;
  out?: string;
}

export interface TrainRequest {
  config: TrainConfig;
  dataset: Dataset;
  out: string;
  /** Remarks about flags that have no effect. */
  remarks: string[];
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
  const dataset = loadRows(flags);
  const selection = rowSelection(flags);
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
    ...(selection && { selection }),
    ...(preset && { preset }),
  };
  const out = flags.out ?? `results/${model}-${name}-n${config.n}`;
  return { config, dataset, out, remarks };
}
