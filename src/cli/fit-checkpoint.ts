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

const FORMAT: CheckpointFormat = { command: 'fit', layout: 2 };

/** A leaf that is done: its machine, and its fits as metrics.json has them. */
export interface KeptLeaf {
  best: FittedEstimator;
  iterations: FitIteration[];
}

/** What is done of a tree. */
export interface TreeState {
  /** Of the splits, root first: d numbers each. */
  directions: Float64Array[];
  /** From left to right. */
  leaves: KeptLeaf[];
}

/** What is kept. */
export interface FitCheckpoint {
  /** Folds or trials that are done, and fits of the machine that is under way, as metrics.json has them. */
  done: unknown[];
  iterations: FitIteration[];
  /** Of the machine that is under way; null before it began. */
  state: EstimatorState | null;
  /** null: there is none, or no split is done. */
  tree: TreeState | null;
  /** Time taken so far. */
  seconds: number;
}

/** A predictor without its arrays. */
type BestShape = Omit<FittedEstimator, 'metric' | 'alpha'> & { metric: MetricShape };

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
    best: BestShape | null;
  } | null;
  tree: { directions: number; leaves: { best: BestShape; iterations: FitIteration[] }[] } | null;
}

/** Every setting that results depend on, by its flag. */
export function fitSettings({ config, encoding }: FitRequest, flags: FitFlags): Record<string, unknown> {
  const settings = Object.fromEntries(Object.entries(config).map(([name, value]) => [flagOf(name), value]));
  return {
    ...settings,
    '--drop': encoding.drop,
    '--categories': encoding.categories,
    '--no-tune': flags.variants === false,
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

const bestShape = ({ iteration, bandwidth, ridge, metric }: FittedEstimator): BestShape => ({
  ...{ iteration, bandwidth, ridge },
  metric: shapeOf(metric),
});

const bestArrays = (name: string, { metric, alpha }: FittedEstimator): NamedArray[] => [
  ...arraysOf(`${name} metric`, metric),
  { name: `${name} alpha`, data: bytesOf(alpha) },
];

type Arrays = Map<string, Uint8Array<ArrayBuffer>>;

function bestFrom(name: string, best: BestShape, arrays: Arrays): FittedEstimator {
  const alpha = arrays.get(`${name} alpha`);
  return {
    ...best,
    metric: metricFrom(best.metric, arrays.get(`${name} metric`)),
    alpha: new Float64Array(alpha?.buffer ?? new ArrayBuffer(0)),
  };
}

const directionName = (split: number): string => `direction ${split}`;
const leafName = (leaf: number): string => `leaf ${leaf}`;

function treeFrom(tree: FitHeader['tree'], arrays: Arrays): TreeState | null {
  if (tree === null) return null;
  return {
    directions: Array.from({ length: tree.directions }, (_, split) => {
      const found = arrays.get(directionName(split));
      return new Float64Array(found?.buffer ?? new ArrayBuffer(0));
    }),
    leaves: tree.leaves.map(({ best, iterations }, leaf) => ({
      best: bestFrom(leafName(leaf), best, arrays),
      iterations,
    })),
  };
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
  return ({ done, iterations, state, tree, seconds }) => {
    const best = state?.best ?? null;
    const header: FitHeader = {
      ...fixed,
      ...{ done, iterations, seconds },
      state: state && {
        ...{ reports: state.reports, metric: shapeOf(state.metric) },
        best: best && bestShape(best),
      },
      tree: tree && {
        directions: tree.directions.length,
        leaves: tree.leaves.map((leaf) => ({ best: bestShape(leaf.best), iterations: leaf.iterations })),
      },
    };
    const arrays = [
      ...arraysOf('metric', state?.metric ?? null),
      ...(best ? bestArrays('best', best) : []),
      ...(tree?.directions.map((vector, split) => ({ name: directionName(split), data: bytesOf(vector) })) ?? []),
      ...(tree?.leaves.flatMap((leaf, l) => bestArrays(leafName(l), leaf.best)) ?? []),
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
  const { version, webgpu, settings, checksums, adapter, lanes, choices, done, iterations, seconds, state, tree } =
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
  return {
    device: { adapter, lanes, choices },
    ...{ done, iterations, seconds },
    state: state && {
      reports: state.reports,
      metric: metricFrom(state.metric, arrays.get('metric')),
      best: state.best && bestFrom('best', state.best, arrays),
    },
    tree: treeFrom(tree, arrays),
  };
}
