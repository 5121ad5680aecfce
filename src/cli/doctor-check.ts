import { gemm } from '../ops/gemm/gemm.js';
import { openAdapter } from '../platform/node/gpu.js';
import { runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, release, upload } from '../runtime/matrix.js';

/** Outcome of one real kernel on an adapter. */
export interface Check {
  works: boolean;
  /** ‖C − C₆₄‖ / ‖C₆₄‖ of a matrix product against float64; null if none came back. */
  relativeError: number | null;
  /** Compilation, upload, product and download. */
  seconds: number;
  /** What went wrong, on one line. */
  problem: string | null;
}

/** Float32 sums of 100 products stay far below it; a wrong lane or tile is far above. */
const TOLERANCE = 1e-5;

// Sizes that no tile divides, so that edges are exercised.
const [M, N, K] = [61, 45, 103];

/** Numbers in [−1, 1) that no symmetry of a kernel maps onto each other. */
const filled = (count: number, factor: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => ((i * factor) % 1009) / 504.5 - 1);

/** ‖C − ABᵀ‖ / ‖ABᵀ‖, the product in float64. */
function errorOf(product: Float32Array, a: Float32Array, b: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < M; i++) {
    for (let j = 0; j < N; j++) {
      let exact = 0;
      for (let k = 0; k < K; k++) exact += a[i * K + k] * b[j * K + k];
      difference += (product[i * N + j] - exact) ** 2;
      norm += exact ** 2;
    }
  }
  return Math.sqrt(difference / norm);
}

async function multiply(gpu: Gpu, left: Float32Array, right: Float32Array): Promise<Float32Array> {
  const [a, b, out] = [upload(gpu, M, K, left), upload(gpu, N, K, right), allocate(gpu, M, N)];
  await runBatch(gpu, (batch) => gemm(batch, { a, b, out }));
  const product = await download(gpu, out);
  release(gpu, a, b, out);
  return product;
}

/** Multiplies two matrices on the adapter with the program's own kernel and compares with float64. Never throws. */
export async function checkAdapter(instance: GPU, adapter: GPUAdapter): Promise<Check> {
  const started = performance.now();
  const outcome = (relativeError: number | null, problem: string | null): Check => ({
    works: problem === null,
    relativeError,
    seconds: (performance.now() - started) / 1000,
    problem: problem?.trim().replace(/\s*\n\s*/g, '; ') ?? null,
  });
  let gpu: Gpu | null = null;
  try {
    gpu = await openAdapter(instance, adapter);
    const [a, b] = [filled(M * K, 37), filled(N * K, 61)];
    const error = errorOf(await multiply(gpu, a, b), a, b);
    if (error <= TOLERANCE) return outcome(error, null);
    return outcome(
      Number.isFinite(error) ? error : null,
      `wrong result: relative error ${error}, expected ≤ ${TOLERANCE}`,
    );
  } catch (error) {
    return outcome(null, error instanceof Error ? error.message : String(error));
  } finally {
    await gpu?.close();
  }
}
