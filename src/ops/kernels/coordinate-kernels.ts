/** Kernels of distances by coordinates, as used on tables: unlike Euclidean ones they depend on the axes. */

import laplaceCoordinates from '../../../shaders/kernel-matrix/laplace_coordinates.wgsl';
import powerCoordinates from '../../../shaders/kernel-matrix/power_coordinates.wgsl';
import sumPower from '../../../shaders/kernel-matrix/sum_power.wgsl';
import { inputError, say, the } from '../../errors.js';
import { gaussian } from './gaussian.js';
import { f32bits, generalizedLaplace, halves } from './generalized-laplace.js';
import { checkedBandwidth, type RadialKernel } from './kernel.js';

/** The constants of a text with an exponent. */
function exponentConstants(exponent: number): Record<string, number> {
  const [EXPONENT_HEAD, EXPONENT_REST] = halves(exponent);
  return { EXPONENT_HEAD, EXPONENT_REST, ABSOLUTE: exponent === 1 ? 1 : 0 };
}

/**
 * The ℓ_p^q kernel k(x, z) = exp(−(‖x − z‖_p / L)^q) of bandwidth L > 0, 0 < q ≤ p ≤ 2 (beyond, its matrices need not be positive
 * definite). p = q = 1 is the product of Laplace kernels of the coordinates, exp(−Σ_i |x_i − z_i| / L); p = 2 is
 * `generalizedLaplace(L, q)`. The gradient counts as 0 in a coordinate in which both rows agree.
 * @throws input error for another bandwidth, p or q.
 */
export function lpLaplace(bandwidth: number, p: number, q: number): RadialKernel {
  if (!(q > 0 && q <= p && p <= 2)) {
    throw inputError(
      say`an ℓ_p^q kernel has ${the.norm} ${p} and ${the.exponent} ${q}, expected 0 < exponent ≤ norm ≤ 2`,
      say`use for example ${the.norm} 1 and ${the.exponent} 1`,
    );
  }
  if (p === 2) return generalizedLaplace(bandwidth, q);
  // With S = (‖x − z‖_p / L)^p, E = S^(q/p) = r^(2q/p): a Gaussian's for p = q.
  const radial = p === q ? gaussian(Math.SQRT1_2) : generalizedLaplace(1, (2 * q) / p);
  return {
    ...radial,
    name: p === 1 && q === 1 ? 'product laplace' : 'lpq laplace',
    label: p === 1 && q === 1 ? 'Product of Laplace kernels' : `Laplace of the ℓ_${p} norm with exponent ${q}`,
    formula: p === 1 && q === 1 ? 'exp(−‖x − z‖₁ / L)' : `exp(−(‖x − z‖_${p} / L)^${q})`,
    bandwidth: checkedBandwidth(bandwidth),
    withBandwidth: (other) => lpLaplace(other, p, q),
    gradientFades: false,
    coordinates: {
      source: powerCoordinates,
      constants: exponentConstants(p),
      rate: bandwidth ** -p,
      mean: false,
      bandwidth: radial.bandwidth,
      operations: p === 1 ? 20 : 150,
    },
  };
}

/** What a sum-power kernel may be told. */
export interface SumPower {
  /** q of the Laplace kernels that are summed, above 0 and at most 2. Default: 1. */
  exponent?: number;
  /** m, a whole number from 1 on. Default: 2. */
  power?: number;
  /** c, a constant's share in the sum, from 0 to below 1. Default: 0. */
  constantMix?: number;
}

/**
 * The sum-power Laplace kernel k(x, z) = (c + (1 − c) · (1/d) Σ_i exp(−(|x_i − z_i| / L)^q))^m of bandwidth L > 0: a sum of kernels
 * of single coordinates, to the power of m, in which up to m coordinates interact. The gradient counts as 0 in a coordinate in
 * which both rows agree.
 * @throws input error for another bandwidth, exponent, power or constant.
 */
export function sumPowerLaplace(bandwidth: number, given: SumPower = {}): RadialKernel {
  const { exponent = 1, power = 2, constantMix = 0 } = given;
  if (
    !(exponent > 0 && exponent <= 2 && Number.isInteger(power) && power >= 1 && constantMix >= 0 && constantMix < 1)
  ) {
    throw inputError(
      say`a sum-power kernel has ${the.exponent} ${exponent}, ${the.power} ${power} and ${the.constantMix} ${constantMix}, expected 0 < exponent ≤ 2, a whole power from 1 on, and 0 ≤ constant mix < 1`,
      say`use for example ${the.exponent} 1, ${the.power} 2 and ${the.constantMix} 0`,
    );
  }
  const share = 1 - constantMix;
  return {
    name: 'sum-power laplace',
    label: `Sum of Laplace kernels, to the power of ${power}`,
    formula: `(${constantMix} + ${share}/d · Σ_i exp(−(|x_i − z_i| / L)^${exponent}))^${power}`,
    bandwidth: checkedBandwidth(bandwidth),
    withBandwidth: (other) => sumPowerLaplace(other, given),
    shader: { source: sumPower, constants: { POWER: f32bits(power), SHARE: f32bits(share) } },
    rate: 1,
    // S is at most 1, whatever E it leads to.
    distanceAt: (value) => Math.sqrt(-Math.expm1(-value / power) / share),
    excessReach: Math.sqrt(-Math.expm1(-1 / 8 / power) / share),
    // ∂k/∂S = −m (1 − c) k / (1 − (1 − c) S), and w has that quotient; g is half of ψ′.
    weightUnit: (nearest) => 2 * power * share * (1 - share * nearest * nearest) ** power,
    gradientFades: false,
    operations: 1500,
    coordinates: {
      source: laplaceCoordinates,
      constants: exponentConstants(exponent),
      rate: 1,
      mean: true,
      bandwidth: 1,
      operations: exponent === 1 ? 80 : 220,
    },
  };
}
