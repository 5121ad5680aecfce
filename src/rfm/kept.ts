/** What a fit leaves to those who predict with it later: on the device while they are told of it, to be read piece by piece. */

import type { FeatureMap } from '../ops/features/features.js';
import type { ColumnStatistics } from '../ops/host-rows.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { downloadColumns, type Rows } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import type { Matrix } from '../runtime/matrix.js';
import type { FittedKernel } from './fit.js';
import type { GivenRoot } from './given-metric.js';

/** α of a fit, transposed (outputs × centres): as products take it, and what float32 cannot hold of it. */
export interface KeptAlpha {
  alpha: Float32Array;
  alphaLow: Float32Array;
}

/** A layer of Deep RFM. */
export interface KeptLayer extends KeptAlpha {
  /** Counts from 1. */
  layer: number;
  /** Training rows of length 1 in class order, n × d. */
  centers: Rows;
  /** M^{1/2}, d × d. */
  root: Matrix;
  /** W, and the phases. */
  map: FeatureMap;
}

/** What is the same in all layers, and what rows go through before the first. */
export interface KeptStart {
  /** That rows are standardised by, before they are divided by their length. */
  statistics: ColumnStatistics;
  /** M^{1/2} of a given metric, which rows of length 1 are multiplied by; null for none. */
  metric: GivenRoot | null;
  /** What one of the targets is worth. */
  targetUnit: number;
}

/** Receives a Deep RFM as it is made. */
export interface KeepDeepRfm {
  /** Before the first layer; not in a run that goes on after some. */
  start(kept: KeptStart): Promise<void>;
  layer(gpu: Gpu, kept: KeptLayer): Promise<void>;
}

/** The last fit of a classic RFM. */
export interface KeptRfm extends KeptAlpha {
  /** Rows relative to `mean`, over `unit`, times the factor of the metric: n × rank. */
  centers: Rows;
  mean: Float64Array;
  unit: number;
  /** F of the metric metricUnit · FᵀF, rank × d; null for I. */
  factor: Matrix | null;
  metricUnit: number;
  /** Of distances between such rows. */
  kernel: RadialKernel;
  targetUnit: number;
}

export type KeepRfm = (gpu: Gpu, kept: KeptRfm) => Promise<void>;

/** α of a fit while it is on the device. */
export async function keptAlpha(gpu: Gpu, fitted: Pick<FittedKernel, 'alpha' | 'coefficients'>): Promise<KeptAlpha> {
  const alpha = await downloadColumns(gpu, fitted.alpha);
  // The coefficients are the sum of two float32 in float64: their difference to the first is the second, but for digits that the sum has not.
  return { alpha, alphaLow: alpha.map((value, e) => fitted.coefficients[e] - value) };
}
