/** The kernel that flags ask for. */

import type { KernelName, KernelSettings } from '../ops/kernels/kernels.js';

export interface KernelFlags {
  kernel?: KernelName;
  bandwidth?: number;
  ridge?: number;
}

/** As metrics.json has it. */
export const kernelSettings = ({
  kernel = 'laplace',
  bandwidth = 2,
  ridge = 1e-3,
}: KernelFlags): KernelSettings & { ridge: number } => ({ kernel, bandwidth, ridge });
