import { inputError, type RfmError } from '../errors.js';
import type { Numbers } from '../numbers.js';
import { featureMap } from '../ops/features/features.js';
import { classOrder, permuteRows, restoreRows, transposeHost } from '../ops/host-rows.js';
import { kernelMatrix } from '../ops/kernel-matrix/kernel-matrix.js';
import { releaseDistances } from '../ops/solve/kernel-system.js';
import { normalizeRows } from '../ops/statistics/statistics.js';
import {
  allocateRows,
  downloadRows,
  matricesOf,
  type Panels,
  type Rows,
  uploadColumns,
  uploadRows,
} from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release, upload } from '../runtime/matrix.js';
import { enter } from '../runtime/timing.js';
import { type LayerOptions, layerOptions } from './options.js';
import { adopt, limitsOf, planRun } from './plan.js';
import { refuseLostDifferences, scaledTargets, unitRows } from './rows.js';
import { type Agop, accuracy, agopOf, agopRoot, createClock, fitKernel, projectRows, stageMetrics } from './step.js';
import type { LayerInput, LayerResult } from './types.js';

/**
 * One layer of Deep RFM on numbers in host memory: rows are divided by their length, then kernel ridge
 * regression, AGOP, M^{1/2}, random features, and the metrics of the three stages. Nothing is standardised.
 * Errors: 'input' for a row of zeros or a single class.
 */
export async function rfmLayer(
  gpu: Gpu,
  input: LayerInput,
  given: LayerOptions = {},
  want: { kernelMatrix?: boolean; signal?: AbortSignal } = {},
): Promise<LayerResult> {
  const options = layerOptions(given);
  const { n, d, outputs } = input;
  const labels = input.labels ?? labelsOf(input.y, outputs);
  const { order, starts } = classOrder(labels);
  const width = input.features.width || d;
  const plan = planRun(
    { n, testN: 0, d, outputs, width, agop: options.agop, agopSamples: null, solver: 'auto', holds: 'layer' },
    limitsOf(gpu, null),
  );
  const { grid } = plan;
  const restore = adopt(gpu, plan, null);
  const owned: Matrix[] = [];
  const own = <T extends Matrix | Panels>(held: T): T => {
    owned.push(...matricesOf(held));
    return held;
  };
  const clock = createClock(gpu, (phase) => {
    want.signal?.throwIfAborted();
    enter(gpu, 1, phase);
  });
  try {
    const rows = { x: input.x, rows: n, cols: d };
    const { mean, apart } = unitRows(rows);
    refuseLostDifferences(rows, apart, options.kernel);
    const x = own(uploadRows(gpu, grid, d, permuteRows(apart, d, order)));
    const targets = scaledTargets(input.y, options.ridge);
    const yT = transposeHost(permuteRows(targets.y, outputs, order), n, outputs);
    const y = own(uploadColumns(gpu, grid, outputs, yT));

    const fitted = await fitKernel(gpu, x, y, options, plan, clock);
    own(fitted.alpha);
    let agop: Agop;
    try {
      agop = await agopOf(gpu, fitted, starts, options, plan, clock);
    } finally {
      releaseDistances(gpu, fitted.system);
    }
    const unit = agop.unit * targets.unit ** 2;
    const m = Float64Array.from(await download(gpu, agop.m), (value) => value * unit);
    const { root, rank, topEigenvalues } = await agopRoot(gpu, agop.m, agop.low, clock);
    own(root);
    const map = await featureMap(gpu, d, input.features, options.activation === 'cos');
    own(map.w);
    if (map.phase) own(map.phase);
    const agopSqrt = await download(gpu, root);
    // What rows have in common is added to M^{1/2}X at the end: until then nothing depends on it.
    const row = own(upload(gpu, 1, d, rowTimes(mean, agopSqrt)));
    const turned = own(allocateRows(gpu, grid, d));
    const mx = own(allocateRows(gpu, grid, d));
    const features = own(allocateRows(gpu, grid, width));
    const rounding = await projectRows(gpu, x, root, map, mx, features, clock, { row, turned });
    const stages = await stageMetrics(gpu, { input: x, agop: turned, features }, starts, clock);

    const phi = await downloadRows(gpu, features);
    if (!phi.every(Number.isFinite)) {
      throw inputError('features are beyond the float32 range of ±3.4e38; use smaller --weights');
    }
    const sortedLabels = Int32Array.from(order, (i) => labels[i]);
    const rowsBack = async (rows: Rows) => restoreRows(await downloadRows(gpu, rows), rows.tiles[0].cols, order);
    return {
      kernelMatrix: want.kernelMatrix ? restoreSquare(await kernelValues(gpu, x, options), n, order) : null,
      alpha: restoreRows(transposeHost(fitted.coefficients, outputs, n), outputs, order).map((a) => a * targets.unit),
      agop: m,
      agopSqrt,
      agopFeatures: await rowsBack(mx),
      features: restoreRows(phi, width, order),
      width,
      metrics: {
        layer: 1,
        ...stages,
        trainAccuracy: accuracy(fitted.trainScores, sortedLabels),
        testAccuracy: null,
        deadRows: { train: 0, test: 0 },
        solve: fitted.solve,
        agop: { ...agop.report, rank, topEigenvalues },
        ...(map.phase && { argumentRounding: rounding }),
        seconds: await clock.times(),
      },
    };
  } finally {
    release(gpu, ...owned);
    restore();
  }
}

