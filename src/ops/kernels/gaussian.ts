import source from '../../../shaders/kernel-matrix/gaussian.wgsl';
import { checkedBandwidth, type KernelShader, type RadialKernel } from './kernel.js';

const shader: KernelShader = { source, constants: {} };

/**
 * The Gaussian kernel k(x, z) = exp(−‖x − z‖²/(2L²)), of bandwidth L > 0.
 * @throws input error for another bandwidth.
 */
export const gaussian = (bandwidth: number): RadialKernel => ({
  name: 'gaussian',
  label: 'Gaussian',
  formula: 'exp(−‖x − z‖² / (2L²))',
  bandwidth: checkedBandwidth(bandwidth),
  withBandwidth: gaussian,
  shader,
  rate: 1 / (2 * bandwidth * bandwidth),
  distanceAt: (exponent) => Math.sqrt(2 * exponent),
  // E is 1/128 there.
  excessReach: 1 / 8,
  weightUnit: (nearest) => Math.exp((-(nearest / bandwidth) * (nearest / bandwidth)) / 2) / bandwidth ** 2,
  gradientFades: true,
  operations: 600,
});
