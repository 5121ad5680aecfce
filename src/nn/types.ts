import type { Made, PresetUse, RowSelection } from '../made.js';
import type { AdapterSummary } from '../runtime/adapter.js';
import type { LossName } from './loss.js';
import type { ModelName } from './models.js';
import type { OptimizerName } from './optimizer.js';
import type { HeadProbe, LayerProbe } from './probes.js';
import type { Score } from './training.js';

/** Plain data that training produces and that reports, files and tests consume. */

export const TRAIN_SCHEMA = 'deep-rfm/train/1';

/** What a training is told. */
export interface TrainSettings {
  model: ModelName;
  /** Hidden layers of the MLP (head). */
  depth: number;
  width: number;
  /** Xavier gain of the MLP (head). */
  init: number;
  /**
   * Which linear layers are drawn by it: 'all', or the 'hidden' ones, where the read-out, and behind convolutions the head's first
   * layer, are drawn from U(±1/√inputs). Default: 'all'.
   */
  initLayers?: 'all' | 'hidden' | undefined;
  learningRate: number;
  momentum: number;
  weightDecay: number;
  optimizer: OptimizerName;
  loss: LossName;
  epochs: number;
  batch: number;
  /** Epochs between measurements; the first (epoch 0) and the last are always measured. */
  measureEvery: number;
  seeds: number[];
}

/** What a training from the command line is told, and what of. */
export interface TrainConfig extends TrainSettings {
  /** Dataset name as given on the command line, or 'npy'. */
  dataset: string;
  n: number;
  testN: number;
  selection?: RowSelection | undefined;
  preset?: PresetUse | undefined;
}

export interface Measurement extends HeadProbe {
  /** Epochs trained before it; 0 is the network as it was drawn. */
  epoch: number;
  /** In evaluation mode, over all rows. */
  train: Score;
  /** null when there are no test rows. */
  test: Score | null;
  /** Time of this measurement. */
  seconds: number;
}

export interface SeedRecord {
  seed: number;
  /** Mean training loss and accuracy of each epoch's steps, each before its update. */
  epochs: Score[];
  measurements: Measurement[];
}

export interface TrainMetrics {
  schema: typeof TRAIN_SCHEMA;
  version: string;
  config: TrainConfig;
  /** Absent in what earlier versions wrote. */
  made?: Made | undefined;
  adapter: AdapterSummary;
  /** Training rows in each class. */
  classCounts: number[];
  seeds: SeedRecord[];
  memory: { peakBytes: number };
  /** Of the whole training, over all resumes. */
  seconds: number;
  /** Of them, what shaders took to be compiled since the last resume; epochs and measurements leave it out. */
  compilationSeconds?: number | undefined;
}

export type { LayerProbe, Score };
