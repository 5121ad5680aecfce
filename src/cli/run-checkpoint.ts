/** Checkpoints of `run`: what a layer leaves to the next, and all that the report will need, in one file. */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rm, rmdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type CheckpointFormat, readCheckpoint, refuseOtherSettings, writeCheckpoint } from '../data/checkpoint.js';
import { inputError } from '../errors.js';
import type { Made } from '../made.js';
import type { WrittenLayers } from '../model/deep-rfm.js';
import { ensureOutputDirectory } from '../report/atomic.js';
import { writerOf } from '../report/known-files.js';
import type { GramFile } from '../report/page.js';
import type { DeepRfmState } from '../rfm/deep-rfm.js';
import type { MetricFactor } from '../rfm/metric.js';
import type { FeatureRows } from '../rfm/rows.js';
import { type LayerMetrics, PREDICTIONS, SCHEMA } from '../rfm/types.js';
import type { AdapterSummary } from '../runtime/adapter.js';
import type { Gpu } from '../runtime/gpu.js';
import { flagOf } from './messages.js';
import { type Finished, otherRows, readFinished, refuseOtherRun } from './resume.js';
import type { RunFlags, RunRequest } from './run-request.js';
import { VERSION, webgpuVersion } from './version.js';

const FORMAT: CheckpointFormat = { command: 'run', layout: 5 };

const folderOf = (out: string): string => join(out, 'checkpoint');
export const checkpointPath = (out: string): string => join(folderOf(out), 'state.bin');

/** What the results of a device depend on. */
export interface DeviceIdentity {
  adapter: AdapterSummary;
  lanes: number;
  /** Variants of operations in use, so that a tuning in between changes nothing. */
  choices: [op: string, variant: string][];
}

interface RunHeader extends DeviceIdentity {
  version: string;
  webgpu: string;
  settings: Record<string, unknown>;
  fingerprints: Record<string, string | null>;
  layers: LayerMetrics[];
  /** Shapes of the arrays `train` and `test`. */
  train: { rows: number; cols: number };
  test: { rows: number; cols: number } | null;
  /** Layers whose pictures are the arrays `gram-LAYER`, as PNG. */
  pictures: number[];
  seconds: number;
  peakBytes: number;
  deviceLosses: number;
  /** With --save-model: what is written of the model. */
  model: WrittenLayers | null;
}

/** A run up to its last whole layer. */
export interface RunCheckpoint {
  device: DeviceIdentity;
  state: DeepRfmState;
  pictures: GramFile[];
  /** Time taken so far. */
  seconds: number;
  /** Most device memory held so far. */
  peakBytes: number;
  /** Devices that were lost so far. */
  deviceLosses: number;
  /** With --save-model: what is written of the model. */
  model: WrittenLayers | null;
}

/** Every setting that the metrics depend on, by its flag. */
function settingsOf({ config }: RunRequest, flags: RunFlags): Record<string, unknown> {
  const { selection, ...own } = config;
  const all = { ...own, ...selection };
  const settings = Object.fromEntries(Object.entries(all).map(([name, value]) => [flagOf(name), value]));
  return {
    ...settings,
    '--no-tune': flags.tune === false,
    '--memory-limit': flags.memoryLimit ?? null,
    '--tile': flags.tile ?? null,
  };
}

/** What a checkpoint depends on: of a model its layers are kept, or they are not. */
const checkpointSettings = (request: RunRequest, flags: RunFlags): Record<string, unknown> => ({
  ...settingsOf(request, flags),
  '--save-model': flags.saveModel === undefined ? null : resolve(flags.saveModel),
});

const fingerprints = new WeakMap<object, string>();

function checksumOf({ rows, cols }: { rows: number; cols: number }, arrays: readonly ArrayBufferView[]): string {
  const hash = createHash('sha256').update(`${rows} × ${cols}`);
  for (const { buffer, byteOffset, byteLength } of arrays) hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return hash.digest('hex').slice(0, 32);
}

/** Of a matrix: the first digits of the SHA-256 of its shape and numbers. */
export const checksum = (matrix: { rows: number; cols: number; data: ArrayBufferView }): string =>
  checksumOf(matrix, [matrix.data]);

export function fingerprint(rows: RunRequest['dataset']['test']): string | null {
  if (rows === null) return null;
  const known = fingerprints.get(rows);
  if (known !== undefined) return known;
  const digest = checksumOf(rows, [rows.x, rows.labels]);
  fingerprints.set(rows, digest);
  return digest;
}

export const fingerprintsOf = ({
  dataset,
  metric = null,
}: Pick<RunRequest, 'dataset'> & { metric?: MetricFactor | null }): Made['rows'] => ({
  'training rows': fingerprint(dataset.train),
  'test rows': fingerprint(dataset.test),
  ...(metric && {
    metric: checksum({ rows: metric.rank, cols: metric.factor.length / metric.rank, data: metric.factor }),
  }),
});

/** What this run is made of. */
export const madeOf = (request: RunRequest, flags: RunFlags): Made => ({
  webgpu: webgpuVersion(),
  settings: settingsOf(request, flags),
  rows: fingerprintsOf(request),
});

