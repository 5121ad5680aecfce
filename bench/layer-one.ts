import { loadDataset } from '../src/data/dataset.js';
import { RfmError } from '../src/errors.js';
import type { Numbers } from '../src/numbers.js';
import { agopGram, agopJacobian } from '../src/ops/agop/agop.js';
import { squaredDistances } from '../src/ops/gemm/gemm.js';
import { classOrder, permuteRows, standardize } from '../src/ops/host-rows.js';
import { weightsFromDistances } from '../src/ops/kernel-matrix/kernel-matrix.js';
import { laplace } from '../src/ops/kernels/laplace.js';
import { solveRidge } from '../src/ops/solve/solve.js';
import { normalizeRows } from '../src/ops/statistics/statistics.js';
import { asPanel, asTriangle } from '../src/ops/tiles.js';
import { runBatch } from '../src/runtime/batch.js';
import type { Gpu } from '../src/runtime/gpu.js';
import { allocate, download, type Matrix, release, upload } from '../src/runtime/matrix.js';
import { normalArray, uniforms } from './host.js';

/** Classes of the data, and outputs of the predictor. */
export const OUTPUTS = 10;
export const BANDWIDTH = 2;
export const RIDGE = 1e-3;

/** The first layer of Deep RFM, fitted: what AGOP and the square root are measured on. Host arrays, row-major. */
export interface LayerOne {
  n: number;
  d: number;
  /** n × d, unit rows in class order. */
  x: Float32Array;
  /** outputs × n. */
  alpha: Float32Array;
  /** n × n: `weightsFromDistances`. */
  weights: Float32Array;
  starts: number[];
  /** Where the rows came from. */
  data: string;
}

export interface Rows {
  x: Numbers;
  labels: Int32Array;
  data: string;
}

/** CIFAR-10's features. */
const CIFAR_FEATURES = 3072;
const MNIST_FEATURES = 784;

/** Rows of CIFAR-10 or MNIST where d is theirs and they are to be had, else synthetic ones of ten classes. */
export function rowsFor(n: number, d: number, dataDir: string | undefined): Rows {
  const name = d === CIFAR_FEATURES ? 'cifar10' : d === MNIST_FEATURES ? 'mnist' : null;
  if (name !== null && (dataDir !== undefined || process.env.DEEP_RFM_DATA)) {
    try {
      const { train } = loadDataset({ name, dataDir, n, testN: 0 });
      return { x: train.x, labels: train.labels, data: name };
    } catch (error) {
      // A folder that has one of the two datasets is no error; the result says that its rows are synthetic.
      if (!(error instanceof RfmError) || error.exitCode !== 2) throw error;
    }
  }
  if (name === 'mnist' && n <= 8000) {
    const { train } = loadDataset({ name: 'mnist-sample', n, testN: 0 });
    return { x: train.x, labels: train.labels, data: 'mnist-sample' };
  }
  return { ...synthetic(n, d), data: 'synthetic' };
}

/** Ten classes around random centres, with features of falling variance as images have. */
function synthetic(n: number, d: number): { x: Float32Array; labels: Int32Array } {
  const next = uniforms(n + d);
  const centres = normalArray(OUTPUTS * d, 11);
  const labels = Int32Array.from({ length: n }, () => Math.floor(next() * OUTPUTS));
  for (let c = 0; c < Math.min(OUTPUTS, n); c++) labels[c] = c;
  const noise = normalArray(n * d, 12);
  const x = new Float32Array(n * d);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < d; j++) x[i * d + j] = centres[labels[i] * d + j] + noise[i * d + j] * (0.5 + 16 / (1 + j));
  }
  return { x, labels };
}

/** Loads rows, standardises them, divides them by their lengths and fits the kernel predictor on the device. */
export async function fitLayerOne(gpu: Gpu, n: number, d: number, dataDir: string | undefined): Promise<LayerOne> {
  const rows = rowsFor(n, d, dataDir);
  const { order, starts } = classOrder(rows.labels);
  const owned: Matrix[] = [];
  const own = (matrix: Matrix): Matrix => {
    owned.push(matrix);
    return matrix;
  };
  try {
    const { train } = standardize({ x: rows.x, rows: n, cols: d }, null);
    const standard = own(upload(gpu, n, d, permuteRows(train, d, order)));
    const x = own(allocate(gpu, n, d));
    await runBatch(gpu, (batch) => {
      normalizeRows(batch, standard, x, batch.temporary(1, n));
    });
    const targets = new Float32Array(OUTPUTS * n).fill(-1);
    order.forEach((row, i) => {
      targets[rows.labels[row] * n + i] = 1;
    });
    const y = own(upload(gpu, OUTPUTS, n, targets));
    const system = { x: asPanel(x, n), kernel: laplace(BANDWIDTH), kept: null };
    const alpha = own(allocate(gpu, OUTPUTS, n));
    const low = own(allocate(gpu, OUTPUTS, n));
    const r = own(allocate(gpu, OUTPUTS, n));
    const plan = { method: 'cholesky' } as const;
    await solveRidge(
      gpu,
      { system, ridge: RIDGE, y: asPanel(y, n) },
      { high: asPanel(alpha, n), low: asPanel(low, n) },
      asPanel(r, n),
      plan,
    );
    const weights = own(allocate(gpu, n, n));
    await runBatch(gpu, (batch) => {
      const squared = batch.temporary(n, n);
      squaredDistances(batch, x, x, squared);
      weightsFromDistances(batch, squared, weights, laplace(BANDWIDTH));
    });
    return {
      n,
      d,
      x: await download(gpu, x),
      alpha: await download(gpu, alpha),
      weights: await download(gpu, weights),
      starts,
      data: rows.data,
    };
  } finally {
    release(gpu, ...owned);
    gpu.pool.trim();
  }
}

/** The layer on the device, for both forms of the AGOP. */
export function uploadLayer(gpu: Gpu, { n, d, x, alpha, weights, starts }: LayerOne) {
  const matrices = [upload(gpu, n, d, x), upload(gpu, OUTPUTS, n, alpha), upload(gpu, n, n, weights)];
  const triangle = asTriangle(matrices[2]);
  const rows = { x: asPanel(matrices[0], n), alpha: asPanel(matrices[1], n) };
  return {
    gram: { ...rows, triangle },
    jacobian: { ...rows, weights: { kind: 'stored' as const, triangle }, starts },
    release: () => release(gpu, ...matrices),
  };
}

/** The AGOP of the layer over its largest entry, as float32 (d × d). */
export async function agopOfLayer(gpu: Gpu, layer: LayerOne): Promise<Float32Array> {
  const input = uploadLayer(gpu, layer);
  const out = allocate(gpu, layer.d, layer.d);
  const low = allocate(gpu, layer.d, layer.d);
  try {
    // The cheaper way of the two: which one does not matter here.
    if (layer.d > 2 * layer.n) await agopGram(gpu, input.gram, { high: out, low });
    else await agopJacobian(gpu, input.jacobian, { high: out, low });
    const m = await download(gpu, out);
    let largest = 0;
    for (let i = 0; i < layer.d; i++) largest = Math.max(largest, m[i * layer.d + i]);
    return m.map((value) => value / largest);
  } finally {
    input.release();
    release(gpu, out, low);
    gpu.pool.trim();
  }
}
