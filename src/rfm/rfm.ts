import { divideBy, symmetrize } from '../ops/elementwise.js';
import { gemm, gemmNN } from '../ops/gemm.js';
import { diagonalMaximum, sqrtPsd } from '../ops/sqrt-psd.js';
import {
  allocateRows,
  type Columns,
  cut,
  matricesOf,
  type Panels,
  type Rows,
  releasePanels,
  uploadColumns,
  uploadRows,
} from '../ops/tiles.js';
import { type Batch, sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import { enter } from '../runtime/timing.js';
import { adopt, limitsOf, planRun } from './plan.js';
import { transposeHost } from './rows.js';
import { agopOf, createClock, fitKernel, predict, releaseFitted } from './step.js';
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
  try {
    const x = own(uploadRows(gpu, grid, d, input.x));
    const y = own(uploadColumns(gpu, grid, outputs, transposeHost(input.y, n, outputs)));
    const test = input.testX && own(uploadRows(gpu, cut(input.testRows, grid.starts[1]), d, input.testX));
    const projected = own(allocateRows(gpu, grid, d));
    const m = own(allocate(gpu, d, d));
    const root = own(allocate(gpu, d, d));
    const solves: LayerMetrics['solve'][] = [];
    const iterations: RfmResult['iterations'] = [];

    for (let t = 0; t <= options.iterations; t++) {
      iteration = t + 1;
      // M = I at first: the rows themselves.
      const rows = t === 0 ? x : projected;
      if (t > 0) await timesMetricRoot(gpu, x, root, projected);
      const fitted = await fitKernel(gpu, rows, y, options, plan, clock);
      try {
        solves.push(fitted.solve);
        if (t > 0) {
          iterations.push({
            M: await download(gpu, m),
            predictions: test && (await predictTest(gpu, test, root, projected, fitted.alpha, options)),
          });
        }
        if (t === options.iterations) {
          const alpha = transposeHost(fitted.coefficients, outputs, n);
          const last = iterations[iterations.length - 1];
          return { M: last.M, alpha, predictions: last.predictions, solves, iterations };
        }
        const agop = await agopOf(gpu, fitted, [0, n], { agop: 'auto' }, plan, clock);
        try {
          await sendBatch(gpu, (batch) => updateMetric(batch, agop.m, t === 0 ? null : root, m));
        } finally {
          release(gpu, agop.m, agop.low);
        }
        await sqrtPsd(gpu, m, root);
        onIteration(t + 1);
      } finally {
        releaseFitted(gpu, fitted);
      }
    }
    throw new Error('unreachable: the last fit returns');
  } finally {
    release(gpu, ...owned);
    restore();
  }
}

/** out = X R. */
async function timesMetricRoot(gpu: Gpu, x: Rows, root: Matrix, out: Rows): Promise<void> {
  await sendBatch(gpu, (batch) =>
    x.tiles.forEach((tile, i) => void gemm(batch, { a: tile, b: root, out: out.tiles[i] })),
  );
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
  test: Rows,
  root: Matrix,
  projected: Rows,
  alpha: Columns,
  options: RfmOptions,
): Promise<Float32Array> {
  const rows = allocateRows(gpu, test.grid, test.tiles[0].cols);
  try {
    await timesMetricRoot(gpu, test, root, rows);
    const scores = await predict(gpu, rows, projected, alpha, options);
    return transposeHost(scores, alpha.tiles[0].rows, test.grid.n);
  } finally {
    releasePanels(gpu, rows);
  }
}
