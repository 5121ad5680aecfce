/** Checkpoints of `train`: the network and its optimiser as they lie on the device, and all that was measured. */

import { existsSync } from 'node:fs';
import { type CheckpointFormat, readCheckpoint, refuseOtherSettings, writeCheckpoint } from '../data/checkpoint.js';
import { inputError } from '../errors.js';
import type { Made } from '../made.js';
import type { Checkpoint } from '../nn/checkpoint.js';
import { TRAIN_SCHEMA } from '../nn/types.js';
import { writerOf } from '../report/known-files.js';
import type { Gpu } from '../runtime/gpu.js';
import { flagOf } from './messages.js';
import { type Finished, otherRows, readFinished, refuseOtherRun } from './resume.js';
import { checkpointPath, type DeviceIdentity, fingerprintsOf, identityOf } from './run-checkpoint.js';
import type { TrainFlags, TrainRequest } from './train-request.js';
import { VERSION, webgpuVersion } from './version.js';

const FORMAT: CheckpointFormat = { command: 'train', layout: 1 };

interface TrainHeader extends DeviceIdentity, Omit<Checkpoint, 'arrays'> {
  version: string;
  webgpu: string;
  settings: Record<string, unknown>;
  fingerprints: Record<string, string | null>;
  peakBytes: number;
}

/** A training up to the epoch at which it was kept. */
export interface TrainCheckpoint {
  device: DeviceIdentity;
  state: Checkpoint;
  /** Most device memory held so far. */
  peakBytes: number;
}

/** Settings by their flags. More epochs are no difference: those done stay as they are. */
function settingsOf({ config }: TrainRequest, flags: TrainFlags): Record<string, unknown> {
  const { epochs, learningRate, selection, ...own } = config;
  const rest = { ...own, ...selection };
  const settings = Object.fromEntries(Object.entries(rest).map(([name, value]) => [flagOf(name), value]));
  return { ...settings, '--lr': learningRate, '--no-tune': flags.tune === false };
}

/** What this training is made of, the number of its epochs aside. */
export const madeOf = (request: TrainRequest, flags: TrainFlags): Made => ({
  webgpu: webgpuVersion(),
  settings: settingsOf(request, flags),
  rows: fingerprintsOf(request),
});

/** Where it is not given it follows from the number of epochs, which may grow: then it stays as it was. */
function keepMeasureEvery({ config }: TrainRequest, flags: TrainFlags, settings: Record<string, unknown>): void {
  const made = settings['--measure-every'];
  if (flags.measureEvery === undefined && typeof made === 'number') config.measureEvery = made;
}

/**
 * The results of this training where it is finished; null where it is not, or is to go on for more epochs.
 * @throws input error if it is a finished training of another configuration.
 */
export function readFinishedTraining(request: TrainRequest, flags: TrainFlags): Finished | null {
  const { out, config } = request;
  const finished = readFinished(out, TRAIN_SCHEMA);
  const { epochs } = finished?.config ?? {};
  if (finished === null || typeof epochs !== 'number') return null;
  const checkpoint = readTrainCheckpoint(request, flags);
  const { records } = checkpoint?.state ?? {};
  // A checkpoint that is not at the end is that of a later training.
  if (records && !(records.length === config.seeds.length && records.every((r) => r.epochs.length >= config.epochs))) {
    return null;
  }
  keepMeasureEvery(request, flags, finished.made.settings);
  const { settings, rows } = madeOf(request, flags);
  refuseOtherRun(out, finished, settings, rows);
  if (epochs === config.epochs) return finished;
  if (checkpoint) return null;
  throw inputError(
    `--resume ${out}: is finished, after ${epochs} epochs, and its checkpoint is gone; use --epochs ${epochs}, or start ` +
      'again without --resume',
  );
}

/** Makes the function that writes a checkpoint of this training. */
export function checkpointWriter(
  request: TrainRequest,
  flags: TrainFlags,
  gpu: Gpu,
): (checkpoint: Checkpoint, peakBytes: number) => void {
  const fixed = {
    version: VERSION,
    webgpu: webgpuVersion(),
    settings: settingsOf(request, flags),
    fingerprints: fingerprintsOf(request),
    ...identityOf(gpu),
  };
  return ({ arrays, ...rest }, peakBytes) => {
    const header: TrainHeader = { ...fixed, ...rest, peakBytes };
    writeCheckpoint(checkpointPath(request.out), FORMAT, { ...header }, arrays);
  };
}

/**
 * The checkpoint in the output folder of this training; null if there is none.
 * @throws input error if it is damaged, of another version or of other settings, or has trained longer
 * than is asked for.
 */
export function readTrainCheckpoint(request: TrainRequest, flags: TrainFlags): TrainCheckpoint | null {
  const path = checkpointPath(request.out);
  if (!existsSync(path) || (flags.overwrite && writerOf(path) === 'run')) return null;
  const { header: found, arrays } = readCheckpoint(path, FORMAT);
  // The checksum fits, so this is what some version of this program wrote.
  const { version, webgpu, settings, fingerprints, adapter, lanes, choices, peakBytes, ...state } =
    found as TrainHeader;
  const installed = webgpuVersion();
  if (version !== VERSION || webgpu !== installed) {
    throw inputError(
      `--resume ${path}: was made by deep-rfm ${version} with webgpu ${webgpu}, this is ${VERSION} with ${installed}; ` +
        'delete it, or start again without --resume',
    );
  }
  keepMeasureEvery(request, flags, settings);
  refuseOtherSettings(path, settings, settingsOf(request, flags));
  const other = otherRows(fingerprints, fingerprintsOf(request));
  if (other.length > 0) {
    throw inputError(
      `--resume ${path}: was made with other data (the values of the ${other.join(' and of the ')} differ); ` +
        'use the same files, or start again without --resume',
    );
  }
  const done = state.records.reduce((most, { epochs }) => Math.max(most, epochs.length), 0);
  if (done > request.config.epochs) {
    throw inputError(
      `--resume ${path}: has trained ${done} epochs, more than --epochs ${request.config.epochs}; use --epochs ${done} or more`,
    );
  }
  return {
    device: { adapter, lanes, choices },
    state: { ...state, arrays: [...arrays].map(([name, data]) => ({ name, data })) },
    peakBytes,
  };
}
