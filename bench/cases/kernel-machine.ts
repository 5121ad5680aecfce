import { agopGram, agopJacobian } from '../../src/ops/agop/agop.js';
import { agopGramWork } from '../../src/ops/agop/agop-gram.js';
import { agopJacobianWork } from '../../src/ops/agop/agop-jacobian.js';
import { AGOP_GRAM } from '../../src/ops/agop/gram-weights.js';
import { applyFeatures, featuresWork } from '../../src/ops/features/features.js';
import { GEMM } from '../../src/ops/gemm/gemm.js';
import { KERNEL_MATRIX, kernelMatrix, kernelMatrixWork } from '../../src/ops/kernel-matrix/kernel-matrix.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { sqrtPsd } from '../../src/ops/sqrt-psd/sqrt-psd.js';
import { runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { allocate, download, release, upload } from '../../src/runtime/matrix.js';
import { type BenchCase, type CaseRequest, type Prepared, REPEATS } from '../case.js';
import { matVec, matVecT, probedError, randomArray, rowsError, sampledRows } from '../host.js';
import { agopOfLayer, BANDWIDTH, fitLayerOne, type LayerOne, OUTPUTS, uploadLayer } from '../layer-one.js';

/** Features of the rows: MNIST's for the kernel matrix, CIFAR-10's for AGOP. */
const featuresOf = ({ quick }: CaseRequest, usual: number): number => (quick ? 64 : usual);

/** Rows of length one, n × d. */
function unitRows(n: number, d: number): Float32Array {
  const x = randomArray(n * d, 6);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < d; j++) sum += x[i * d + j] ** 2;
    for (let j = 0; j < d; j++) x[i * d + j] /= Math.sqrt(sum);
  }
  return x;
}

/** Laplace kernel of n rows with each other: distances and exponentials. */
export const kernelMatrixCases = (request: CaseRequest): BenchCase[] =>
  (request.sizes ?? (request.quick ? [65, 130] : [1000, 2000])).map((n) => {
    const d = featuresOf(request, 784);
    return {
      op: 'kernel-matrix',
      shape: `n=${n} d=${d}`,
      dimensions: { n, d, bandwidth: BANDWIDTH },
      operations: [KERNEL_MATRIX],
      ...kernelMatrixWork(n, d),
      severalSubmits: false,
      repeats: REPEATS,
      async prepare(gpu): Promise<Prepared> {
        const rows = unitRows(n, d);
        const [x, out] = [upload(gpu, n, d, rows), allocate(gpu, n, n)];
        return {
          run: async (g) => void (await runBatch(g, (batch) => kernelMatrix(batch, x, x, out, laplace(BANDWIDTH)))),
          async error() {
            const found = await download(gpu, out);
            return rowsError(
              sampledRows(n, n * d),
              () => n,
              (i, j) => found[i * n + j],
              (i, j) => {
                let sum = 0;
                for (let k = 0; k < d; k++) sum += (rows[i * d + k] - rows[j * d + k]) ** 2;
                return Math.exp(-Math.sqrt(sum) / BANDWIDTH);
              },
            );
          },
          release: () => release(gpu, x, out),
        };
      },
    };
  });

/** Random ReLU features of n rows. */
export const featuresCases = (request: CaseRequest): BenchCase[] =>
  (request.sizes ?? (request.quick ? [65, 130] : [1000, 4000])).map((n) => {
    const d = featuresOf(request, 784);
    const width = request.quick ? 48 : 512;
    return {
      op: 'features',
      shape: `n=${n} d=${d} width=${width}`,
      dimensions: { n, d, width },
      operations: [GEMM],
      ...featuresWork(n, d, width),
      severalSubmits: false,
      repeats: REPEATS,
      async prepare(gpu): Promise<Prepared> {
        const [rows, weights] = [unitRows(n, d), randomArray(width * d, 7)];
        const [x, w, out] = [upload(gpu, n, d, rows), upload(gpu, width, d, weights), allocate(gpu, n, width)];
        return {
          run: async (g) => void (await runBatch(g, (batch) => applyFeatures(batch, x, { w, phase: null }, out))),
          async error() {
            const found = await download(gpu, out);
            return rowsError(
              sampledRows(n, width * d),
              () => width,
              (i, j) => found[i * width + j],
              (i, j) => {
                let sum = 0;
                for (let k = 0; k < d; k++) sum += rows[i * d + k] * weights[j * d + k];
                return Math.max(0, sum);
              },
            );
          },
          release: () => release(gpu, x, w, out),
        };
      },
    };
  });

/** One fitted layer serves all operations on it; the last one is kept. */
let kept: { key: string; layer: Promise<LayerOne> } | null = null;

function layerFor(gpu: Gpu, n: number, d: number, dataDir: string | undefined): Promise<LayerOne> {
  const key = JSON.stringify([n, d, dataDir]);
  if (kept?.key !== key) kept = { key, layer: fitLayerOne(gpu, n, d, dataDir) };
  return kept.layer;
}

