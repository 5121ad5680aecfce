import { gaussian } from './gaussian.js';
import type { RadialKernel } from './kernel.js';
import { laplace } from './laplace.js';

/** Every kernel by the name that files and flags have for it. */
const BY_NAME = { laplace, gaussian } as const;

export type KernelName = keyof typeof BY_NAME;
export const KERNEL_NAMES = Object.keys(BY_NAME) as KernelName[];

/** A kernel as files and flags have it. */
export interface KernelSettings {
  kernel: KernelName;
  bandwidth: number;
}

/**
 * The kernel of these settings.
 * @throws input error for a bandwidth that is not above 0.
 */
export const kernelOf = ({ kernel, bandwidth }: KernelSettings): RadialKernel => BY_NAME[kernel](bandwidth);
