import kernelValuesSource from '../../shaders/kernel_values.wgsl';
import type { KernelName } from '../rfm/types.js';
import { type Batch, ceilDiv, f32bits } from '../runtime/batch.js';
import type { Matrix } from '../runtime/matrix.js';
import { squaredDistances } from './gemm.js';

function fromDistances(
  batch: Batch,
  squared: Matrix,
  out: Matrix,
  kernel: KernelName,
  bandwidth: number,
  values: { weights: boolean; diagonal: number },
): void {
  batch.dispatch(
    {
      name: values.weights ? 'kernel_weights' : 'kernel_values',
      source: kernelValuesSource,
      constants: { GAUSSIAN: kernel === 'gaussian', WEIGHTS: values.weights },
    },
    [squared, out],
    [out.rows, out.cols, out.stride, f32bits(bandwidth), f32bits(values.diagonal)],
    [ceilDiv(out.stride / 4, 64), out.rows],
  );
}

/** Kernel values from squared distances: exp(−r/L) (Laplace) or exp(−r²/(2L²)) (Gaussian); `diagonal` is added on it. */
export function kernelFromDistances(
  batch: Batch,
  squared: Matrix,
  out: Matrix,
  kernel: KernelName,
  bandwidth: number,
  diagonal = 0,
): void {
  fromDistances(batch, squared, out, kernel, bandwidth, { weights: false, diagonal });
}

/**
 * Weights of the kernel's gradient from squared distances: ∇_x k(x, z) = w · (z − x), w = k/(L r)
 * (Laplace; 0 at r = 0, where it has no gradient) or k/L² (Gaussian).
 */
export function weightsFromDistances(
  batch: Batch,
  squared: Matrix,
  out: Matrix,
  kernel: KernelName,
  bandwidth: number,
): void {
  fromDistances(batch, squared, out, kernel, bandwidth, { weights: true, diagonal: 0 });
}

/** out_ij = k(a_i, b_j) for the rows of A (m × d) and B (n × d). Relative error about 1e-7 between near-duplicates, too. */
export function kernelMatrix(
  batch: Batch,
  a: Matrix,
  b: Matrix,
  out: Matrix,
  kernel: KernelName,
  bandwidth: number,
): void {
  batch.scope({ op: 'kernel-matrix' }, () => {
    const squared = batch.temporary(out.rows, out.cols);
    squaredDistances(batch, a, b, squared);
    kernelFromDistances(batch, squared, out, kernel, bandwidth);
  });
}
