import type { Made, PresetUse, RowSelection } from '../made.js';
import type { Numbers } from '../numbers.js';
import type { AgopPath } from '../ops/agop/agop.js';
import type { FeatureWeights } from '../ops/features/features.js';
import type { KernelSettings } from '../ops/kernels/kernels.js';
import type { SolveMethod } from '../ops/solve/solve.js';
import type { AdapterSummary } from '../runtime/adapter.js';

/** Plain data that the method produces and that reports, files and tests consume. */

export const SCHEMA = 'deep-rfm/metrics/1';
/** The file for a run's outputs at its test rows. */
export const PREDICTIONS = 'predictions.npy';

export type Activation = 'relu' | 'cos';
/** 'auto': the fastest that fits into memory. */
export type Solver = SolveMethod | 'auto';

/** Number of random features: 0 for as many as the layer's input has, 'inf' for their expectation. */
export type Width = number | 'inf';

/** Settings of a run as metrics.json has them. */
export interface RunConfig extends KernelSettings {
  /** Dataset name as given on the command line, or 'npy'. */
  dataset: string;
  n: number;
  testN: number;
  depth: number;
  ridge: number;
  activation: Activation;
  width: Width;
  /** Scale of the Cauchy weights of cosine features. */
  gamma: number;
  seed: number;
  agop: AgopPath | 'auto';
  /** Rows whose Jacobians the AGOP sums, evenly spaced in class order; 0: all. */
  agopSamples: number;
  solver: Solver;
  gramLayers: number[];
  selection?: RowSelection | undefined;
  preset?: PresetUse | undefined;
  /** File of the metric whose square root rows are multiplied by before the first layer. */
  metric?: string | undefined;
}

/** A quantity at the three stages of a layer: input X, M^{1/2} X, and φ(W M^{1/2} X). */
export interface Stages {
  input: number;
  agop: number;
  features: number;
}

/** How near a fit's kernel is to the best one for its targets: kernel learning (§5.2 of the paper). */
export interface KernelReport {
  /** J = μ ⟨Y, (K + μ I)⁻¹ Y⟩, with the ridge μ that was used. */
  objective: number;
  /** J*, the least value over all kernels with entries ≥ 0 and a diagonal of ones; NaN where the targets form no classes. */
  optimum: number;
  /** J / J*, which has a value without a ridge, too. */
  ratio: number;
  /** Mean kernel entries of different rows within classes, and between them. */
  within: number;
  between: number;
  /** Rows whose pairs they are the mean of: all, or evenly spaced ones where distances are not kept. */
  rows: number;
}

export interface LayerMetrics {
  /** Counts from 1. */
  layer: number;
  nc1: Stages;
  nc2: Stages;
  trainAccuracy: number;
  /** null when there are no test rows. */
  testAccuracy: number | null;
  /** Rows that enter the layer as zero, since all their features are (ReLU's, in a narrow layer); they stay zero. */
  deadRows: { train: number; test: number };
  /** `iterations`: products with the kernel matrix, where conjugate gradients took the place of a factorisation. */
  solve: {
    method: string;
    relativeResidual: number;
    refinements: number;
    jitter: number;
    /** Added to the ridge, where the system asked for has no solution in float32. */
    addedRidge?: number | undefined;
    iterations?: number | undefined;
  };
  /** Absent in what earlier versions wrote. */
  kernel?: KernelReport | undefined;
  agop: {
    path: AgopPath;
    /** How many times larger the terms that the Gram form sums are than their sum (an estimate). */
    cancellation: number;
    /** Rows whose Jacobians were summed: n unless fewer were asked for. */
    samples: number;
    /** Standard error of the AGOP from `samples` rows, relative in ‖·‖_F; 0 where all were taken. */
    samplingError: number;
    /** Largest eigenvalues of the normalised AGOP, descending. */
    topEigenvalues: number[];
    /** null where M is not formed, in layers of infinite width. */
    rank: number | null;
  };
  /** Of cosine features: how much rounding of their arguments changes a cosine, on average over rows and features. */
  argumentRounding?: number | undefined;
  seconds: {
    kernel: number;
    solve: number;
    agop: number;
    sqrt: number;
    features: number;
    metrics: number;
    /** Sum of the phases. */
    total: number;
    /** Shaders that were compiled meanwhile; in no phase. Absent in what earlier versions wrote, whose phases hold it. */
    compilation?: number | undefined;
  };
}

export interface RunMetrics {
  schema: typeof SCHEMA;
  version: string;
  config: RunConfig;
  /** Absent in what earlier versions wrote. */
  made?: Made | undefined;
  adapter: AdapterSummary;
  /** Number of classes, and of rows in each class, in class order. */
  classCounts: number[];
  layers: LayerMetrics[];
  /** Factor a layer by which NC1 of M^{1/2}X falls, fitted to layers from … to; null where it does not. Absent in earlier versions. */
  nc1Decay?: { factor: number; from: number; to: number } | null | undefined;
  memory: { predictedBytes: number; peakBytes: number };
  /** Times that the device was lost and a layer begun again. */
  deviceLosses: number;
  seconds: number;
}

/** Cosine similarities of the centred rows of M^{1/2} X of one layer, rows in class order, row-major n × n. */
export interface GramPicture {
  layer: number;
  /** Rows: all, or evenly spaced ones where there are more than a few thousand. */
  size: number;
  /** Rows of each class among them, in class order. */
  classCounts: readonly number[];
  values: Float32Array;
}

/** One layer on numbers in host memory; matrices are row-major. */
export interface LayerInput {
  /** n × d; rows are normalised by the layer. */
  x: Numbers;
  n: number;
  d: number;
  /** n × outputs targets. */
  y: Numbers;
  outputs: number;
  /** Class of each row for the metrics, 0 … C − 1; null: the argmax of y (one output: its sign). */
  labels: Int32Array | null;
  features: FeatureWeights;
}

export interface LayerResult {
  /** n × n, only if asked for. */
  kernelMatrix: Float32Array | null;
  /** n × outputs. */
  alpha: Float64Array;
  /** d × d, before division by its maximum. */
  agop: Float64Array;
  /** d × d, the square root of the AGOP after division by its maximum. */
  agopSqrt: Float32Array;
  /** n × d, M^{1/2} x. */
  agopFeatures: Float32Array;
  /** n × width. */
  features: Float32Array;
  width: number;
  metrics: LayerMetrics;
}

export interface RfmResult {
  /** d × d metric after the last iteration, divided by its maximum; without iterations the one of the first fit, as it is. */
  M: Float32Array;
  /** n × outputs. */
  alpha: Float64Array;
  /** test rows × outputs; null without test rows. */
  predictions: Float64Array | null;
  /** Of each fit: one an iteration, and the last one with the final M. */
  solves: LayerMetrics['solve'][];
  /** M after each iteration, and the predictions of the fit with it. */
  iterations: { M: Float32Array; predictions: Float64Array | null }[];
  /** Of each fit, as `solves`. */
  kernels: KernelReport[];
}
