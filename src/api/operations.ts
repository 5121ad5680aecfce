/** One operation on matrices of the device at a time. Each returns matrices of its own; free them with `release`. */

import { inputError } from '../errors.js';
import type { AgopPath } from '../ops/agop/agop.js';
import { allocateFactor, failingPivot, potrf, potrs, releaseFactor } from '../ops/cholesky/cholesky.js';
import { copyScaled } from '../ops/elementwise/elementwise.js';
import { transpose } from '../ops/elementwise/transpose.js';
import { classOrder } from '../ops/host-rows.js';
import { kernelMatrix as recordKernelMatrix } from '../ops/kernel-matrix/kernel-matrix.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import type { SolveReport } from '../ops/solve/solve.js';
import { sqrtPsd as rootOf } from '../ops/sqrt-psd/sqrt-psd.js';
import { rowLengths } from '../ops/statistics/statistics.js';
import { asPanel, gatherRows } from '../ops/tiles.js';
import { agopOf } from '../rfm/agop.js';
import { createClock, type LayerContext } from '../rfm/context.js';
import { fitKernel } from '../rfm/fit.js';
import { neuralCollapse as measureCollapse } from '../rfm/output.js';
import { limitsOf, planRun } from '../rfm/plan.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, type Matrix, release } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import { hostLabels } from './arrays.js';

const shape = ({ rows, cols }: Matrix): string => `${rows} × ${cols}`;

/** Refuses matrices that were released. Their buffers may be handed out again by the next allocation, so it comes first. */
function refuseReleased(gpu: Gpu, name: string, matrices: Readonly<Record<string, Matrix>>): void {
  for (const [what, { buffer }] of Object.entries(matrices)) {
    if (gpu.pool.isReleased(buffer))
      throw inputError(`${name}: ${what} was released; release a matrix after its last use`);
  }
}

function square(name: string, a: Matrix): void {
  if (a.rows !== a.cols) throw inputError(`${name}: the matrix is ${shape(a)}, expected a square one`);
}

function sameRows(name: string, a: Matrix, what: string, b: { rows: number }): void {
  if (a.rows !== b.rows) throw inputError(`${name}: ${what} has ${b.rows} rows, expected ${a.rows} as x has`);
}

/**
 * The kernel matrix K_ij = k(x_i, z_j), of m × n numbers.
 * @param x m × d.
 * @param z n × d; default: x.
 * @throws `RfmError` of kind 'input' where a matrix was released or rows differ in length, 'doesNotFit' where the device
 * cannot hold K.
 */
export async function kernelMatrix(gpu: Gpu, x: Matrix, kernel: RadialKernel, z: Matrix = x): Promise<Matrix> {
  refuseReleased(gpu, 'kernelMatrix', { x, z });
  if (x.cols !== z.cols) {
    throw inputError(`kernelMatrix: rows of x have ${x.cols} numbers and rows of z ${z.cols}, expected as many`);
  }
  return owning(gpu, async (gpu, keep) => {
    const out = allocate(gpu, x.rows, z.rows);
    await sendBatch(gpu, (batch) => recordKernelMatrix(batch, x, z, out, kernel));
    return keep(out);
  });
}

/** A Cholesky factor A = L Lᵀ of an n × n matrix. */
export interface Cholesky {
  /** L, n × n row by row, zero above the diagonal. */
  toArray(): Promise<Float32Array>;
  /** X of A X = B, for B of n × m numbers. */
  solve(b: Matrix): Promise<Matrix>;
  release(): void;
}

/**
 * Cholesky factorisation of a symmetric positive definite n × n matrix in float32; only its lower half is read.
 * n³/6 multiply-adds. Nothing is repaired and nothing refined: `solveRidge` does both.
 * @throws `RfmError` of kind 'input' where a matrix was released, is not square, or a pivot is not positive.
 */
