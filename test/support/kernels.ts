import { gaussian } from '../../src/ops/kernels/gaussian.js';
import { generalizedLaplace } from '../../src/ops/kernels/generalized-laplace.js';
import type { RadialKernel } from '../../src/ops/kernels/kernel.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import type { KernelName } from './reference.js';

/** The kernel whose float64 reference goes by this name. */
export function radialKernel(kernel: KernelName, bandwidth: number): RadialKernel {
  if (typeof kernel === 'number') return generalizedLaplace(bandwidth, kernel);
  return kernel === 'laplace' ? laplace(bandwidth) : gaussian(bandwidth);
}
