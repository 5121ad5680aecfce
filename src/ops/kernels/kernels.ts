import { inputError } from '../../errors.js';
import { gaussian } from './gaussian.js';
import { generalizedLaplace } from './generalized-laplace.js';
import type { RadialKernel } from './kernel.js';
import { laplace } from './laplace.js';

/** Kernels by the names that files and flags have for them; of the exponent, undefined where there is none. */
const BY_NAME = {
  laplace: (bandwidth: number, exponent: number | undefined) =>
    exponent === undefined ? laplace(bandwidth) : generalizedLaplace(bandwidth, exponent),
  gaussian(bandwidth: number, exponent: number | undefined) {
    if (exponent !== undefined) throw inputError('a gaussian kernel has no exponent, only a laplace kernel has one');
    return gaussian(bandwidth);
  },
} as const;

export type KernelName = keyof typeof BY_NAME;
export const KERNEL_NAMES = Object.keys(BY_NAME) as KernelName[];

/** A kernel as files and flags have it. */
export interface KernelSettings {
  kernel: KernelName;
  bandwidth: number;
  /** Of a Laplace kernel with an exponent. */
  exponent?: number | undefined;
}

/**
 * The kernel of these settings.
 * @throws input error for a bandwidth or an exponent that it cannot have.
 */
export const kernelOf = ({ kernel, bandwidth, exponent }: KernelSettings): RadialKernel =>
  BY_NAME[kernel](bandwidth, exponent);

/**
 * The settings of a kernel: the reverse of `kernelOf`.
 * @throws input error for a kernel that files have no name for.
 */
export function settingsOf({ name, bandwidth, exponent, shader }: RadialKernel): KernelSettings {
  for (const kernel of KERNEL_NAMES) {
    const settings = { kernel, bandwidth, ...(exponent !== undefined && { exponent }) };
    if (exponent !== undefined && kernel !== 'laplace') continue;
    const same = kernelOf(settings);
    if (same.name === name && same.shader.source === shader.source) return settings;
  }
  throw inputError(
    `the kernel ${name} is one of your own, which files have no name for; use laplace, gaussian or generalizedLaplace`,
  );
}
