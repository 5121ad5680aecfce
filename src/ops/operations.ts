import { allocate, release, upload } from '../runtime/matrix.js';
import type { TunedOperation } from '../runtime/tuning.js';
import { GEMM, gemm } from './gemm.js';
import { KERNEL_MATRIX, kernelMatrix } from './kernel-matrix.js';

/** Numbers in [−1, 1) that no symmetry of a kernel maps onto each other. */
const numbers = (count: number, factor: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => ((i * factor) % 1009) / 504.5 - 1);

/** Every operation that has variants: what `deep-rfm bench` and the tuner go through. */
export const OPERATIONS: readonly TunedOperation[] = [
  {
    operation: GEMM,
    prepare(gpu, n) {
      const [a, b, out] = [
        upload(gpu, n, n, numbers(n * n, 37)),
        upload(gpu, n, n, numbers(n * n, 61)),
        allocate(gpu, n, n),
      ];
      return {
        record: (batch) => gemm(batch, { a, b, out }),
        release: () => release(gpu, a, b, out),
      };
    },
  },
  {
    operation: KERNEL_MATRIX,
    prepare(gpu, n) {
      const [x, out] = [upload(gpu, n, n, numbers(n * n, 37)), allocate(gpu, n, n)];
      return {
        record: (batch) => kernelMatrix(batch, x, x, out, 'laplace', 2),
        release: () => release(gpu, x, out),
      };
    },
  },
];
