import type { Numbers } from '../numbers.js';
import { copyScaled, divideByRoot } from '../ops/elementwise/elementwise.js';
import { gemm, gemmNN, syrkTN } from '../ops/gemm/gemm.js';
import { transposeHost } from '../ops/host-rows.js';
import { factorRows } from '../ops/sqrt-psd/jacobi.js';
import { diagonalMaximum, zeroAgop } from '../ops/sqrt-psd/sqrt-psd.js';
import { rowLengths } from '../ops/statistics/statistics.js';
import {
  allocateRows,
  cut,
  matricesOf,
  type Panels,
  type Rows,
  releasePanels,
  uploadColumns,
  uploadRows,
} from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import { enter } from '../runtime/timing.js';
import { type RfmOptions, type RidgeOptions, rfmOptions } from './options.js';
import { adopt, limitsOf, planRun } from './plan.js';
import { centred, refuseLostDifferences, scaledTargets } from './rows.js';
import { type Agop, agopOf, createClock, type FittedKernel, fitKernel, predict, releaseFitted } from './step.js';
import type { LayerMetrics, RfmResult } from './types.js';

/** Numbers in host memory, row-major; rows are used as they are, neither normalised nor standardised. */
export interface RfmInput {
  /** n × d. */
  x: Numbers;
  n: number;
  d: number;
  /** n × outputs. */
  y: Numbers;
  outputs: number;
  /** testRows × d. */
  testX: Numbers | null;
  testRows: number;
}

/**
 * Classic Recursive Feature Machine (Radhakrishnan et al., arXiv 2212.13881): starting from M = I,
 * each iteration fits kernel ridge regression with distances ‖x − z‖_M and sets M to the AGOP of
 * the fit over its largest entry; a last fit with the final M gives α and the predictions.
 *
 * With M = FᵀF, ‖x − z‖_M is the plain distance of the rows Fx, and the gradient through M is Fᵀ times the gradient in
 * those rows: M ← Fᵀ · AGOP(XFᵀ) · F, so every operation of a Deep RFM layer serves here. With AGOP = GᵀG the next F
 * is G F. No root of M is needed: F has a row for each eigenvalue that counts, and the digits that a root in float32 lacks
 * (rows 50 bandwidths apart: M off by 1.5e-4 with a root, by 8e-6 without).
 *
 * Nothing but differences of rows enters, in bandwidths, and α is linear in the targets: so origin and unit of both are
 * taken out in float64 before.
 */
export async function rfm(
  gpu: Gpu,
  input: RfmInput,
  given: RfmOptions = {},
  onIteration: (iteration: number) => void = () => {},
): Promise<RfmResult> {
  const options = rfmOptions(given);
  const { n, d, outputs } = input;
  let iteration = 1;
  const clock = createClock(gpu, (phase) => enter(gpu, iteration, phase));
  const size = {
    n,
    testN: input.testRows,
    d,
    outputs,
    width: 0,
    agop: 'auto' as const,
    agopSamples: null,
    solver: 'auto' as const,
    holds: 'metric' as const,
  };
  const plan = planRun(size, limitsOf(gpu, null));
  const { grid } = plan;
  const restore = adopt(gpu, plan, null);
  const owned: Matrix[] = [];
  const own = <T extends Matrix | Panels>(held: T): T => {
    owned.push(...matricesOf(held));
    return held;
  };
  const drop = (matrix: Matrix | null): void => {
    if (!matrix) return;
    owned.splice(owned.indexOf(matrix), 1);
    release(gpu, matrix);
  };
  try {
    const ownRows = { x: input.x, rows: n, cols: d };
    const {
      train,
      test: testX,
      unit,
    } = centred(ownRows, input.testX && { x: input.testX, rows: input.testRows, cols: d });
    refuseLostDifferences(ownRows, train, options.kernel);
    const targets = scaledTargets(input.y, options.ridge);
    const { kernel, ridge } = options;
    const scaled = { kernel: kernel.withBandwidth(Math.max(kernel.bandwidth / unit, SMALLEST_BANDWIDTH)), ridge };
    const x = own(uploadRows(gpu, grid, d, train));
    const y = own(uploadColumns(gpu, grid, outputs, transposeHost(targets.y, n, outputs)));
    const test = testX && own(uploadRows(gpu, cut(input.testRows, grid.starts[1]), d, testX));
    const inUnits = (values: Numbers): Float64Array => Float64Array.from(values, (value) => value * targets.unit);
    const solves: LayerMetrics['solve'][] = [];
    const iterations: RfmResult['iterations'] = [];

    // M = I at first: the rows themselves.
    let factor: Matrix | null = null;
    for (let t = 0; t <= options.iterations; t++) {
      iteration = t + 1;
      const rows = factor ? await timesFactor(gpu, x, factor) : x;
      let fitted: FittedKernel | null = null;
      try {
        fitted = await fitKernel(gpu, rows, y, scaled, plan, clock);
        solves.push(fitted.solve);
        if (factor) {
          iterations.push({
            M: await metricOf(gpu, factor),
            predictions: test && inUnits(await predictTest(gpu, test, factor, rows, fitted, scaled)),
          });
        }
        if (t === options.iterations) {
          const alpha = inUnits(transposeHost(fitted.coefficients, outputs, n));
          const last = iterations[iterations.length - 1];
          return { M: last.M, alpha, predictions: last.predictions, solves, iterations };
        }
        const reach = 2 * (await longestRow(gpu, rows));
        const agop = await agopOf(gpu, fitted, [0, n], { agop: 'auto', reach, unit }, plan, clock);
        const next: Matrix = own(await nextFactor(gpu, agop, factor));
        drop(factor);
        factor = next;
        onIteration(t + 1);
      } finally {
        if (fitted) releaseFitted(gpu, fitted);
        if (rows !== x) releasePanels(gpu, rows);
      }
    }
    throw new Error('unreachable: the last fit returns');
  } finally {
    release(gpu, ...owned);
    restore();
  }
}

