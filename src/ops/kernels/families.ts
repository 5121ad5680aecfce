import { inputError, say, the } from '../../errors.js';
import type { Matrix } from '../../runtime/matrix.js';
import { lpLaplace, sumPowerLaplace } from './coordinate-kernels.js';
import { gaussian } from './gaussian.js';
import { generalizedLaplace } from './generalized-laplace.js';
import { type RadialKernel, withScales } from './kernel.js';
import { laplace } from './laplace.js';

/** Kernels of all bandwidths, and the distance that their bandwidth is measured by. */
export interface KernelFamily {
  at(bandwidth: number): RadialKernel;
  /** p of the norm ‖x − z‖_p. */
  norm: number;
  /** Whether ‖x − z‖_p^p is a mean over coordinates, not their sum. */
  mean: boolean;
  /**
   * The power of |x_i − z_i| in the distance: below 1 a gradient has no bound as two values of a coordinate come together.
   * 2 where the distance is Euclidean.
   */
  coordinateExponent: number;
  /** Of all its kernels; see `CoordinateDistance`. */
  scales?: Matrix;
}

/** What names a family. */
export interface FamilySettings {
  kernel: FamilyName;
  /** q; default: 1. Not of a Gaussian. */
  exponent?: number | undefined;
  /** p of lpq-laplace; default: 1. */
  norm?: number | undefined;
  /** m and c of sum-power-laplace; default: 2 and 0. */
  power?: number | undefined;
  constantMix?: number | undefined;
}

/** A family of distances by coordinates, with scales (1 × d). */
export const scaledFamily = (family: KernelFamily, scales: Matrix): KernelFamily => ({
  ...family,
  scales,
  at: (bandwidth) => withScales(family.at(bandwidth), scales),
});

type Setting = 'exponent' | 'norm' | 'power' | 'constantMix';

interface Named {
  /** Settings that it takes. */
  takes: readonly Setting[];
  of(settings: FamilySettings): KernelFamily;
}

const euclidean = (at: KernelFamily['at']): KernelFamily => ({
  ...{ at, norm: 2, mean: false },
  coordinateExponent: 2,
});

const ellPQ = (p: number, q: number): KernelFamily => ({
  at: (l) => lpLaplace(l, p, q),
  norm: p,
  mean: false,
  coordinateExponent: p,
});

const FAMILIES = {
  laplace: {
    takes: ['exponent'],
    of: ({ exponent = 1 }) => euclidean((l) => (exponent === 1 ? laplace(l) : generalizedLaplace(l, exponent))),
  },
  gaussian: { takes: [], of: () => euclidean(gaussian) },
  'product-laplace': {
    takes: ['exponent'],
    of: ({ exponent = 1 }) => ellPQ(exponent, exponent),
  },
  'lpq-laplace': {
    takes: ['exponent', 'norm'],
    of: ({ norm = 1, exponent = norm }) => ellPQ(norm, exponent),
  },
  'sum-power-laplace': {
    takes: ['exponent', 'power', 'constantMix'],
    of: ({ exponent, power, constantMix }) => ({
      at: (l) =>
        sumPowerLaplace(l, {
          ...(exponent !== undefined && { exponent }),
          ...(power !== undefined && { power }),
          ...(constantMix !== undefined && { constantMix }),
        }),
      norm: 1,
      mean: true,
      coordinateExponent: exponent ?? 1,
    }),
  },
} satisfies Record<string, Named>;

export type FamilyName = keyof typeof FAMILIES;
/** The names that flags and files have for families. */
export const FAMILY_NAMES = Object.keys(FAMILIES) as FamilyName[];

/** Whether kernels of this name take a setting. */
export const takesSetting = (kernel: FamilyName, setting: Setting): boolean =>
  (FAMILIES[kernel] as Named).takes.includes(setting);

/**
 * The kernels of these settings.
 * @throws input error for a setting that kernels of this name do not take, and at `at` for a value that they cannot have.
 */
export function familyOf(settings: FamilySettings): KernelFamily {
  const { kernel } = settings;
  for (const name of ['exponent', 'norm', 'power', 'constantMix'] as const) {
    const value = settings[name];
    if (value === undefined || takesSetting(kernel, name)) continue;
    const takers = FAMILY_NAMES.filter((other) => takesSetting(other, name));
    throw inputError(
      say`${the[name]} ${value}: the ${kernel} kernel takes none`,
      `drop it, or use ${takers.join(' or ')}`,
    );
  }
  return (FAMILIES[kernel] as Named).of(settings);
}
