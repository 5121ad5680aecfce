import { type DeepRfmProgress, type DeepRfmResult, deepRfm as runDeepRfm } from '../rfm/deep-rfm.js';
import type { Activation, AgopPath, DeepRfmConfig } from '../rfm/types.js';
import type { Gpu } from '../runtime/gpu.js';
import { type LabelledData, labelledRows } from './data.js';
import { laplace, type RadialKernel } from './kernels.js';

/** What `deepRfm` may be told; everything has a default. */
export interface DeepRfmOptions {
  /** Number of layers. Default: 20. */
  depth?: number;
  /** Default: `laplace(2)`. */
  kernel?: RadialKernel;
  /** λ, added to the diagonal of the kernel matrix. Default: 1e-3. */
  ridge?: number;
  /** φ of the random features. Default: 'relu'. */
  activation?: Activation;
  /** Number of random features; 0: as many as the layer's input has. Default: 512, for 'cos' 0. */
  width?: number;
  /** Scale of the Cauchy weights of cosine features. Default: 0.1. */
  gamma?: number;
  /** Of the random weights, up to 2⁵³ − 1: one seed gives the same weights on every device. Default: 0. */
  seed?: number;
  /** How the AGOP is computed. Default: 'auto', by cost and by what cancels. */
  agop?: AgopPath | 'auto';
  /** Layers, from 1 on, whose Gram picture is made. Default: none. */
  gramLayers?: number[];
  /** Told of phases and layers as they come, and the signal that stops the run. */
  progress?: DeepRfmProgress;
}

/**
 * Deep Recursive Feature Machine (Beaglehole, Súkeník, Mondelli, Belkin, NeurIPS 2024, arXiv 2402.13728): rows are sorted by
 * class and standardised, then each layer divides rows by their length, fits kernel ridge regression, computes the AGOP M of
 * the predictor, multiplies the rows by M^{1/2} and applies random features.
 * @returns NC1 and NC2 of every layer at its input, after M^{1/2} and after the features; accuracies, residuals and repairs.
 * @throws `RfmError` of kind 'input' where shapes or labels do not fit, a number is not finite, a row is zero after
 * standardisation, or all rows are of one class; 'doesNotFit' where the device's memory does not suffice.
 */
export async function deepRfm(gpu: Gpu, data: LabelledData, options: DeepRfmOptions = {}): Promise<DeepRfmResult> {
  const { kernel = laplace(2), activation = 'relu', progress = {}, ...given } = options;
  const rows = labelledRows(data);
  const config: DeepRfmConfig = {
    ...{ dataset: 'arrays', n: rows.train.rows, testN: rows.test?.rows ?? 0 },
    ...{ depth: 20, ridge: 1e-3, width: activation === 'cos' ? 0 : 512, gamma: 0.1, seed: 0 },
    ...({ agop: 'auto', agopSamples: 0, solver: 'auto', gramLayers: [] } as const),
    ...kernel,
    activation,
    ...given,
  };
  return runDeepRfm(gpu, rows, config, { progress });
}
