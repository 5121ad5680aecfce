/** Checkpoints of `train`: the network and its optimiser as they lie on the device, and all that was measured. */

import { existsSync } from 'node:fs';
import { type CheckpointFormat, readCheckpoint, refuseOtherSettings, writeCheckpoint } from '../data/checkpoint.js';
import { inputError } from '../errors.js';
import type { Checkpoint } from '../nn/checkpoint.js';
import type { Gpu } from '../runtime/gpu.js';
import { checkpointPath, type DeviceIdentity, fingerprint, identityOf, kebab } from './run-checkpoint.js';
import type { TrainFlags, TrainRequest } from './train-request.js';
import { VERSION, webgpuVersion } from './version.js';

const FORMAT: CheckpointFormat = { command: 'train', layout: 1 };

interface Header extends DeviceIdentity, Omit<Checkpoint, 'arrays'> {
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
  const { epochs, learningRate, ...rest } = config;
  const settings = Object.fromEntries(Object.entries(rest).map(([name, value]) => [kebab(name), value]));
  return { ...settings, '--lr': learningRate, '--no-tune': flags.tune === false };
}

const fingerprintsOf = ({ dataset }: TrainRequest): Record<string, string | null> => ({
  'training rows': fingerprint(dataset.train),
  'test rows': fingerprint(dataset.test),
});

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
    const header: Header = { ...fixed, ...rest, peakBytes };
    writeCheckpoint(checkpointPath(request.out), FORMAT, { ...header }, arrays);
  };
}

/**
 * The checkpoint in the output folder of this training.
 * @throws input error if there is none, or it is damaged, of another version or of other settings, or has trained longer
 * than is asked for.
 */
export function readTrainCheckpoint(request: TrainRequest, flags: TrainFlags): TrainCheckpoint {
  const path = checkpointPath(request.out);
  if (!existsSync(path)) {
    throw inputError(
      `--resume ${path}: no such file; name the folder of the training to go on with by --out, or drop --resume`,
    );
  }
  const { header: found, arrays } = readCheckpoint(path, FORMAT);
  // The checksum fits, so this is what some version of this program wrote.
  const { version, webgpu, settings, fingerprints, adapter, lanes, choices, peakBytes, ...state } = found as Header;
  const installed = webgpuVersion();
  if (version !== VERSION || webgpu !== installed) {
    throw inputError(
      `--resume ${path}: was made by deep-rfm ${version} with webgpu ${webgpu}, this is ${VERSION} with ${installed}; ` +
        'delete it, or start again without --resume',
    );
  }
  refuseOtherSettings(path, settings, settingsOf(request, flags));
  const now = fingerprintsOf(request);
  const other = Object.keys(now).filter((name) => now[name] !== fingerprints[name]);
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
