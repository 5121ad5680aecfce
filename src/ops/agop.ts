import coefficientsSource from '../../shaders/gradient_coefficients.wgsl';
import gramWeightsSource from '../../shaders/gram_weights.wgsl';
import type { AgopPath } from '../rfm/types.js';
import { type Batch, ceilDiv, runBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import { scoped } from '../runtime/timing.js';
import { subtractColumn, subtractRow } from './elementwise.js';
import { gemm, syrk } from './gemm.js';
import { groupMeans, rowLengths } from './statistics.js';
import { transpose } from './transpose.js';
import { agopGramWork, agopJacobianWork } from './work.js';

/**
 * What both forms of the AGOP need. The predictor is f(x) = Σ_j α_j k(x, x_j); its gradients are
 * taken at the centres themselves: ∇f_c(x_i) = Σ_j W_ij α_jc (x_j − x_i).
 */
export interface AgopInput {
  /** n × d, in class order. */
  x: Matrix;
  /** outputs × n: α transposed. */
  alpha: Matrix;
  /** n × n symmetric: `weightsFromDistances`. */
  weights: Matrix;
  /** First row of each class, then n. Without classes: 0 and n. Rows of a class may be near-duplicates of each other. */
  starts: readonly number[];
}

/** Room for the gradients and their coefficients that are held at a time. */
const GRADIENT_BYTES = 64 * 2 ** 20;

/** Rows whose gradients are held at a time. */
const gradientRows = (n: number, d: number, outputs: number): number =>
  Math.max(1, Math.min(n, Math.floor(GRADIENT_BYTES / (outputs * (n + d) * 4))));

/** Bytes of the gradients and coefficients that `agopJacobian` holds at a time. */
export const gradientBytes = (n: number, d: number, outputs: number): number =>
  gradientRows(n, d, outputs) * outputs * (n + d) * 4;

/** out (d × n) = (X − mean of rows first … end − 1)ᵀ, from xT (d × n) = Xᵀ. */
function relativeToMean(batch: Batch, x: Matrix, xT: Matrix, first: number, end: number, out: Matrix): void {
  const mean = batch.temporary(1, x.cols);
  groupMeans(batch, x, [first, end], mean);
  subtractColumn(batch, xT, mean, out);
}

/**
 * Gradients of all outputs at `count` rows first, first + step, …, transposed: out is d × (count · outputs).
 * G_ic = Σ_j W_ij α_jc z_j − (Wα)_ic z_i is one matrix product, for any origin of z (zT: d × n). Between
 * near-duplicates W is huge and x_j − x_i tiny: with the mean of their class as origin the terms are
 * as small as their differences, and no more is lost than in summing differences.
 * sums (outputs × n): Wα transposed.
 */
export function gradients(
  batch: Batch,
  input: AgopInput,
  zT: Matrix,
  sums: Matrix,
  out: Matrix,
  first: number,
  count: number,
  step = 1,
): void {
  const { alpha, weights } = input;
  const n = weights.rows;
  const coefficients = batch.temporary(count * alpha.rows, n);
  batch.dispatch(
    { name: 'gradient_coefficients', source: coefficientsSource },
    [weights, alpha, sums, coefficients],
    [n, alpha.rows, count, first, step, weights.stride, alpha.stride, coefficients.stride],
    [ceilDiv(coefficients.stride / 4, 64), count],
  );
  gemm(batch, { a: zT, b: coefficients, out });
}

/**
 * AGOP = (1/n) Σ_i J_iᵀ J_i from explicit Jacobians, class by class and batched over rows. out: d × d.
 * About n² C d + n C d² / 2 multiply-adds. Accurate for collapsed data, too. With `low` the AGOP is
 * out + low: rounding it to float32 alone would change its square root by 1e-5 where its eigenvalues
 * span seven orders.
 */
export async function agopJacobian(gpu: Gpu, input: AgopInput, out: Matrix, low?: Matrix): Promise<void> {
  const work = agopJacobianWork(input.x.rows, input.x.cols, input.alpha.rows);
  await scoped(gpu, { op: 'agop-jacobian', ...work }, () => sumJacobians(gpu, input, out, low));
}

async function sumJacobians(gpu: Gpu, input: AgopInput, out: Matrix, low?: Matrix): Promise<void> {
  const { x, alpha, weights, starts } = input;
  const n = x.rows;
  const most = gradientRows(n, x.cols, alpha.rows);
  const xT = allocate(gpu, x.cols, n);
  const zT = allocate(gpu, x.cols, n);
  const sums = allocate(gpu, alpha.rows, n);
  try {
    await runBatch(gpu, (batch) => {
      gemm(batch, { a: alpha, b: weights, out: sums });
      transpose(batch, x, xT);
    });
    for (let g = 0; g + 1 < starts.length; g++) {
      for (let first = starts[g]; first < starts[g + 1]; first += most) {
        const count = Math.min(most, starts[g + 1] - first);
        await runBatch(gpu, (batch) => {
          if (first === starts[g]) relativeToMean(batch, x, xT, starts[g], starts[g + 1], zT);
          const j = batch.temporary(x.cols, count * alpha.rows);
          gradients(batch, input, zT, sums, j, first, count);
          syrk(batch, { a: j, b: j, out, scale: 1 / n, ...(first > 0 && { addend: out }), ...(low && { low }) });
        });
      }
    }
  } finally {
    release(gpu, xT, zT, sums);
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
  const work = agopGramWork(input.x.rows, input.x.cols, input.alpha.rows);
  batch.scope({ op: 'agop-gram', ...work }, () => sumInGramSpace(batch, input, out, low));
}

function sumInGramSpace(batch: Batch, input: AgopInput, out: Matrix, low?: Matrix): void {
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
  const xT = batch.temporary(x.cols, n);
  transpose(batch, x, xT);
  const zT = batch.temporary(x.cols, n);
  relativeToMean(batch, x, xT, 0, n, zT);
  const [zq, zqLow] = [batch.temporary(x.cols, n), batch.temporary(x.cols, n)];
  gemm(batch, { a: zT, b: qLow, out: zq, low: zqLow });
  gemm(batch, { a: zT, b: q, out: zq, low: zqLow, addend: zq });
  const rest = low ?? batch.temporary(x.cols, x.cols);
  syrk(batch, { a: zT, b: zqLow, out, low: rest, scale: 1 / n });
  syrk(batch, { a: zT, b: zq, out, low: rest, scale: 1 / n, addend: out });
}

/** Rows at which `agopCancellation` computes the exact gradients. */
const SAMPLES = 32;

/**
 * How many times larger the terms that `agopGram` sums are than their sum:
 * Σ_i Q_ii ‖z_i‖² / (n · trace AGOP), the trace from gradients at up to 32 evenly spaced rows.
 * The relative error of the Gram form is about this number times float32's 6e-8, times a few.
 */
export async function agopCancellation(gpu: Gpu, input: AgopInput): Promise<number> {
  return scoped(gpu, { op: 'agop-cancellation' }, () => estimateCancellation(gpu, input));
}

async function estimateCancellation(gpu: Gpu, input: AgopInput): Promise<number> {
  const { x, alpha, weights } = input;
  const n = x.rows;
  const samples = Math.min(SAMPLES, n);
  const s = allocate(gpu, alpha.rows, n);
  const weightLengths = allocate(gpu, 1, n);
  const zLengths = allocate(gpu, 1, n);
  const gradientLengths = allocate(gpu, 1, x.cols);
  try {
    await runBatch(gpu, (batch) => {
      gemm(batch, { a: alpha, b: weights, out: s });
      rowLengths(batch, weights, weightLengths);
      const mean = batch.temporary(1, x.cols);
      groupMeans(batch, x, [0, n], mean);
      const z = batch.temporary(n, x.cols);
      subtractRow(batch, x, mean, z);
      rowLengths(batch, z, zLengths);
      const zT = batch.temporary(x.cols, n);
      transpose(batch, z, zT);
      const g = batch.temporary(x.cols, samples * alpha.rows);
      gradients(batch, input, zT, s, g, 0, samples, Math.floor(n / samples));
      rowLengths(batch, g, gradientLengths);
    });
    const [a, sums, w, z, g] = await Promise.all(
      [alpha, s, weightLengths, zLengths, gradientLengths].map((m) => download(gpu, m)),
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
    release(gpu, s, weightLengths, zLengths, gradientLengths);
  }
}

/**
 * The path to take: Gram space where it is the cheaper one and little cancels. Measured on MNIST and
 * CIFAR-10, n = 1000: M^{1/2}X is off by 1.5e-6 at a cancellation of 3 and by 8e-6 at 7, where the
 * Jacobian gives 2e-7 and 4e-7.
 */
export function chooseAgopPath(n: number, d: number, outputs: number, cancellation: number): AgopPath {
  const gram = (n * n * n) / 2 + 2 * n * n * d + n * d * d;
  const jacobian = n * n * outputs * d + (n * outputs * d * d) / 2;
  return gram < jacobian && cancellation < MAX_CANCELLATION ? 'gram' : 'jacobian';
}

const MAX_CANCELLATION = 5;
