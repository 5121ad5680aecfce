/** What `layer` is asked for: flags and files checked against each other before an adapter is opened. */

import { place } from '../data/files.js';
import { readClasses } from '../data/labels.js';
import { readMatrix, toFloat32 } from '../data/npy.js';
import { inputError } from '../errors.js';
import type { AgopPath } from '../ops/agop/agop.js';
import type { FeatureWeights } from '../ops/features/features.js';
import { type KernelSettings, kernelOf } from '../ops/kernels/kernels.js';
import { defaultWidth, type LayerOptions } from '../rfm/options.js';
import type { Activation, LayerInput } from '../rfm/types.js';
import type { AdapterChoice } from '../runtime/adapter.js';
import type { OutputFlags } from './flags.js';
import { type KernelFlags, kernelSettings } from './kernel.js';
import { readFeatures, readTargets, required, rowsDisagree, type TargetMatrix } from './matrices.js';

export interface LayerFlags extends OutputFlags, KernelFlags {
  x?: string;
  y?: string;
  labels?: string;
  weights?: string;
  phase?: string;
  seed?: number;
  layerIndex?: number;
  width?: number | 'inf';
  gamma?: number;
  activation?: Activation;
  agop?: AgopPath | 'auto';
  out?: string;
  saveKernel?: boolean;
  float64?: boolean;
  adapter?: AdapterChoice;
  gpu?: string;
  tune?: boolean;
}

/** What the layer is told. */
export type LayerSettings = KernelSettings & { ridge: number; activation: Activation; agop: AgopPath | 'auto' };

export interface LayerRequest {
  input: LayerInput;
  /** As metrics.json has them. */
  settings: LayerSettings;
  options: LayerOptions;
  targets: TargetMatrix;
  out: string;
  remarks: string[];
}

/** Rows of the training data, as messages need them. */
interface LayerRowsFile {
  path: string;
  n: number;
  d: number;
}

/** The classes of the rows, renumbered from 0 in ascending order of the labels. */
function classesOf(path: string, { path: xPath, n }: LayerRowsFile): Int32Array {
  const at = place('--labels', path);
  const { values: labels } = readClasses(path, '--labels', n);
  if (labels.length !== n) throw rowsDisagree(at, labels.length, n, xPath);
  const values = [...new Set(labels)].sort((a, b) => a - b);
  if (values.length < 2) {
    throw inputError(`${at}: all ${n} rows are of class ${values[0]}, expected at least two classes; add rows`);
  }
  const classOf = new Map(values.map((value, index) => [value, index]));
  return labels.map((label) => classOf.get(label) ?? 0);
}

/** Without labels the classes are those of the targets; metrics of neural collapse need two of them. */
function checkTargetClasses({ data, rows, cols }: TargetMatrix, at: string): void {
  const classes = new Set<number>();
  for (let row = 0; row < rows; row++) {
    const targets = data.subarray(row * cols, (row + 1) * cols);
    classes.add(cols === 1 ? Number(targets[0] > 0) : targets.indexOf(Math.max(...targets)));
  }
  if (classes.size < 2) {
    const rule = cols === 1 ? 'the sign of the target' : 'the largest target of a row';
    throw inputError(
      `${at}: all ${rows} rows are of one class by ${rule}; add rows of another class, or give --labels`,
    );
  }
}

/** --weights and --phase. */
function readWeights(flags: LayerFlags, path: string, { path: xPath, d }: LayerRowsFile): FeatureWeights {
  const random = {
    '--seed': flags.seed,
    '--layer-index': flags.layerIndex,
    '--width': flags.width,
    '--gamma': flags.gamma,
  };
  for (const [flag, value] of Object.entries(random)) {
    if (value !== undefined) {
      throw inputError(`${flag} ${value}: has no meaning with --weights, which holds the weights; drop one of the two`);
    }
  }
  const at = place('--weights', path);
  const weights = readMatrix(path, '--weights');
  if (weights.cols !== d) {
    throw inputError(
      `${at}: has ${weights.cols} columns, but ${place('--x', xPath)} has ${d}; give weights of shape width × ${d}`,
    );
  }
  const width = weights.rows;
  if (flags.activation !== 'cos') {
    if (flags.phase !== undefined) {
      throw inputError(
        `--phase ${flags.phase}: only --activation cos has phases; drop --phase or use --activation cos`,
      );
    }
    return { kind: 'given', weights: toFloat32(weights, at), width, phase: null };
  }
  const phasePath = required(
    flags.phase,
    '--phase',
    `the ${width} phases that --activation cos needs beside --weights`,
  );
  const phase = readMatrix(phasePath, '--phase');
  if (phase.data.length !== width || Math.min(phase.rows, phase.cols) !== 1) {
    throw inputError(
      `${place('--phase', phasePath)}: holds ${phase.rows} × ${phase.cols} numbers, but ${at} has ${width} rows; give ${width} phases`,
    );
  }
  return {
    kind: 'given',
    weights: toFloat32(weights, at),
    width,
    phase: toFloat32(phase, place('--phase', phasePath)),
  };
}

/** Random weights, or those of the files. */
function features(flags: LayerFlags, activation: Activation, samples: LayerRowsFile): FeatureWeights {
  if (flags.weights !== undefined) return readWeights(flags, flags.weights, samples);
  if (flags.phase !== undefined) {
    throw inputError(`--phase ${flags.phase}: needs --weights, which is missing; give both or neither`);
  }
  const { width } = flags;
  if (width === 'inf') {
    throw inputError(
      '--width inf: a layer alone makes features, which are numbers; give a number, or use deep-rfm run',
    );
  }
  return {
    kind: 'random',
    seed: flags.seed ?? 0,
    layerIndex: flags.layerIndex ?? 0,
    width: (width ?? defaultWidth(activation)) || samples.d,
    gamma: flags.gamma ?? 0.1,
  };
}

/**
 * Checks the flags of `layer` and reads its files.
 * @throws input error for flags that contradict each other, shapes that disagree, zero rows, and a single class.
 */
export function readLayerRequest(flags: LayerFlags): LayerRequest {
  const xPath = required(flags.x, '--x', 'the .npy file with the features (n × d)');
  const yPath = required(flags.y, '--y', 'the .npy file with the targets (n × C)');
  const out = required(flags.out, '--out', 'the folder to write to');
  const x = readFeatures(xPath, 'normalised');
  const samples: LayerRowsFile = { path: xPath, n: x.rows, d: x.cols };
  const targets = readTargets(yPath, x, xPath);
  const labels = flags.labels === undefined ? null : classesOf(flags.labels, samples);
  if (labels === null) checkTargetClasses(targets, place('--y', yPath));
  const activation = flags.activation ?? 'relu';
  const remarks: string[] = [];
  if (flags.gamma !== undefined && activation === 'relu') {
    remarks.push('--gamma has no effect with --activation relu: its weights are uniform');
  }
  const agop = flags.agop ?? 'auto';
  const settings = { ...kernelSettings(flags), activation, agop };
  if (targets.likeLabels) remarks.push('--y holds integers in one dimension; they are taken as targets, not as labels');
  return {
    input: {
      x: x.data,
      n: x.rows,
      d: x.cols,
      y: targets.data,
      outputs: targets.cols,
      labels,
      features: features(flags, activation, samples),
    },
    settings,
    options: { kernel: kernelOf(settings), ridge: settings.ridge, activation, agop },
    targets,
    out,
    remarks,
  };
}
