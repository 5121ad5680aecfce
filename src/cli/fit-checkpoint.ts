/** Checkpoints of `fit`: folds or trials that are done, and the state of the fit that is under way. */

import { existsSync } from 'node:fs';
import {
  type CheckpointFormat,
  type NamedArray,
  readCheckpoint,
  refuseOtherSettings,
  writeCheckpoint,
} from '../data/checkpoint.js';
import { inputError } from '../errors.js';
import { writerOf } from '../report/known-files.js';
import type { EstimatorState, FittedEstimator } from '../rfm/estimator.js';
import type { Metric } from '../rfm/estimator-metric.js';
import type { FitIteration } from '../rfm/scores.js';
import type { Gpu } from '../runtime/gpu.js';
import type { FitFlags, FitRequest } from './fit-request.js';
import { flagOf } from './messages.js';
import { otherRows } from './resume.js';
import { checkpointPath, type DeviceIdentity, identityOf } from './run-checkpoint.js';
import { VERSION, webgpuVersion } from './version.js';

const FORMAT: CheckpointFormat = { command: 'fit', layout: 1 };

/** What is kept. */
export interface FitCheckpoint {
  /** Folds or trials that are done, and fits of the last machine, as metrics.json has them. */
  done: unknown[];
  iterations: FitIteration[];
  /** Of the last fit; null before it began. */
  state: EstimatorState | null;
  /** Time taken so far. */
  seconds: number;
}

type MetricShape = { form: 'full'; rank: number } | { form: 'diagonal' } | null;

interface FitHeader extends DeviceIdentity {
  version: string;
  webgpu: string;
  settings: Record<string, unknown>;
  checksums: Record<string, string | null>;
  done: unknown[];
  iterations: FitIteration[];
  seconds: number;
  state: {
    reports: EstimatorState['reports'];
    metric: MetricShape;
    best: (Omit<FittedEstimator, 'metric' | 'alpha'> & { metric: MetricShape }) | null;
  } | null;
}

/** Every setting that results depend on, by its flag. */
export function fitSettings({ config, encoding }: FitRequest, flags: FitFlags): Record<string, unknown> {
  const settings = Object.fromEntries(Object.entries(config).map(([name, value]) => [flagOf(name), value]));
  return {
    ...settings,
    '--drop': encoding.drop,
    '--categories': encoding.categories,
    '--no-tune': flags.tune === false,
    '--memory-limit': flags.memoryLimit ?? null,
  };
}

const bytesOf = (x: Float32Array | Float64Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

const shapeOf = (metric: Metric): MetricShape =>
  metric?.form === 'full' ? { form: 'full', rank: metric.rank } : metric && { form: 'diagonal' };

const arraysOf = (name: string, metric: Metric): NamedArray[] =>
  metric ? [{ name, data: bytesOf(metric.form === 'full' ? metric.factor : metric.roots) }] : [];

function metricFrom(shape: MetricShape, data: Uint8Array<ArrayBuffer> | undefined): Metric {
  if (shape === null || data === undefined) return null;
  return shape.form === 'full'
    ? { form: 'full', rank: shape.rank, factor: new Float32Array(data.buffer) }
    : { form: 'diagonal', roots: new Float64Array(data.buffer) };
}

/** Makes the function that writes a checkpoint of this fit. */
export function fitCheckpointWriter(request: FitRequest, flags: FitFlags, gpu: Gpu): (kept: FitCheckpoint) => void {
  const fixed = {
    version: VERSION,
    webgpu: webgpuVersion(),
    settings: fitSettings(request, flags),
    checksums: request.checksums,
    ...identityOf(gpu),
  };
  return ({ done, iterations, state, seconds }) => {
    const best = state?.best ?? null;
    const header: FitHeader = {
      ...fixed,
      ...{ done, iterations, seconds },
      state: state && {
        reports: state.reports,
        metric: shapeOf(state.metric),
        best: best && {
          iteration: best.iteration,
          bandwidth: best.bandwidth,
          ridge: best.ridge,
          metric: shapeOf(best.metric),
        },
      },
    };
    const arrays = [
      ...arraysOf('metric', state?.metric ?? null),
      ...arraysOf('best metric', best?.metric ?? null),
      ...(best ? [{ name: 'alpha', data: bytesOf(best.alpha) }] : []),
    ];
    writeCheckpoint(checkpointPath(request.out), FORMAT, { ...header }, arrays);
  };
}

/**
 * The checkpoint in the output folder of this fit; null if there is none.
 * @throws input error if it is damaged, of another version, of other settings or of other tables.
 */
export function readFitCheckpoint(
  request: FitRequest,
  flags: FitFlags,
): (FitCheckpoint & { device: DeviceIdentity }) | null {
  const path = checkpointPath(request.out);
  if (!existsSync(path) || (flags.overwrite && writerOf(path) !== 'fit')) return null;
  const { header: found, arrays } = readCheckpoint(path, FORMAT);
  // The checksum fits, so this is what some version of this program wrote.
  const { version, webgpu, settings, checksums, adapter, lanes, choices, done, iterations, seconds, state } =
    found as FitHeader;
  if (version !== VERSION || webgpu !== webgpuVersion()) {
    throw inputError(
      `--resume ${path}: was made by deep-rfm ${version} with webgpu ${webgpu}, this is ${VERSION} with ${webgpuVersion()}; delete it, or start again without --resume`,
    );
  }
  refuseOtherSettings(path, settings, fitSettings(request, flags));
  const other = otherRows(checksums, request.checksums);
  if (other.length > 0) {
    throw inputError(
      `--resume ${path}: was made with other data (the ${other.join(' and the ')} differ); use the same files, or start again without --resume`,
    );
  }
  const alpha = arrays.get('alpha');
  return {
    device: { adapter, lanes, choices },
    ...{ done, iterations, seconds },
    state: state && {
      reports: state.reports,
      metric: metricFrom(state.metric, arrays.get('metric')),
      best:
        state.best && alpha
          ? {
              ...state.best,
              metric: metricFrom(state.best.metric, arrays.get('best metric')),
              alpha: new Float64Array(alpha.buffer),
            }
          : null,
    },
  };
}
