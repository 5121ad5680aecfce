import { inputError, RfmError } from '../../errors.js';
import type { WgslPart } from '../../runtime/kernel.js';
import type { Matrix } from '../../runtime/matrix.js';

/** WGSL for the values of a kernel, and u32 constants that its text takes. */
export interface KernelShader {
  /**
   * Functions on four squared distances at a time (`Pair4` is that of shaders/common/double_float4.wgsl):
   * `kernelExponent(square, scale)`, E in float32, with scale = 1/L;
   * `kernelWeight(square, nearest, scale)`, see `weightUnit`, for squares above 0;
   * `kernelExponent4(square, rate)`, E in double-float.
   */
  readonly source: WgslPart;
  readonly constants: Readonly<Record<string, number>>;
}

/**
 * A distance S(x, z) = rate · Σ_i ψ(x_i − z_i) by coordinates, in place of ‖x − z‖². The kernel is k = exp(−E(r)) of r = √S, and
 * its gradient ∇_x k = unit · w · rate · g(z − x), with g = ψ′/2 of every coordinate (0 where a coordinate agrees).
 */
export interface CoordinateDistance {
  /**
   * `coordinateTerm(difference, scale)`, ψ of four differences, and `coordinateSlope(difference, scale)`, g of four, with scale =
   * 1/L.
   */
  readonly source: WgslPart;
  readonly constants: Readonly<Record<string, number>>;
  readonly rate: number;
  /** Whether S is a mean over coordinates: then the rate is over their number. */
  readonly mean: boolean;
  /** What the kernel's text takes as its bandwidth. */
  readonly bandwidth: number;
  /** Operations of ψ, and of g; see `RowWork`. */
  readonly operations: number;
  /** 1 × d: what differences of each coordinate are multiplied by, x_i − z_i being scales_i times that of the rows. Default: 1. */
  readonly scales?: Matrix | undefined;
}

/**
 * A radial kernel k(x, z) = exp(−E(r)) of r = ‖x − z‖, with E(0) = 0 and rising: all that depends on which kernel it is. A
 * kernel of your own is one more function that returns such an object, with its shader.
 */
export interface RadialKernel {
  /** In messages. */
  readonly name: string;
  /** For people, with the formula of k. */
  readonly label: string;
  readonly formula: string;
  /** L, what distances are divided by. */
  readonly bandwidth: number;
  /** Of the Laplace kernel with one. */
  readonly exponent?: number;
  /** The same kernel of another bandwidth. */
  withBandwidth(bandwidth: number): RadialKernel;
  readonly shader: KernelShader;
  /** The number that `kernelExponent4` takes; on the device as the sum of two float32. */
  readonly rate: number;
  /** The distance, in bandwidths, at which E is `exponent`. */
  distanceAt(exponent: number): number;
  /** The largest distance, in bandwidths, at which k is so near 1 that k − 1 is summed in its place: E is at most 1/8 there. */
  readonly excessReach: number;
  /**
   * The unit of the gradient's weights: ∇_x k(x, z) = unit · w · (z − x) with w as `kernelWeight` makes it, k taken
   * relative to its value at the distance `nearest`.
   */
  weightUnit(nearest: number): number;
  /**
   * Whether ∇k goes to 0 as rows come together, so fast that rows whose difference float32 does not hold have none to
   * speak of.
   */
  readonly gradientFades: boolean;
  /** Operations of a value in double-float; see `RowWork`. */
  readonly operations: number;
  /** The distance that r is the root of; Euclidean where it is left out. All that is said of r, in bandwidths, is of that root. */
  readonly coordinates?: CoordinateDistance;
}

/** The kernel, of a distance by coordinates, with such scales. */
export function withScales(kernel: RadialKernel, scales: Matrix): RadialKernel {
  const { coordinates } = kernel;
  if (!coordinates) throw new RfmError('internal', `the ${kernel.name} kernel has no coordinates to scale`);
  return {
    ...kernel,
    coordinates: { ...coordinates, scales },
    withBandwidth: (bandwidth) => withScales(kernel.withBandwidth(bandwidth), scales),
  };
}

/** What r is divided by in the text of the kernel. */
export const radialBandwidth = ({ bandwidth, coordinates }: RadialKernel): number =>
  coordinates?.bandwidth ?? bandwidth;

/**
 * @throws input error for a kernel of a distance by coordinates, which rows must not be rotated for.
 */
export function refuseCoordinates({ name, coordinates }: RadialKernel, what: string): void {
  if (!coordinates) return;
  throw inputError(
    `${what} takes kernels of the Euclidean distance, found ${name}; use laplace or gaussian, or the estimator of fit`,
  );
}

/** @throws input error unless the bandwidth is a number above 0. */
export function checkedBandwidth(bandwidth: number): number {
  if (bandwidth > 0 && Number.isFinite(bandwidth)) return bandwidth;
  throw inputError(`the bandwidth of a kernel is ${bandwidth}, expected a number above 0; use for example 2`);
}
