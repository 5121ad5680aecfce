import gramWeightsSource from '../../shaders/gram_weights.wgsl';
import jacobianSubgroup from '../../shaders/jacobian_subgroup.wgsl';
import jacobianWorkgroup from '../../shaders/jacobian_workgroup.wgsl';
import type { AgopPath } from '../rfm/types.js';
import { type Batch, ceilDiv, type Kernel, runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import { subtractRow } from './elementwise.js';
import { gemm, syrk } from './gemm.js';
import { groupMeans, rowLengths } from './statistics.js';
import { transpose } from './transpose.js';

/**
 * What both forms of the AGOP need. The predictor is f(x) = Σ_j α_j k(x, x_j); its gradients are
 * taken at the centres themselves: ∇f_c(x_i) = Σ_j W_ij α_jc (x_j − x_i).
 */
export interface AgopInput {
  /** n × d. */
  x: Matrix;
  /** outputs × n: α transposed. */
  alpha: Matrix;
  /** n × n symmetric: `weightsFromDistances`. */
  weights: Matrix;
}

/** Room for gradients that are held at a time. */
const GRADIENT_BYTES = 64 * 2 ** 20;
/** Rows whose gradients are held at a time. */
const gradientRows = (n: number, d: number, outputs: number): number =>
  Math.max(1, Math.min(n, Math.floor(GRADIENT_BYTES / (outputs * d * 4))));

/** Bytes of the gradients that `agopJacobian` holds at a time. */
export const gradientBytes = (n: number, d: number, outputs: number): number =>
  gradientRows(n, d, outputs) * outputs * d * 4;

/** Outputs a kernel sums at once; more would not fit into registers. */
const MAX_CLASSES = 10;

/** Gradients of all outputs at rows first, first + step, …, transposed: out is d × (count · outputs). */
export function gradients(batch: Batch, input: AgopInput, out: Matrix, first: number, count: number, step = 1): void {
  const { x, alpha, weights } = input;
  const { lanes } = batch.gpu;
  const subgroup = lanes >= 4 && lanes <= 32;
  for (let firstOutput = 0; firstOutput < alpha.rows; firstOutput += MAX_CLASSES) {
    const classes = Math.min(MAX_CLASSES, alpha.rows - firstOutput);
    const kernel: Kernel = subgroup
      ? { name: 'jacobian_subgroup', source: jacobianSubgroup, constants: { LANES: lanes, CLASSES: classes } }
      : { name: 'jacobian_workgroup', source: jacobianWorkgroup, constants: { CLASSES: classes } };
    batch.dispatch(
      kernel,
      [x, weights, alpha, out],
      [x.rows, x.stride, weights.stride, alpha.stride, out.stride, first, count, alpha.rows, firstOutput, x.cols, step],
      [ceilDiv(x.stride / 4, subgroup ? lanes : 64), count],
    );
  }
}

/**
 * AGOP = (1/n) Σ_i J_iᵀ J_i from explicit Jacobians, batched over rows. out: d × d.
 * About n² C d + n C d² / 2 multiply-adds. Accurate for collapsed data, too: differences are
 * formed before they are summed. With `low` the AGOP is out + low: rounding it to float32 alone would
 * change its square root by 1e-5 where its eigenvalues span seven orders.
 */
export async function agopJacobian(gpu: Gpu, input: AgopInput, out: Matrix, low?: Matrix): Promise<void> {
  const { x, alpha } = input;
  const n = x.rows;
  const count = gradientRows(n, x.cols, alpha.rows);
  for (let first = 0; first < n; first += count) {
    const rows = Math.min(count, n - first);
    await runBatch(gpu, (batch) => {
      const g = batch.temporary(x.cols, rows * alpha.rows);
      gradients(batch, input, g, first, rows);
      syrk(batch, { a: g, b: g, out, scale: 1 / n, ...(first > 0 && { addend: out }), ...(low && { low }) });
    });
  }
}

/**
 * The same AGOP without Jacobians: n · AGOP = Zᵀ Q Z with Z = X − mean and
 * Q = (WᵀW) ∘ (ααᵀ) − T − Tᵀ + diag(rowsum(S ∘ S)), S = Wα, T = W ∘ (Sαᵀ).
 * About n³/2 + 2n² d + n d² multiply-adds. The rows of Q sum to zero, hence the free choice of origin; its
 * terms cancel (see `agopCancellation`), so S, WᵀW, Q and ZᵀQ keep what float32 cannot hold of them:
 * in float32 alone this form lost ten times more than the Jacobian even on spread-out data.
 */
export function agopGram(batch: Batch, input: AgopInput, out: Matrix, low?: Matrix): void {
  const { x, alpha, weights } = input;
  const n = x.rows;
  const [s, sLow] = [batch.temporary(alpha.rows, n), batch.temporary(alpha.rows, n)];
  gemm(batch, { a: alpha, b: weights, out: s, low: sLow });
  const [q, qLow] = [batch.temporary(n, n), batch.temporary(n, n)];
  syrk(batch, { a: weights, b: weights, out: q, low: qLow });
  batch.dispatch(
    { name: 'gram_weights', source: gramWeightsSource },
    [weights, alpha, s, sLow, q, qLow],
    [n, alpha.rows, weights.stride, alpha.stride, 0],
    [ceilDiv(n, 64), n],
  );
  const zT = batch.temporary(x.cols, n);
  centeredTransposed(batch, x, zT);
  const [zq, zqLow] = [batch.temporary(x.cols, n), batch.temporary(x.cols, n)];
  gemm(batch, { a: zT, b: qLow, out: zq, low: zqLow });
  gemm(batch, { a: zT, b: q, out: zq, low: zqLow, addend: zq });
  const rest = low ?? batch.temporary(x.cols, x.cols);
  syrk(batch, { a: zT, b: zqLow, out, low: rest, scale: 1 / n });
  syrk(batch, { a: zT, b: zq, out, low: rest, scale: 1 / n, addend: out });
}

/** out (d × n) = (X − mean row)ᵀ. */
function centeredTransposed(batch: Batch, x: Matrix, out: Matrix): void {
  const mean = batch.temporary(1, x.cols);
  groupMeans(batch, x, [0, x.rows], mean);
  const z = batch.temporary(x.rows, x.cols);
  subtractRow(batch, x, mean, z);
  transpose(batch, z, out);
}

/** Rows at which `agopCancellation` computes the exact gradients. */
const SAMPLES = 32;

/**
 * How many times larger the terms that `agopGram` sums are than their sum:
 * Σ_i Q_ii ‖z_i‖² / (n · trace AGOP), the trace from gradients at up to 32 evenly spaced rows.
 * The relative error of the Gram form is about this number times float32's 6e-8, times a few.
 */
export async function agopCancellation(gpu: Gpu, input: AgopInput): Promise<number> {
  const { x, alpha, weights } = input;
  const n = x.rows;
  const samples = Math.min(SAMPLES, n);
  const s = allocate(gpu, alpha.rows, n);
  const weightLengths = allocate(gpu, 1, n);
  const rowLengthsZ = allocate(gpu, 1, n);
  const gradientLengths = allocate(gpu, 1, x.cols);
  try {
    await runBatch(gpu, (batch) => {
      gemm(batch, { a: alpha, b: weights, out: s });
      rowLengths(batch, weights, weightLengths);
      const mean = batch.temporary(1, x.cols);
      groupMeans(batch, x, [0, n], mean);
      const z = batch.temporary(n, x.cols);
      subtractRow(batch, x, mean, z);
      rowLengths(batch, z, rowLengthsZ);
      const g = batch.temporary(x.cols, samples * alpha.rows);
      gradients(batch, input, g, 0, samples, Math.floor(n / samples));
      rowLengths(batch, g, gradientLengths);
    });
    const [a, sums, w, z, g] = await Promise.all(
      [alpha, s, weightLengths, rowLengthsZ, gradientLengths].map((m) => download(gpu, m)),
    );
    let terms = 0;
    for (let i = 0; i < n; i++) {
      let alphaSquared = 0;
      let sSquared = 0;
      for (let c = 0; c < alpha.rows; c++) {
        alphaSquared += a[c * n + i] ** 2;
        sSquared += sums[c * n + i] ** 2;
      }
      terms += (alphaSquared * w[i] ** 2 + sSquared) * z[i] ** 2;
    }
    const trace = (g.reduce((sum, length) => sum + length * length, 0) / samples) * n;
    return terms / trace;
  } finally {
    release(gpu, s, weightLengths, rowLengthsZ, gradientLengths);
  }
}

/**
 * The path to take: Gram space where it is the cheaper one and cancellation costs no more accuracy than
 * the Jacobian's own rounding (measured: 2e-7 in NC1 at a cancellation of 3, 2e-6 at 7, 2e-3 at 1000).
 */
export function chooseAgopPath(n: number, d: number, outputs: number, cancellation: number): AgopPath {
  const gram = (n * n * n) / 2 + 2 * n * n * d + n * d * d;
  const jacobian = n * n * outputs * d + (n * outputs * d * d) / 2;
  return gram < jacobian && cancellation < MAX_CANCELLATION ? 'gram' : 'jacobian';
}

const MAX_CANCELLATION = 5;
