import source from '../../../shaders/kernel-matrix/generalized_laplace.wgsl';
import { inputError } from '../../errors.js';
import { checkedBandwidth, type RadialKernel } from './kernel.js';

/** The bits of a float32. */
export const f32bits = (value: number): number => new Uint32Array(new Float32Array([value]).buffer)[0];

/** The first 12 significant bits, and what they lack, as the bits of two float32: products of the first with whole numbers up to 4096 are exact. */
export function halves(value: number): [head: number, rest: number] {
  const head = new Float32Array(new Uint32Array([f32bits(value) & 0xfffff000]).buffer)[0];
  return [f32bits(head), f32bits(value - head)];
}

/** Of a difference that float32 rounds away the gradient, relative to that at distance 1, is at most this. */
const FADED = 1e-3;
const EPSILON = 2 ** -24;

/**
 * The Laplace kernel with an exponent, k(x, z) = exp(−(‖x − z‖/L)^q), of bandwidth L > 0, 0 < q ≤ 2 (above 2 it is no kernel:
 * its matrices are not positive definite). q = 1 is `laplace(L)`, q = 2 `gaussian(L/√2)`. Its gradient at z = x, which for
 * q ≤ 1 does not exist, counts as 0.
 * @throws input error for another bandwidth or exponent.
 */
export function generalizedLaplace(bandwidth: number, exponent: number): RadialKernel {
  if (!(exponent > 0 && exponent <= 2)) {
    throw inputError(
      `the exponent of a kernel is ${exponent}, expected a number above 0 and at most 2; use for example 1`,
    );
  }
  const [EXPONENT_HEAD, EXPONENT_REST] = halves(exponent);
  return {
    name: 'generalized laplace',
    label: `Laplace with exponent ${exponent}`,
    formula: `exp(−(‖x − z‖ / L)^${exponent})`,
    bandwidth: checkedBandwidth(bandwidth),
    exponent,
    withBandwidth: (other) => generalizedLaplace(other, exponent),
    shader: { source, constants: { EXPONENT_HEAD, EXPONENT_REST } },
    // The logarithm of L^−q, which itself may be beyond float32.
    rate: -exponent * Math.log(bandwidth),
    distanceAt: (value) => value ** (1 / exponent),
    excessReach: (1 / 8) ** Math.max(1, 1 / exponent),
    weightUnit: (nearest) => (exponent * Math.exp(-((nearest / bandwidth) ** exponent))) / bandwidth ** exponent,
    gradientFades: EPSILON ** (exponent - 1) <= FADED,
    operations: 2000,
  };
}
