import type { KernelName } from '../rfm/types.js';

/** A kernel k(x, z) of the distance between rows, with its bandwidth. */
export interface RadialKernel {
  readonly kernel: KernelName;
  readonly bandwidth: number;
}

/** exp(−‖x − z‖/L). */
export const laplace = (bandwidth: number): RadialKernel => ({ kernel: 'laplace', bandwidth });

/** exp(−‖x − z‖²/(2L²)). */
export const gaussian = (bandwidth: number): RadialKernel => ({ kernel: 'gaussian', bandwidth });