/** Beside rows of size 1 kernel values vanish long before, and its square is within float32. */
const SMALLEST_BANDWIDTH = 1e-15;

/** The largest length of a row. */
async function longestRow(gpu: Gpu, rows: Rows): Promise<number> {
  let longest = 0;
  for (const tile of rows.tiles) {
    const lengths = allocate(gpu, 1, tile.rows);
    try {
      await sendBatch(gpu, (batch) => rowLengths(batch, tile, lengths));
      longest = (await download(gpu, lengths)).reduce((max, length) => Math.max(max, length), longest);
    } finally {
      release(gpu, lengths);
    }
  }
  return longest;
}

/** X Fᵀ. Release it. */
async function timesFactor(gpu: Gpu, x: Rows, factor: Matrix): Promise<Rows> {
  const out = allocateRows(gpu, x.grid, factor.rows);
  try {
    await sendBatch(gpu, (batch) =>
      x.tiles.forEach((tile, i) => void gemm(batch, { a: tile, b: factor, out: out.tiles[i] })),
    );
    return out;
  } catch (error) {
    releasePanels(gpu, out);
    throw error;
  }
}

/** G F over the root of the largest entry of (G F)ᵀ G F, for the AGOP GᵀG = m + low, which are released; F = I if null. */
async function nextFactor(gpu: Gpu, { m, low }: Agop, factor: Matrix | null): Promise<Matrix> {
  const held = new Set<Matrix>([m, low]);
  try {
    const own = await factorRows(gpu, { high: m, low }, FACTOR_TOLERANCE);
    if (!own) throw zeroAgop();
    held.add(own);
    const cols = factor?.cols ?? own.cols;
    const [product, next] = [allocate(gpu, own.rows, cols), allocate(gpu, own.rows, cols)];
    held.add(product);
    await sendBatch(gpu, (batch) => {
      if (factor) gemmNN(batch, { a: own, b: factor, out: product });
      else copyScaled(batch, own, product);
      const metric = batch.temporary(cols, cols);
      syrkTN(batch, { a: product, out: metric });
      const maximum = batch.temporary(1, 1);
      diagonalMaximum(batch, metric, maximum);
      divideByRoot(batch, product, maximum, next);
    });
    return next;
  } finally {
    release(gpu, ...held);
  }
}

/** Directions of the AGOP below this share of the largest are dropped: 3e-6 of a distance. */
const FACTOR_TOLERANCE = 1e-11;

/** M = FᵀF, d × d. */
async function metricOf(gpu: Gpu, factor: Matrix): Promise<Float32Array> {
  const m = allocate(gpu, factor.cols, factor.cols);
  try {
    await sendBatch(gpu, (batch) => syrkTN(batch, { a: factor, out: m }));
    return await download(gpu, m);
  } finally {
    release(gpu, m);
  }
}

/** Predictions, outputs × test rows, with centres `centers` = X Fᵀ. */
async function predictTest(
  gpu: Gpu,
  test: Rows,
  factor: Matrix,
  centers: Rows,
  fitted: FittedKernel,
  options: Required<RidgeOptions>,
): Promise<Float32Array> {
  const rows = await timesFactor(gpu, test, factor);
  try {
    const reach = (await longestRow(gpu, rows)) + (await longestRow(gpu, centers));
    const scores = await predict(gpu, rows, centers, fitted, options, reach);
    return transposeHost(scores, fitted.alpha.tiles[0].rows, test.grid.n);
  } finally {
    releasePanels(gpu, rows);
  }
}
