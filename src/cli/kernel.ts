/** The kernel that flags ask for. */

import { inputError } from '../errors.js';
import type { KernelName, KernelSettings } from '../ops/kernels/kernels.js';

export interface KernelFlags {
  kernel?: KernelName;
  exponent?: number;
  bandwidth?: number;
  ridge?: number;
}

/**
 * As metrics.json has it, the exponent where it was given.
 * @throws input error for an exponent of another kernel than Laplace.
 */
export function kernelSettings(flags: KernelFlags): KernelSettings & { ridge: number } {
  const { kernel = 'laplace', exponent, bandwidth = 2, ridge = 1e-3 } = flags;
  if (exponent !== undefined && kernel !== 'laplace') {
    throw inputError(
      `--exponent ${exponent}: only --kernel laplace has one, found --kernel ${kernel}; drop one of the two`,
    );
  }
  return { kernel, bandwidth, ...(exponent !== undefined && { exponent }), ridge };
}
