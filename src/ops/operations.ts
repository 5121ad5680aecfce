import { allocate, release, upload } from '../runtime/matrix.js';
import type { TunedOperation } from '../runtime/tuning.js';
import { AGOP_GRAM, gramWeights } from './agop/gram-weights.js';
import { allocateFactor, CHOLESKY, potrf, releaseFactor, TRSM, trsm } from './cholesky/cholesky.js';
import { copyScaled } from './elementwise/elementwise.js';
import { multiplyOnce } from './gemm/accurate-products.js';
import { GEMM, gemm } from './gemm/gemm.js';
import { KERNEL_MATRIX, kernelMatrix } from './kernel-matrix/kernel-matrix.js';
import { laplace } from './kernels/laplace.js';

/** Numbers in [−1, 1) that no symmetry of a kernel maps onto each other. */
const numbers = (count: number, factor: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => ((i * factor) % 1009) / 504.5 - 1);

/** A positive definite matrix: near the identity. */
const definite = (n: number): Float32Array => {
  const values = numbers(n * n, 37).map((value) => value / (2 * n));
  for (let i = 0; i < n; i++) values[i * n + i] += 1;
  return values;
};

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
        record: (batch) => kernelMatrix(batch, x, x, out, laplace(2)),
        release: () => release(gpu, x, out),
      };
    },
  },
  {
    operation: AGOP_GRAM,
    prepare(gpu, n) {
      const outputs = 10;
      // Nobody checks that the weights are symmetric, or S their product with α.
      const [w, vectors] = [
        upload(gpu, n, n, numbers(n * n, 37)),
        upload(gpu, 3 * outputs, n, numbers(3 * outputs * n, 61)),
      ];
      const out = { high: allocate(gpu, n, n), low: allocate(gpu, n, n) };
      const terms = { w, outputs, rows: vectors, cols: vectors };
      const tile = { product: { a: w, b: w, out }, form: 'NT', symmetric: true, terms } as const;
      return {
        record: (batch) => gramWeights(batch, multiplyOnce, tile),
        release: () => release(gpu, w, vectors, out.high, out.low),
      };
    },
  },
  {
    operation: CHOLESKY,
    prepare(gpu, n) {
      const [a, l] = [upload(gpu, n, n, definite(n)), allocate(gpu, n, n)];
      const factor = allocateFactor(gpu, l);
      return {
        record(batch) {
          copyScaled(batch, a, l);
          potrf(batch, factor);
        },
        release() {
          releaseFactor(gpu, factor);
          release(gpu, a, l);
        },
      };
    },
  },
  {
    operation: TRSM,
    prepare(gpu, n) {
      // As many right-hand sides as a solve with ten outputs has.
      const [l, b, out] = [
        upload(gpu, n, n, definite(n)),
        upload(gpu, 10, n, numbers(10 * n, 61)),
        allocate(gpu, 10, n),
      ];
      const factor = allocateFactor(gpu, l);
      let factored = false;
      return {
        record(batch) {
          if (!factored) potrf(batch, factor);
          factored = true;
          trsm(batch, factor, b, out, 'forward');
        },
        release() {
          releaseFactor(gpu, factor);
          release(gpu, l, b, out);
        },
      };
    },
  },
];
