import { divideBy, symmetrize } from '../ops/elementwise.js';
import { gemm, gemmNN } from '../ops/gemm.js';
import { kernelMatrix } from '../ops/kernel-matrix.js';
import { diagonalMaximum, sqrtPsd } from '../ops/sqrt-psd.js';
import { type Batch, runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release, upload } from '../runtime/matrix.js';
import { enter } from '../runtime/timing.js';
import { transposeHost } from './rows.js';
import { agopOf, createClock, fitKernel, predict } from './step.js';
import type { LayerMetrics, RfmOptions, RfmResult } from './types.js';

/** Numbers in host memory, row-major; rows are used as they are, neither normalised nor standardised. */
export interface RfmInput {
  /** n × d. */
  x: Float32Array;
  n: number;
  d: number;
  /** n × outputs. */
  y: Float32Array;
  outputs: number;
  /** testRows × d. */
  testX: Float32Array | null;
  testRows: number;
}

/**
 * Classic Recursive Feature Machine (Radhakrishnan et al., arXiv 2212.13881): starting from M = I,
 * each iteration fits kernel ridge regression with distances ‖x − z‖_M and sets M to the AGOP of
 * the fit over its largest entry; a last fit with the final M gives α and the predictions.
 *
 * With R = M^{1/2}, ‖x − z‖_M is the plain distance of the rows xR, and the gradient through M is R times
 * the gradient in those rows, so M ← R · AGOP(XR) · R and every operation of a Deep RFM layer serves here.
 */
export async function rfm(
  gpu: Gpu,
  input: RfmInput,
  options: RfmOptions,
  onIteration: (iteration: number) => void = () => {},
): Promise<RfmResult> {
  const { n, d, outputs } = input;
  let iteration = 1;
  const clock = createClock((phase) => enter(gpu, iteration, phase));
  const owned: Matrix[] = [];
  const own = (matrix: Matrix): Matrix => {
    owned.push(matrix);
    return matrix;
  };
  try {
    const x = own(upload(gpu, n, d, input.x));
    const y = own(upload(gpu, outputs, n, transposeHost(input.y, n, outputs)));
    const test = input.testX && own(upload(gpu, input.testRows, d, input.testX));
    const projected = own(allocate(gpu, n, d));
    const m = own(allocate(gpu, d, d));
    const root = own(allocate(gpu, d, d));
    const solves: LayerMetrics['solve'][] = [];
    const iterations: RfmResult['iterations'] = [];

    for (let t = 0; t <= options.iterations; t++) {
      iteration = t + 1;
      // M = I at first: the rows themselves.
      const rows = t === 0 ? x : projected;
      if (t > 0) await runBatch(gpu, (batch) => gemm(batch, { a: x, b: root, out: projected }));
      const fitted = await fitKernel(gpu, rows, y, options, clock);
      try {
        solves.push(fitted.solve);
        if (t > 0) {
          iterations.push({
            M: await download(gpu, m),
            predictions: test && (await predictTest(gpu, test, root, projected, fitted.alpha, options)),
          });
        }
        if (t === options.iterations) {
          const alpha = transposeHost(await download(gpu, fitted.alpha), outputs, n);
          const last = iterations[iterations.length - 1];
          return { M: last.M, alpha, predictions: last.predictions, solves, iterations };
        }
        const agop = allocate(gpu, d, d);
        const low = allocate(gpu, d, d);
        try {
          await agopOf(gpu, rows, fitted, [0, n], { ...options, agop: 'auto' }, agop, low, clock);
          await runBatch(gpu, (batch) => updateMetric(batch, agop, t === 0 ? null : root, m));
        } finally {
          release(gpu, agop, low);
        }
        await sqrtPsd(gpu, m, root);
        onIteration(t + 1);
      } finally {
        release(gpu, fitted.k, fitted.squared, fitted.alpha);
      }
    }
    throw new Error('unreachable: the last fit returns');
  } finally {
    release(gpu, ...owned);
  }
}

/** m = R A R over its largest entry; without R, A over its largest entry. */
function updateMetric(batch: Batch, agop: Matrix, root: Matrix | null, m: Matrix): void {
  const { rows: d } = agop;
  let metric = agop;
  if (root) {
    const right = batch.temporary(d, d);
    gemm(batch, { a: agop, b: root, out: right });
    const both = batch.temporary(d, d);
    gemmNN(batch, { a: root, b: right, out: both });
    metric = batch.temporary(d, d);
    symmetrize(batch, both, metric);
  }
  const maximum = batch.temporary(1, 1);
  diagonalMaximum(batch, metric, maximum);
  divideBy(batch, metric, maximum, m);
}

/** Predictions (test rows × outputs) with centres `projected` = X R. */
async function predictTest(
  gpu: Gpu,
  test: Matrix,
  root: Matrix,
  projected: Matrix,
  alpha: Matrix,
  options: RfmOptions,
): Promise<Float32Array> {
  const k = allocate(gpu, test.rows, projected.rows);
  try {
    await runBatch(gpu, (batch) => {
      const rows = batch.temporary(test.rows, test.cols);
      gemm(batch, { a: test, b: root, out: rows });
      kernelMatrix(batch, rows, projected, k, options.kernel, options.bandwidth);
    });
    return transposeHost(await predict(gpu, alpha, k), alpha.rows, test.rows);
  } finally {
    release(gpu, k);
  }
}
