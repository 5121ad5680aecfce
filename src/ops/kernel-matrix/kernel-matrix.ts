import kernelValueSource from '../../../shaders/kernel-matrix/kernel_value.wgsl';
import kernelValuesSource from '../../../shaders/kernel-matrix/kernel_values.wgsl';
import type { KernelName } from '../../rfm/types.js';
import { type Batch, ceilDiv, f32bits } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import type { Matrix } from '../../runtime/matrix.js';
import { isHardware, type Operation, type Variant, variantOf } from '../../runtime/variants.js';
import { distanceKernel, squaredDistances } from '../gemm/gemm.js';
import { blocked, type GemmVariant, kernelConstant, packed, subgroup } from '../gemm/gemm-variants.js';

const kernelValuesText = [kernelValueSource, kernelValuesSource];

function fromDistances(
  batch: Batch,
  squared: Matrix,
  out: Matrix,
  kernel: KernelName,
  bandwidth: number,
  values: { form: 'values' | 'excess' | 'weights'; diagonal?: number; nearest?: number },
): void {
  const { form, diagonal = 0, nearest = 0 } = values;
  batch.dispatchLoose(
    {
      name: `kernel_${form}`,
      source: kernelValuesText,
      constants: { KERNEL: kernelConstant(kernel), WEIGHTS: form === 'weights', EXCESS: form === 'excess' },
    },
    [squared, out],
    [out.rows, out.cols, out.stride, f32bits(bandwidth), f32bits(diagonal), f32bits(nearest)],
    [ceilDiv(out.stride / 4, 64), out.rows],
  );
}

/**
 * Kernel values from squared distances (m × n): exp(−r/L) (Laplace) or exp(−r²/(2L²)) (Gaussian); `diagonal` is added on
 * the diagonal.
 */
export function kernelFromDistances(
  batch: Batch,
  squared: Matrix,
  out: Matrix,
  kernel: KernelName,
  bandwidth: number,
  diagonal = 0,
): void {
  fromDistances(batch, squared, out, kernel, bandwidth, { form: 'values', diagonal });
}

/** Largest distance in bandwidths for `kernelExcess`. */
export const EXCESS_REACH = 1 / 8;

/** out_ij = k(a_i, b_j) − 1 to its last digit, for rows that are all within EXCESS_REACH bandwidths of each other. */
export function kernelExcess(
  batch: Batch,
  a: Matrix,
  b: Matrix,
  out: Matrix,
  kernel: KernelName,
  bandwidth: number,
): void {
  const squared = batch.temporary(out.rows, out.cols);
  squaredDistances(batch, a, b, squared);
  fromDistances(batch, squared, out, kernel, bandwidth, { form: 'excess' });
}

/**
 * Weights of the kernel's gradient from squared distances (m × n): ∇_x k(x, z) = `weightUnit` · w · (z − x), w = e/r
 * (Laplace) or e (Gaussian), e = k(r)/k(nearest), and 0 at r = 0. nearest: see `nearestDistance`.
 */
export function weightsFromDistances(
  batch: Batch,
  squared: Matrix,
  out: Matrix,
  kernel: KernelName,
  bandwidth: number,
  nearest = 0,
): void {
  fromDistances(batch, squared, out, kernel, bandwidth, { form: 'weights', nearest });
}

/** What the weights are multiples of: k(nearest)/L, or k(nearest)/L² for the Gaussian kernel. */
export function weightUnit(kernel: KernelName, bandwidth: number, nearest: number): number {
  const ratio = nearest / bandwidth;
  return kernel === 'gaussian' ? Math.exp((-ratio * ratio) / 2) / bandwidth ** 2 : Math.exp(-ratio) / bandwidth;
}

export interface KernelMatrixVariant extends Variant {
  record(batch: Batch, a: Matrix, b: Matrix, out: Matrix, kernel: KernelName, bandwidth: number): void;
}

/** In one pass, the product's store making the values: a matrix of distances less to write and read. */
const fused = (variant: GemmVariant, suits: (gpu: Gpu) => boolean): KernelMatrixVariant => ({
  name: `fused-${variant.name}`,
  usable: variant.usable,
  suits,
  record: (batch, a, b, out, kernel, bandwidth) => distanceKernel(batch, { a, b, out }, kernel, bandwidth, variant),
});

/** Distances by the product in use, then values four at a time. */
const separate: KernelMatrixVariant = {
  name: 'separate',
  usable: () => true,
  record(batch, a, b, out, kernel, bandwidth) {
    const squared = batch.temporary(out.rows, out.cols);
    squaredDistances(batch, a, b, squared);
    kernelFromDistances(batch, squared, out, kernel, bandwidth);
  },
};

/** The ways to compute a kernel matrix; the first that suits an adapter is its default. */
export const KERNEL_MATRIX: Operation<KernelMatrixVariant> = {
  op: 'kernel-matrix',
  variants: [fused(blocked, isHardware), fused(subgroup, (gpu) => !isHardware(gpu) && !packed.usable(gpu)), separate],
};

/** out_ij = k(a_i, b_j) for the rows of A (m × d) and B (n × d). Relative error about 1e-7 between near-duplicates, too. */
export function kernelMatrix(
  batch: Batch,
  a: Matrix,
  b: Matrix,
  out: Matrix,
  kernel: KernelName,
  bandwidth: number,
): void {
  batch.scope({ op: 'kernel-matrix' }, () =>
    variantOf(batch.gpu, KERNEL_MATRIX).record(batch, a, b, out, kernel, bandwidth),
  );
}
