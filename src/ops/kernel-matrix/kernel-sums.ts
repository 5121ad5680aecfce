import kernelSumsSource from '../../../shaders/kernel-matrix/kernel_sums_packed.wgsl';
import kernelValueSource from '../../../shaders/kernel-matrix/kernel_value.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { defineKernel, firstRow, read, readWrite, texture } from '../../runtime/kernel.js';
import type { Matrix, Pair } from '../../runtime/matrix.js';
import { gemm } from '../gemm/gemm.js';
import { packRows } from '../gemm/gemm-packed.js';
import { copiesFactors } from '../gemm/gemm-variants.js';
import type { RadialKernel } from '../kernels/kernel.js';
import { perKernel } from '../kernels/shader.js';
import { kernelMatrix } from './kernel-matrix.js';

const [MOST_OUTPUTS, MOST_FEATURES] = [10, 256];
/** Centres, in all, from which on it is worth the seconds that lavapipe compiles the kernel for. */
const MANY_CENTERS = 4096;

const fusedKernel = perKernel((kernelText) =>
  defineKernel({
    name: 'kernel_sums_packed',
    source: [kernelText, kernelValueSource, kernelSumsSource],
    bindings: {
      a: texture,
      b: texture,
      alpha: read('array<f32>'),
      out: readWrite('array<f32>'),
      low: readWrite('array<f32>'),
    },
    params: {
      m: 'u32',
      n: 'u32',
      k: 'u32',
      strideAlpha: 'u32',
      strideOut: 'u32',
      inverseBandwidth: 'f32',
      accumulate: 'flag',
      zero: 'zero',
      // In workgroups.
      first: firstRow(),
    },
    constants: { LANES: 'u32', OUTPUTS: 'u32' },
  }),
);

export interface KernelSums {
  /** m × d. */
  rows: Matrix;
  /** n × d. */
  centers: Matrix;
  /** outputs × n. */
  alpha: Matrix;
  /** m × outputs. */
  out: Pair;
  /** Whether they are added to what `out` holds. */
  accumulate: boolean;
}

/**
 * Whether kernel values with n centres, in all, are made and summed in one pass: on lavapipe, for up to ten outputs of up to 256
 * features. It does not depend on the rows, so that a row has the same sums wherever it is predicted.
 */
export const areSummedInOnePass = (
  gpu: Gpu,
  kernel: RadialKernel,
  { n, d, outputs }: { n: number; d: number; outputs: number },
): boolean =>
  copiesFactors(gpu) && !kernel.coordinates && n >= MANY_CENTERS && outputs <= MOST_OUTPUTS && d <= MOST_FEATURES;

function inOnePass(batch: Batch, sums: KernelSums, kernel: RadialKernel): void {
  const { rows, centers, alpha, out, accumulate } = sums;
  const { lanes } = batch.gpu;
  const [m, n, k, outputs] = [rows.rows, centers.rows, rows.cols, alpha.rows];
  const work = { op: 'kernel-sums', flops: m * n * (3 * k + 2 * outputs), bytes: 4 * (m + n) * (k + outputs) };
  batch.scope(work, () => {
    const [a, b] = [centers, rows].map((matrix) =>
      packRows(batch, { matrix, rows: matrix.rows, k, stride: matrix.stride, period: matrix.rows, outer: 0 }),
    );
    batch.dispatch(fusedKernel(kernel), {
      bindings: { a, b, alpha, out: out.high, low: out.low },
      params: {
        ...{ m, n, k, strideAlpha: alpha.stride, strideOut: out.high.stride },
        ...{ inverseBandwidth: 1 / kernel.bandwidth, accumulate },
      },
      constants: { LANES: lanes, OUTPUTS: outputs },
      grid: [ceilDiv(m, 4 * lanes)],
      work: { flops: 4 * lanes * n * (3 * k + 2 * outputs + kernel.operations) },
    });
    batch.reuse(a);
    batch.reuse(b);
  });
}

/** out = Σ_j α_j k(t_i, x_j) for rows t and centres x. `all`: of how many centres these are a part. */
export function kernelSums(batch: Batch, sums: KernelSums, kernel: RadialKernel, all: number): void {
  const { rows, centers, alpha, out, accumulate } = sums;
  if (areSummedInOnePass(batch.gpu, kernel, { n: all, d: rows.cols, outputs: alpha.rows })) {
    inOnePass(batch, sums, kernel);
    return;
  }
  const k = batch.temporary(rows.rows, centers.rows);
  kernelMatrix(batch, rows, centers, k, kernel);
  gemm(batch, { a: k, b: alpha, out, ...(accumulate && { addend: out }) });
}