const bytesOf = (x: Float32Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

export const identityOf = (gpu: Gpu): DeviceIdentity => ({
  adapter: gpu.adapter,
  lanes: gpu.lanes,
  choices: [...gpu.choices],
});

/**
 * Prepares the folder of the checkpoint: makes it, and removes what a write that was killed may have left in it.
 * @throws input error if it cannot be written to.
 */
export async function openCheckpoints(out: string): Promise<void> {
  const folder = folderOf(out);
  await ensureOutputDirectory(folder);
  for (const name of await readdir(folder)) {
    if (name.startsWith('.tmp-')) await rm(join(folder, name), { force: true });
  }
}

/** Removes the folder if there is no checkpoint in it. */
export const closeCheckpoints = (out: string): Promise<void> => rmdir(folderOf(out)).catch(() => undefined);

/** Of a run that is finished. */
export async function removeCheckpoint(out: string): Promise<void> {
  await rm(checkpointPath(out), { force: true });
  await closeCheckpoints(out);
}

/** Makes the function that writes a checkpoint of this run. */
export function checkpointWriter(
  request: RunRequest,
  flags: RunFlags,
  gpu: Gpu,
): (checkpoint: Omit<RunCheckpoint, 'device'>) => void {
  const fixed = {
    version: VERSION,
    webgpu: webgpuVersion(),
    settings: checkpointSettings(request, flags),
    fingerprints: fingerprintsOf(request),
    ...identityOf(gpu),
  };
  const shape = ({ rows, cols }: FeatureRows): { rows: number; cols: number } => ({ rows, cols });
  return ({ state: { layers, train, test, predictions }, pictures, ...spent }) => {
    const header: RunHeader = {
      ...fixed,
      layers,
      train: shape(train),
      test: test && shape(test),
      pictures: pictures.map(({ layer }) => layer),
      ...spent,
    };
    writeCheckpoint(checkpointPath(request.out), FORMAT, { ...header }, [
      { name: 'train', data: bytesOf(train.x) },
      ...(test ? [{ name: 'test', data: bytesOf(test.x) }] : []),
      ...(predictions ? [{ name: 'predictions', data: bytesOf(predictions) }] : []),
      ...pictures.map(({ layer, png }) => ({ name: `gram-${layer}`, data: png })),
    ]);
  };
}

/**
 * The results of this run where it is finished; null where it is not.
 * @throws input error if it is a finished run of another configuration, or one without the predictions asked for.
 */
export function readFinishedRun(request: RunRequest, flags: RunFlags): Finished | null {
  const { out } = request;
  // A checkpoint beside results is that of a later run.
  const finished = writerOf(checkpointPath(out)) === 'run' ? null : readFinished(out, SCHEMA);
  if (finished === null) return null;
  const { settings, rows } = madeOf(request, flags);
  refuseOtherRun(out, finished, settings, rows);
  if (flags.savePredictions && !existsSync(join(out, PREDICTIONS))) {
    throw inputError(
      `--resume ${out}: is finished, without --save-predictions; drop that, or run again without --resume`,
    );
  }
  return finished;
}

/**
 * The checkpoint in the output folder of this run; null if there is none.
 * @throws input error if it is damaged, of another version or of another configuration.
 */
export function readRunCheckpoint(request: RunRequest, flags: RunFlags): RunCheckpoint | null {
  const path = checkpointPath(request.out);
  if (!existsSync(path) || (flags.overwrite && writerOf(path) === 'train')) return null;
  const { header: found, arrays } = readCheckpoint(path, FORMAT);
  // The checksum fits, so this is what some version of this program wrote.
  const header = found as RunHeader;
  const webgpu = webgpuVersion();
  if (header.version !== VERSION || header.webgpu !== webgpu) {
    throw inputError(
      `--resume ${path}: was made by deep-rfm ${header.version} with webgpu ${header.webgpu}, this is ${VERSION} with ` +
        `${webgpu}; delete it, or start again without --resume`,
    );
  }
  refuseOtherSettings(path, header.settings, checkpointSettings(request, flags));
  const other = otherRows(header.fingerprints, fingerprintsOf(request));
  if (other.length > 0) {
    throw inputError(
      `--resume ${path}: was made with another configuration (the values of the ${other.join(' and of the ')} differ); ` +
        'use the same files, or start again without --resume',
    );
  }
  const predictions = arrays.get('predictions');
  const rowsOf = (name: string, { rows, cols }: { rows: number; cols: number }): FeatureRows => ({
    x: new Float32Array(arrays.get(name)!.buffer),
    rows,
    cols,
  });
  return {
    device: { adapter: header.adapter, lanes: header.lanes, choices: header.choices },
    state: {
      layers: header.layers,
      train: rowsOf('train', header.train),
      test: header.test && rowsOf('test', header.test),
      predictions: predictions ? new Float32Array(predictions.buffer) : null,
    },
    pictures: header.pictures.map((layer) => ({ layer, png: Buffer.from(arrays.get(`gram-${layer}`)!.buffer) })),
    seconds: header.seconds,
    peakBytes: header.peakBytes,
    deviceLosses: header.deviceLosses,
    model: header.model,
  };
}

/**
 * Makes the device compute as the one that made the checkpoint did.
 * @throws input error if it is another one: metrics.json names one adapter for all layers.
 */
export function adoptDevice(
  { device }: { device: DeviceIdentity },
  gpu: Gpu,
  out: string,
  describe: (adapter: AdapterSummary) => string,
): void {
  const found = identityOf(gpu);
  const name = ({ adapter, lanes }: DeviceIdentity): string =>
    `${describe(adapter)} with ${lanes === 0 ? 'varying' : lanes} lanes`;
  const key = ({ adapter, lanes }: DeviceIdentity): string =>
    JSON.stringify([adapter.vendor, adapter.architecture, adapter.device, adapter.description, adapter.type, lanes]);
  if (key(found) !== key(device)) {
    throw inputError(
      `--resume ${checkpointPath(out)}: was made on another adapter (${name(device)}), this is ${name(found)}; ` +
        'go on where it was made, or start again without --resume',
    );
  }
  gpu.choices.clear();
  for (const [op, variant] of device.choices) gpu.choices.set(op, variant);
}
