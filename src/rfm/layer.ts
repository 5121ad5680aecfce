import { inputError, say, the } from '../errors.js';
import type { Numbers } from '../numbers.js';
import { classOrder, permuteRows, restoreRows, transposeHost } from '../ops/host-rows.js';
import { kernelMatrix } from '../ops/kernel-matrix/kernel-matrix.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { downloadRows, type RowGrid, type Rows, uploadColumns, uploadRows } from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, release, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { enter } from '../runtime/timing.js';
import { createClock, type LayerContext } from './context.js';
import { layerBody } from './layer-body.js';
import { type LayerOptions, layerOptions } from './options.js';
import { agopRoot, layerOutput, metricsOf } from './output.js';
import { adopt, limitsOf, planRun } from './plan.js';
import { refuseLostDifferences, scaledTargets, unitRows } from './rows.js';
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
  want: LayerWant = {},
): Promise<LayerResult> {
  const options = layerOptions(given);
  const { n, d, outputs, features } = input;
  const { agop, activation } = options;
  const data = { n, testN: 0, d, outputs };
  const width = features.width || d;
  const plan = planRun(
    { ...data, width, cosine: activation === 'cos', agop, agopSamples: null, solver: 'auto', holds: 'layer' },
    limitsOf(gpu, null),
  );
  const restore = adopt(gpu, plan, null);
  const clock = createClock(gpu, (phase) => {
    want.signal?.throwIfAborted();
    enter(gpu, 1, phase);
  });
  try {
    return await owning(gpu, (scope) => computeLayer({ gpu: scope, plan, clock }, input, options, want));
  } finally {
    restore();
  }
}

/** What `rfmLayer` may be asked for beside. */
interface LayerWant {
  /** Whether the kernel matrix is given back, too. */
  kernelMatrix?: boolean;
  signal?: AbortSignal;
}

async function computeLayer(
  context: LayerContext,
  input: LayerInput,
  { kernel, ridge, activation, agop }: Required<LayerOptions>,
  want: LayerWant,
): Promise<LayerResult> {
  const { gpu, plan, clock } = context;
  const { n, d, outputs } = input;
  const labels = input.labels ?? labelsOf(input.y, outputs);
  const { order, starts } = classOrder(labels);
  const { x, mean } = uploadUnitRows(gpu, plan.grid, input, kernel, order);
  const targets = scaledTargets(input.y, ridge);
  const y = uploadColumns(gpu, plan.grid, outputs, transposeHost(permuteRows(targets.y, outputs, order), n, outputs));
  const body = await layerBody(context, {
    ...{ x, y, kernel, ridge, targetUnit: targets.unit },
    agop: { starts, agop },
    use: async () => null,
  });
  const unit = body.agop.unit * targets.unit ** 2;
  const m = Float64Array.from(await download(gpu, body.agop.matrix.high), (value) => value * unit);
  const root = await agopRoot(context, body.agop);
  const agopSqrt = await download(gpu, root.root);
  const output = await layerOutput(context, x, null, {
    ...{ root: root.root, weights: input.features, starts, cosine: activation === 'cos' },
    // What rows have in common is added to M^{1/2}X at the end: until then nothing depends on it.
    shift: upload(gpu, 1, d, rowTimes(mean, agopSqrt)),
  });
  const features = await downloadRows(gpu, output.features);
  if (!features.every(Number.isFinite)) {
    throw inputError('features are beyond the float32 range of ±3.4e38', say`use smaller ${the.weights}`);
  }
  const inOrder = (rows: Float32Array, cols: number): Float32Array => restoreRows(rows, cols, order);
  const alpha = restoreRows(transposeHost(body.coefficients, outputs, n), outputs, order);
  const width = output.map.w.rows;
  const measured = {
    ...{ layer: 1, labels: Int32Array.from(order, (i) => labels[i]) },
    ...{ testAccuracy: null, deadRows: { train: 0, test: 0 } },
  };
  return {
    kernelMatrix: want.kernelMatrix ? restoreSquare(await kernelValues(gpu, x, kernel), n, order) : null,
    alpha: alpha.map((a) => a * targets.unit),
    agop: m,
    agopSqrt,
    agopFeatures: inOrder(await downloadRows(gpu, output.mx), d),
    features: inOrder(features, width),
    width,
    metrics: metricsOf(measured, body, root, output, await clock.times()),
  };
}

/** The rows in class order, of length 1, relative to their mean. */
function uploadUnitRows(
  gpu: Gpu,
  grid: RowGrid,
  { x, n, d }: LayerInput,
  kernel: RadialKernel,
  order: Int32Array,
): { x: Rows; mean: Float64Array } {
  const rows = { x, rows: n, cols: d };
  const { mean, apart } = unitRows(rows);
  refuseLostDifferences(rows, apart, kernel, (row) => Float64Array.from(x.subarray(row * d, (row + 1) * d)));
  return { x: uploadRows(gpu, grid, d, permuteRows(apart, d, order)), mean };
}

/** a B for a row a (d) and a square matrix B (d × d, row-major). */
function rowTimes(a: Float64Array, b: Float32Array): Float64Array {
  const out = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) for (let j = 0; j < a.length; j++) out[j] += a[i] * b[i * a.length + j];
  return out;
}

/** The kernel matrix of rows with each other, n × n row-major. */
async function kernelValues(gpu: Gpu, x: Rows, kernel: RadialKernel): Promise<Float32Array> {
  const { n, starts } = x.grid;
  const out = new Float32Array(n * n);
  for (const [i, a] of x.tiles.entries()) {
    for (const [j, b] of x.tiles.entries()) {
      const k = allocate(gpu, a.rows, b.rows);
      await sendBatch(gpu, (batch) => kernelMatrix(batch, a, b, k, kernel));
      const values = await download(gpu, k);
      for (let r = 0; r < a.rows; r++) {
        out.set(values.subarray(r * b.rows, (r + 1) * b.rows), (starts[i] + r) * n + starts[j]);
      }
      release(gpu, k);
    }
  }
  return out;
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