export async function cholesky(gpu: Gpu, a: Matrix): Promise<Cholesky> {
  refuseReleased(gpu, 'cholesky', { a });
  square('cholesky', a);
  const factor = await owning(gpu, async (gpu, keep) => {
    const made = allocateFactor(gpu, allocate(gpu, a.rows, a.cols));
    await sendBatch(gpu, (batch) => {
      copyScaled(batch, a, made.l);
      potrf(batch, made);
    });
    const pivot = await failingPivot(gpu, made);
    if (pivot > 0) {
      throw inputError(
        `cholesky: pivot ${pivot} of ${a.rows} is not positive: the matrix is not positive definite in float32; add to its diagonal`,
      );
    }
    return keep(made);
  });
  const { l } = factor;
  return {
    async toArray() {
      const values = await download(gpu, l);
      for (let i = 0; i < l.rows; i++) values.fill(0, i * l.cols + i + 1, (i + 1) * l.cols);
      return values;
    },
    async solve(b) {
      refuseReleased(gpu, 'solve', { factor: l, b });
      if (b.rows !== l.rows) throw inputError(`solve: b has ${b.rows} rows, expected ${l.rows} as the factor has`);
      return owning(gpu, async (gpu, keep) => {
        const out = allocate(gpu, b.rows, b.cols);
        await sendBatch(gpu, (batch) => {
          const [bT, xT] = [batch.temporary(b.cols, b.rows), batch.temporary(b.cols, b.rows)];
          transpose(batch, b, bT);
          potrs(batch, factor, bT, xT);
          transpose(batch, xT, out);
        });
        return keep(out);
      });
    },
    release() {
      releaseFactor(gpu, factor);
      release(gpu, l);
    },
  };
}

/** Kernel ridge regression f(x) = Σ_j α_j k(x, x_j). */
export interface Ridge {
  /** n × outputs. */
  alpha: Matrix;
  /** How the system was solved: the residual, and every repair. */
  report: SolveReport;
}

/**
 * Solves (K + ridge I) α = Y for the kernel matrix K of the rows of x, by Cholesky with refinement in double-float until
 * ‖(K + ridge I) α − Y‖ / ‖Y‖ ≤ 1e-6; where memory is short, by preconditioned conjugate gradients.
 * @param x n × d.
 * @param y n × outputs.
 * @throws `RfmError` of kind 'input' where a matrix was released, the rows of y are not those of x, or no ridge up to
 * 1 more gives a solution.
 */
export async function solveRidge(
  gpu: Gpu,
  x: Matrix,
  y: Matrix,
  { kernel, ridge = 1e-3 }: { kernel: RadialKernel; ridge?: number },
): Promise<Ridge> {
  refuseReleased(gpu, 'solveRidge', { x, y });
  sameRows('solveRidge', x, 'y', y);
  return owning(gpu, async (gpu, keep) => {
    const [yT, alpha] = [allocate(gpu, y.cols, y.rows), allocate(gpu, y.rows, y.cols)];
    await sendBatch(gpu, (batch) => transpose(batch, y, yT));
    const problem = { x: asPanel(x, x.rows), y: asPanel(yT, x.rows), kernel, ridge };
    const fitted = await fitKernel(contextOf(gpu, x, y.cols), problem);
    await sendBatch(gpu, (batch) => transpose(batch, fitted.alpha.tiles[0], alpha));
    return { alpha: keep(alpha), report: fitted.solve };
  });
}

/** How a system of these rows, all in one tile, is solved and its AGOP computed. */
function contextOf(gpu: Gpu, x: Matrix, outputs: number): LayerContext {
  const size = { n: x.rows, testN: 0, d: x.cols, outputs, width: 0, agopSamples: null } as const;
  const plan = planRun({ ...size, agop: 'auto', solver: 'auto', holds: 'layer' }, limitsOf(gpu, null));
  return { gpu, plan, clock: createClock(gpu) };
}

/** What `agop` may be told. */
export interface AgopOptions {
  kernel: RadialKernel;
  /** Class 0 … C − 1 of each row, ascending: rows of a class may be near-duplicates of each other. Default: one class. */
  labels?: ArrayLike<number>;
  /** In Gram space, or from Jacobians; default 'auto', by cost and by what cancels. */
  path?: AgopPath | 'auto';
}

/**
 * The average gradient outer product M = (1/n) Σ_i J_iᵀ J_i (d × d) of f(x) = Σ_j α_j k(x, x_j), J_i = ∂f(x_i)/∂x
 * (outputs × d); not divided by its maximum. Radhakrishnan et al., arXiv 2212.13881.
 * @param x n × d.
 * @param alpha n × outputs.
 * @throws `RfmError` of kind 'input' where a matrix was released, shapes do not fit, labels are not ascending, or the
 * AGOP is not defined.
 */
