import kernelValueSource from '../../../shaders/kernel-matrix/kernel_value.wgsl';
import kernelValuesSource from '../../../shaders/kernel-matrix/kernel_values.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, read, readWrite, specialize } from '../../runtime/kernel.js';
import type { Matrix } from '../../runtime/matrix.js';
import { isHardware, type Operation, type Variant, variantOf } from '../../runtime/variants.js';
import { distanceKernel } from '../gemm/gemm.js';
import { blocked, type GemmVariant, packed, subgroup } from '../gemm/gemm-variants.js';
import { type RadialKernel, radialBandwidth } from '../kernels/kernel.js';
import { perKernel } from '../kernels/shader.js';
import type { Counts } from '../work.js';
import { pairDistances } from './pair-distances.js';

const declared = (name: string, values: { WEIGHTS: boolean; EXCESS: boolean }) =>
  perKernel((kernelText) =>
    specialize(
      defineKernel({
        name,
        source: [kernelText, kernelValueSource, kernelValuesSource],
        bindings: { squared: read('array<vec4f>'), out: readWrite('array<vec4f>') },
        params: {
          m: 'u32',
          n: 'u32',
          stride: 'u32',
          bandwidth: 'f32',
          diagonal: 'f32',
          nearest: 'f32',
          zero: 'zero',
        },
        constants: { WEIGHTS: 'bool', EXCESS: 'bool' },
      }),
      name,
      values,
    ),
  );
const KERNELS = {
  values: declared('kernel_values', { WEIGHTS: false, EXCESS: false }),
  excess: declared('kernel_excess', { WEIGHTS: false, EXCESS: true }),
  weights: declared('kernel_weights', { WEIGHTS: true, EXCESS: false }),
};

function fromDistances(
  batch: Batch,
  squared: Matrix,
  out: Matrix,
  kernel: RadialKernel,
  what: { form: keyof typeof KERNELS; diagonal?: number; nearest?: number },
): void {
  const { form, diagonal = 0, nearest = 0 } = what;
  batch.dispatch(KERNELS[form](kernel), {
    bindings: { squared, out },
    params: { m: out.rows, n: out.cols, stride: out.stride, bandwidth: radialBandwidth(kernel), diagonal, nearest },
    grid: [ceilDiv(out.stride / 4, 64), out.rows],
  });
}

/** Kernel values of n rows of d features with each other: a difference, a product and a sum for each. */
export const kernelMatrixWork = (n: number, d: number): Counts => ({
  flops: 1.5 * n * (n + 1) * d,
  bytes: 4 * (n * d + n * n),
});

/** Kernel values from squared distances (m × n); `diagonal` is added on the diagonal. */
export function kernelFromDistances(
  batch: Batch,
  squared: Matrix,
  out: Matrix,
  kernel: RadialKernel,
  diagonal = 0,
): void {
  fromDistances(batch, squared, out, kernel, { form: 'values', diagonal });
}

/** out_ij = k(a_i, b_j) − 1 to its last digit, for rows that are all within `kernel.excessReach` bandwidths of each other. */
export function kernelExcess(batch: Batch, a: Matrix, b: Matrix, out: Matrix, kernel: RadialKernel): void {
  const squared = batch.temporary(out.rows, out.cols);
  pairDistances(batch, kernel, a, b, squared);
  fromDistances(batch, squared, out, kernel, { form: 'excess' });
}

/**
 * Weights of the kernel's gradient from squared distances (m × n): ∇_x k(x, z) = `weightUnit` · w · (z − x), and w = 0 at
 * r = 0. nearest: see `nearestDistance`.
 */
export function weightsFromDistances(
  batch: Batch,
  squared: Matrix,
  out: Matrix,
  kernel: RadialKernel,
  nearest = 0,
): void {
  fromDistances(batch, squared, out, kernel, { form: 'weights', nearest });
}

export interface KernelMatrixVariant extends Variant {
  record(batch: Batch, a: Matrix, b: Matrix, out: Matrix, kernel: RadialKernel): void;
}

/** In one pass, the product's store making the values: a matrix of distances less to write and read. */
const fused = (variant: GemmVariant, suits: (gpu: Gpu) => boolean): KernelMatrixVariant => ({
  name: `fused-${variant.name}`,
  usable: variant.usable,
  suits,
  record: (batch, a, b, out, kernel) => distanceKernel(batch, { a, b, out }, kernel, variant),
});

/** Distances by the product in use, then values four at a time. */
const separate: KernelMatrixVariant = {
  name: 'separate',
  usable: () => true,
  record(batch, a, b, out, kernel) {
    const squared = batch.temporary(out.rows, out.cols);
    pairDistances(batch, kernel, a, b, squared);
    kernelFromDistances(batch, squared, out, kernel);
  },
};

/** The ways to compute a kernel matrix; the first that suits an adapter is its default. */
export const KERNEL_MATRIX: Operation<KernelMatrixVariant> = {
  op: 'kernel-matrix',
  variants: [fused(blocked, isHardware), fused(subgroup, (gpu) => !isHardware(gpu) && !packed.usable(gpu)), separate],
};

/**
 * out_ij = k(a_i, b_j) for the rows of A (m × d) and B (n × d). Relative error about 1e-7 between near-duplicates, too. Variants
 * differ for kernels of the Euclidean distance alone, which is made by the product.
 */
export function kernelMatrix(batch: Batch, a: Matrix, b: Matrix, out: Matrix, kernel: RadialKernel): void {
  const variant = kernel.coordinates ? separate : variantOf(batch.gpu, KERNEL_MATRIX);
  batch.scope({ op: 'kernel-matrix' }, () => variant.record(batch, a, b, out, kernel));
}