/**
 * AGOP times a vector in double precision, from the same rows, weights and α: J_iᵀ J_i v needs no Jacobian, since
 * J_i v = Σ_j α_j W_ij (x_j − x_i)·v.
 */
function agopTimes({ n, d, x, alpha, weights }: LayerOne, sums: Float64Array, v: Float64Array): Float64Array {
  const projected = matVec(x, n, d, v);
  const total = new Float64Array(n);
  const coefficients = new Float64Array(n);
  for (let c = 0; c < OUTPUTS; c++) {
    const a = alpha.subarray(c * n, c * n + n);
    const scaled = Float64Array.from(projected, (p, j) => p * a[j]);
    const t = matVec(weights, n, n, scaled);
    for (let i = 0; i < n; i++) t[i] -= sums[c * n + i] * projected[i];
    const spread = matVec(weights, n, n, t);
    for (let i = 0; i < n; i++) {
      coefficients[i] += a[i] * spread[i];
      total[i] += t[i] * sums[c * n + i];
    }
  }
  const combined = coefficients.map((value, i) => (value - total[i]) / n);
  return matVecT(x, n, d, combined);
}

function agopError(layer: LayerOne, found: Float32Array): number {
  const { n, d, alpha, weights } = layer;
  const sums = new Float64Array(OUTPUTS * n);
  for (let c = 0; c < OUTPUTS; c++) {
    sums.set(matVec(weights, n, n, Float64Array.from(alpha.subarray(c * n, c * n + n))), c * n);
  }
  return probedError(
    d,
    (v) => matVec(found, d, d, v),
    (v) => agopTimes(layer, sums, v),
  );
}

const agopSizes = ({ sizes, quick }: CaseRequest): readonly number[] => sizes ?? (quick ? [60] : [1000]);

/** Both forms of the AGOP on the rows of a fitted layer. */
export const agopCases = (request: CaseRequest, form: 'gram' | 'jacobian'): BenchCase[] =>
  agopSizes(request).map((n) => {
    const d = featuresOf(request, 3072);
    return {
      op: form === 'gram' ? 'agop-gram' : 'agop-jacobian',
      shape: `n=${n} d=${d} C=${OUTPUTS}`,
      dimensions: { n, d, outputs: OUTPUTS, bandwidth: BANDWIDTH },
      operations: form === 'gram' ? [AGOP_GRAM, GEMM] : [GEMM],
      ...(form === 'gram' ? agopGramWork(n, d, OUTPUTS) : agopJacobianWork(n, d, OUTPUTS)),
      severalSubmits: form === 'jacobian',
      repeats: REPEATS,
      async prepare(gpu): Promise<Prepared> {
        const layer = await layerFor(gpu, n, d, request.dataDir);
        const input = uploadLayer(gpu, layer);
        const [out, low] = [allocate(gpu, d, d), allocate(gpu, d, d)];
        return {
          async run(g) {
            if (form === 'gram') await agopGram(g, input.gram, { high: out, low });
            else await agopJacobian(g, input.jacobian, { high: out, low });
          },
          data: layer.data,
          error: async () => agopError(layer, await download(gpu, out)),
          arrays: async () => ({
            x: { shape: [n, d], data: layer.x },
            alpha: { shape: [OUTPUTS, n], data: layer.alpha },
            weights: { shape: [n, n], data: layer.weights },
          }),
          release() {
            input.release();
            release(gpu, out, low);
          },
        };
      },
    };
  });

/** M^{1/2} of the AGOP of a fitted layer; the size is that of M. */
export const sqrtCases = (request: CaseRequest): BenchCase[] =>
  (request.sizes ?? (request.quick ? [64] : [3072])).map((d) => {
    const n = request.quick ? 60 : 1000;
    return {
      op: 'sqrt-psd',
      shape: `${d}x${d}`,
      dimensions: { d, n },
      operations: [GEMM],
      flops: null,
      bytes: 4 * 2 * d * d,
      severalSubmits: true,
      repeats: 5,
      async prepare(gpu): Promise<Prepared> {
        const layer = await layerFor(gpu, n, d, request.dataDir);
        const values = await agopOfLayer(gpu, layer);
        const [m, out] = [upload(gpu, d, d, values), allocate(gpu, d, d)];
        return {
          data: layer.data,
          run: async (g) => void (await sqrtPsd(g, m, out)),
          async error() {
            const root = await download(gpu, out);
            return probedError(
              d,
              (v) => matVec(root, d, d, matVec(root, d, d, v)),
              (v) => matVec(values, d, d, v),
            );
          },
          arrays: async () => ({ m: { shape: [d, d], data: values } }),
          release: () => release(gpu, m, out),
        };
      },
    };
  });