/** a B for a row a (d) and a square matrix B (d × d, row-major). */
function rowTimes(a: Float64Array, b: Float32Array): Float64Array {
  const out = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) for (let j = 0; j < a.length; j++) out[j] += a[i] * b[i * a.length + j];
  return out;
}

/** The kernel matrix of rows with each other, n × n row-major. */
async function kernelValues(gpu: Gpu, x: Rows, { kernel }: Required<LayerOptions>): Promise<Float32Array> {
  const { n, starts } = x.grid;
  const out = new Float32Array(n * n);
  for (const [i, a] of x.tiles.entries()) {
    for (const [j, b] of x.tiles.entries()) {
      const k = allocate(gpu, a.rows, b.rows);
      try {
        await sendBatch(gpu, (batch) => kernelMatrix(batch, a, b, k, kernel));
        const values = await download(gpu, k);
        for (let r = 0; r < a.rows; r++) {
          out.set(values.subarray(r * b.rows, (r + 1) * b.rows), (starts[i] + r) * n + starts[j]);
        }
      } finally {
        release(gpu, k);
      }
    }
  }
  return out;
}

/** x = rows of raw divided by their lengths; `complain` makes the error for the first row (of raw) of length 0, or that is not finite. */
export async function normalizeOrRefuse(
  gpu: Gpu,
  raw: Rows,
  x: Rows,
  complain: (row: number) => RfmError,
): Promise<void> {
  const { zero, notFinite } = await normalizeAll(gpu, raw, x);
  const [first] = [...zero, ...notFinite].sort((a, b) => a - b);
  if (first !== undefined) throw complain(first);
}

/** x = rows of raw divided by their lengths; the numbers of those whose length is 0, which stay zero, or not finite. */
export async function normalizeAll(gpu: Gpu, raw: Rows, x: Rows): Promise<{ zero: number[]; notFinite: number[] }> {
  const [zero, notFinite]: [number[], number[]] = [[], []];
  for (const [i, tile] of raw.tiles.entries()) {
    const lengths = allocate(gpu, 1, tile.rows);
    try {
      await sendBatch(gpu, (batch) => normalizeRows(batch, tile, x.tiles[i], lengths));
      (await download(gpu, lengths)).forEach((length, r) => {
        if (!Number.isFinite(length)) notFinite.push(raw.grid.starts[i] + r);
        else if (length === 0) zero.push(raw.grid.starts[i] + r);
      });
    } finally {
      release(gpu, lengths);
    }
  }
  return { zero, notFinite };
}

/** The argmax of each row of y (n × outputs); with one output, 1 where it is positive. */
function labelsOf(y: Numbers, outputs: number): Int32Array {
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
