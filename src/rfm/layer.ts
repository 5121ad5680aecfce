import { inputError, type RfmError } from '../errors.js';
import { featureMap } from '../ops/features.js';
import { normalizeRows } from '../ops/statistics.js';
import { runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release, upload } from '../runtime/matrix.js';
import { enter } from '../runtime/timing.js';
import { classOrder, permuteRows, restoreRows, transposeHost } from './rows.js';
import { accuracy, agopOf, agopRoot, createClock, fitKernel, predict, projectRows, stageMetrics } from './step.js';
import type { LayerInput, LayerOptions, LayerResult } from './types.js';

/**
 * One layer of Deep RFM on numbers in host memory: rows are divided by their length, then kernel ridge
 * regression, AGOP, M^{1/2}, random features, and the metrics of the three stages. Nothing is standardised.
 * Errors: 'input' for a row of zeros or a single class.
 */
export async function rfmLayer(
  gpu: Gpu,
  input: LayerInput,
  options: LayerOptions,
  want: { kernelMatrix?: boolean; signal?: AbortSignal } = {},
): Promise<LayerResult> {
  const { n, d, outputs } = input;
  const labels = input.labels ?? labelsOf(input.y, outputs);
  const { order, starts } = classOrder(labels);
  const owned: Matrix[] = [];
  const own = (matrix: Matrix): Matrix => {
    owned.push(matrix);
    return matrix;
  };
  const clock = createClock((phase) => {
    want.signal?.throwIfAborted();
    enter(gpu, 1, phase);
  });
  try {
    const raw = own(upload(gpu, n, d, permuteRows(input.x, d, order)));
    const x = own(allocate(gpu, n, d));
    await normalizeOrRefuse(gpu, raw, x, (row) =>
      inputError(
        `--x: row ${order[row]} (from 0) has length 0 or is not finite, and rows are divided by their length; remove it`,
      ),
    );
    const yT = transposeHost(permuteRows(input.y, outputs, order), n, outputs);
    const y = own(upload(gpu, outputs, n, yT));

    const fitted = await fitKernel(gpu, x, y, options, clock);
    own(fitted.k);
    own(fitted.squared);
    own(fitted.alpha);
    const agop = own(allocate(gpu, d, d));
    const agopLow = own(allocate(gpu, d, d));
    const agopReport = await agopOf(gpu, x, fitted, starts, options, agop, agopLow, clock);
    const root = own(allocate(gpu, d, d));
    const rootReport = await agopRoot(gpu, agop, agopLow, root, clock);
    const map = await featureMap(gpu, d, input.features, options.activation === 'cos');
    own(map.w);
    if (map.phase) own(map.phase);
    const width = map.w.rows;
    const mx = own(allocate(gpu, n, d));
    const features = own(allocate(gpu, n, width));
    await projectRows(gpu, x, root, map, mx, features, clock);
    const stages = await stageMetrics(gpu, { input: x, agop: mx, features }, starts, clock);

    const scores = await predict(gpu, fitted.alpha, fitted.k);
    const sortedLabels = Int32Array.from(order, (i) => labels[i]);
    const rowsBack = async (matrix: Matrix) => restoreRows(await download(gpu, matrix), matrix.cols, order);
    return {
      kernelMatrix: want.kernelMatrix ? restoreSquare(await download(gpu, fitted.k), n, order) : null,
      alpha: restoreRows(transposeHost(await download(gpu, fitted.alpha), outputs, n), outputs, order),
      agop: await download(gpu, agop),
      agopSqrt: await download(gpu, root),
      agopFeatures: await rowsBack(mx),
      features: await rowsBack(features),
      width,
      metrics: {
        layer: 1,
        ...stages,
        trainAccuracy: accuracy(scores, sortedLabels),
        testAccuracy: null,
        solve: fitted.solve,
        agop: { ...agopReport, ...rootReport },
        seconds: clock.seconds,
      },
    };
  } finally {
    release(gpu, ...owned);
  }
}

/** x = rows of raw divided by their lengths; `complain` makes the error for the first row (of raw) of length 0. */
export async function normalizeOrRefuse(
  gpu: Gpu,
  raw: Matrix,
  x: Matrix,
  complain: (row: number) => RfmError,
): Promise<void> {
  const lengths = allocate(gpu, 1, raw.rows);
  try {
    await runBatch(gpu, (batch) => normalizeRows(batch, raw, x, lengths));
    const zero = (await download(gpu, lengths)).findIndex((length) => !(length > 0));
    if (zero >= 0) throw complain(zero);
  } finally {
    release(gpu, lengths);
  }
}

/** The argmax of each row of y (n × outputs); with one output, 1 where it is positive. */
function labelsOf(y: Float32Array, outputs: number): Int32Array {
  return Int32Array.from({ length: y.length / outputs }, (_, i) => {
    if (outputs === 1) return y[i] > 0 ? 1 : 0;
    let best = 0;
    for (let c = 1; c < outputs; c++) if (y[i * outputs + c] > y[i * outputs + best]) best = c;
    return best;
  });
}

/** Undoes a permutation of both rows and columns. */
function restoreSquare(data: Float32Array, n: number, order: Int32Array): Float32Array {
  const out = new Float32Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[order[i] * n + order[j]] = data[i * n + j];
  return out;
}
