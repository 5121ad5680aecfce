import source from '../../../shaders/kernel-matrix/laplace.wgsl';
import { checkedBandwidth, type KernelShader, type RadialKernel } from './kernel.js';

const shader: KernelShader = { source, constants: {} };

/**
 * The Laplace kernel k(x, z) = exp(−‖x − z‖/L), of bandwidth L > 0. Its gradient does not exist at z = x, where it counts as
 * 0.
 * @throws input error for another bandwidth.
 */
export const laplace = (bandwidth: number): RadialKernel => ({
  name: 'laplace',
  label: 'Laplace',
  formula: 'exp(−‖x − z‖ / L)',
  bandwidth: checkedBandwidth(bandwidth),
  withBandwidth: laplace,
  shader,
  rate: 1 / bandwidth,
  distanceAt: (exponent) => exponent,
  excessReach: 1 / 8,
  weightUnit: (nearest) => Math.exp(-nearest / bandwidth) / bandwidth,
  gradientFades: false,
  operations: 600,
});