export async function agop(
  gpu: Gpu,
  x: Matrix,
  alpha: Matrix,
  { kernel, labels, path = 'auto' }: AgopOptions,
): Promise<Matrix> {
  refuseReleased(gpu, 'agop', { x, alpha });
  sameRows('agop', x, 'alpha', alpha);
  const starts = labels ? classStarts('agop', x, labels) : [0, x.rows];
  return owning(gpu, async (gpu, keep) => {
    const [alphaT, out] = [allocate(gpu, alpha.cols, alpha.rows), allocate(gpu, x.cols, x.cols)];
    await sendBatch(gpu, (batch) => transpose(batch, alpha, alphaT));
    const fitted = {
      system: { x: asPanel(x, x.rows), kernel, kept: null },
      alpha: asPanel(alphaT, x.rows),
    };
    const context = contextOf(gpu, x, alpha.cols);
    const reach = 2 * (await longestRow(gpu, x));
    const { matrix, unit } = await agopOf(context, fitted, { starts, agop: path, reach });
    await sendBatch(gpu, (batch) => copyScaled(batch, matrix.high, out, unit));
    return keep(out);
  });
}

const longestRow = (gpu: Gpu, x: Matrix): Promise<number> =>
  owning(gpu, async (gpu) => {
    const lengths = allocate(gpu, 1, x.rows);
    await sendBatch(gpu, (batch) => rowLengths(batch, x, lengths));
    return (await download(gpu, lengths)).reduce((longest, length) => Math.max(longest, length), 0);
  });

/** First row of each class, then the number of rows, of rows in class order. */
function classStarts(name: string, x: Matrix, labels: ArrayLike<number>): number[] {
  const classes = hostLabels(name, labels);
  sameRows(name, x, 'labels', { rows: classes.length });
  const wrong = classes.findIndex((label, i) => i > 0 && label < classes[i - 1]);
  if (wrong >= 0) {
    throw inputError(
      `${name}: label ${classes[wrong]} of row ${wrong} follows ${classes[wrong - 1]}, expected ascending labels; sort the rows by class`,
    );
  }
  return classOrder(classes).starts;
}

/**
 * The square root R of a symmetric positive semi-definite d × d matrix M: ‖R² − M‖ / ‖M‖ ≤ 1e-6, from a pivoted Cholesky
 * factorisation and a Newton–Schulz polar decomposition (Higham, Functions of Matrices, 2008, ch. 8).
 * @throws `RfmError` of kind 'input' where a matrix was released, M is not square, or zero.
 */
export async function sqrtPsd(gpu: Gpu, m: Matrix): Promise<{ root: Matrix; rank: number }> {
  refuseReleased(gpu, 'sqrtPsd', { m });
  square('sqrtPsd', m);
  return owning(gpu, async (gpu, keep) => {
    const root = allocate(gpu, m.rows, m.cols);
    return { ...(await rootOf(gpu, m, root)), root: keep(root) };
  });
}

/**
 * How far rows have collapsed (Papyan, Han, Donoho, PNAS 2020). NC1 = tr Σ_W / tr Σ_B, the variability within the classes
 * over that between them; NC2 = mean squared difference of the cosines of the centred class means from those of a simplex
 * (1, and −1/(C − 1)). NaN where class means coincide and they are not defined.
 * @param x n × d, a matrix of the device; rows may be in any order.
 * @param labels class 0 … C − 1 of each row, of at least two classes.
 * @throws `RfmError` of kind 'input' where a matrix was released or labels do not fit, 'internal' where x holds numbers
 * that are not finite.
 */
export async function neuralCollapse(
  gpu: Gpu,
  x: Matrix,
  labels: ArrayLike<number>,
): Promise<{ nc1: number; nc2: number }> {
  refuseReleased(gpu, 'neuralCollapse', { x });
  const classes = hostLabels('neuralCollapse', labels);
  sameRows('neuralCollapse', x, 'labels', { rows: classes.length });
  const { order, starts } = classOrder(classes);
  return owning(gpu, async (gpu) => {
    const sorted = allocate(gpu, x.rows, x.cols);
    await sendBatch(gpu, (batch) => gatherRows(batch, asPanel(x, x.rows), [...order], sorted));
    const { nc1, nc2 } = await measureCollapse(gpu, asPanel(sorted, x.rows), starts);
    return { nc1, nc2 };
  });
}
