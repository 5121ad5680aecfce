/** What the method may be told. Everything has a default. */

import type { AgopPath } from '../ops/agop/agop.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { laplace } from '../ops/kernels/laplace.js';
import type { MetricFactor } from './metric.js';
import type { Activation, Solver, Width } from './types.js';

/** Kernel ridge regression. */
export interface RidgeOptions {
  /** Default: `laplace(2)`. */
  kernel?: RadialKernel;
  /** λ, added to the diagonal of the kernel matrix. Default: 1e-3. */
  ridge?: number;
}

/** One layer of Deep RFM. */
export interface LayerOptions extends RidgeOptions {
  /** φ of the random features. Default: 'relu'. */
  activation?: Activation;
  /** How the AGOP is computed. Default: 'auto', by cost and by what cancels. */
  agop?: AgopPath | 'auto';
}

/** Deep RFM. */
export interface DeepRfmOptions extends LayerOptions {
  /** Number of layers. Default: 20. */
  depth?: number;
  /** Number of random features; 0: as many as the layer's input has; 'inf': their expectation, of ReLU alone. Default: 512, for 'cos' 0. */
  width?: Width;
  /** Scale of the Cauchy weights of cosine features. Default: 0.1. */
  gamma?: number;
  /** Of the random weights, up to 2⁵³ − 1. Default: 0. */
  seed?: number;
  /** Rows whose Jacobians the AGOP sums, evenly spaced in class order; 0: all. Default: 0. */
  agopSamples?: number;
  /** Default: 'auto', the fastest that fits into memory. */
  solver?: Solver;
  /** Layers, from 1 on, whose Gram picture is made. Default: none. */
  gramLayers?: readonly number[];
  /**
   * A metric M learned elsewhere, d × d, factored by `factorMetric`: standardised rows of length 1 are multiplied by M^{1/2}
   * before the first layer. Default: none.
   */
  metric?: MetricFactor | null;
}

/** Classic RFM. */
export interface RfmOptions extends RidgeOptions {
  /** Updates of the metric; 0: kernel ridge regression with the first one. Default: 5. */
  iterations?: number;
}

const RIDGE = { kernel: laplace(2), ridge: 1e-3 };
const LAYER = { ...RIDGE, activation: 'relu', agop: 'auto' } as const;
const DEEP = {
  ...LAYER,
  depth: 20,
  gamma: 0.1,
  seed: 0,
  agopSamples: 0,
  solver: 'auto',
  gramLayers: [],
  metric: null,
} as const;

export const layerOptions = (given: LayerOptions): Required<LayerOptions> => ({ ...LAYER, ...given });
export const rfmOptions = (given: RfmOptions): Required<RfmOptions> => ({ ...RIDGE, iterations: 5, ...given });
export const deepRfmOptions = (given: DeepRfmOptions): Required<DeepRfmOptions> => ({
  ...DEEP,
  width: defaultWidth(given.activation),
  ...given,
});

/** Number of random features where none is given. */
export const defaultWidth = (activation: Activation = 'relu'): number => (activation === 'cos' ? 0 : 512);
