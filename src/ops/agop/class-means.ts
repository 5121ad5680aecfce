/**
 * Gradients where rows of a class are near each other. With x_j = m_l + δ_j for a row j of class l,
 * ∇f_c(x_i) = Σ_j W_ij α_jc (δ_j − δ_i) + Σ_l B_icl m_l, where B_icl = Σ_{j ∈ l} W_ij α_jc for the classes other than row i's own,
 * and minus their sum for that one. Weights between rows of a class, which grow as they come together, meet only δ, which
 * shrinks. Σ over i and c of the squares is Δᵀ Q Δ + Mᵀ H + Hᵀ M with H = Rᵀ Δ + ½ (Σ_ic B_icᵀ B_ic) M, R = Σ_ic q_icᵀ B_ic.
 */

import classCoefficientsSource from '../../../shaders/agop/class_coefficients.wgsl';
import classRowsSource from '../../../shaders/agop/class_rows.wgsl';
import classSharesSource from '../../../shaders/agop/class_shares.wgsl';
import subtractClassMeansSource from '../../../shaders/agop/subtract_class_means.wgsl';
import { type Batch, ceilDiv } from '../../runtime/batch.js';
import { defineKernel, read, readWrite } from '../../runtime/kernel.js';
import { type Matrix, matrixBytes, type Pair, strideOf, type View } from '../../runtime/matrix.js';
import { subtractRow } from '../elementwise/elementwise.js';
import { transpose } from '../elementwise/transpose.js';
import { multiplyAccurately, partsBytes } from '../gemm/accurate-products.js';
import { gemm, syrk } from '../gemm/gemm.js';
import { groupMeans, startsBuffer } from '../statistics/statistics.js';

/** Of what is laid out alike, its stride in vec4. */
const width = 'u32' as const;

const subtractClassMeans = defineKernel({
  name: 'subtract_class_means',
  source: subtractClassMeansSource,
  bindings: {
    rows: read('array<vec4f>'),
    means: read('array<vec4f>'),
    starts: read('array<u32>'),
    out: readWrite('array<vec4f>'),
  },
  params: { m: 'u32', classes: 'u32', width },
});

const classCoefficients = defineKernel({
  name: 'class_coefficients',
  source: classCoefficientsSource,
  bindings: { alpha: read('array<vec4f>'), starts: read('array<u32>'), out: readWrite('array<vec4f>') },
  params: { outputs: 'u32', width },
});

const classShares = defineKernel({
  name: 'class_shares',
  source: classSharesSource,
  bindings: { starts: read('array<u32>'), ids: read('array<u32>'), shares: readWrite('array<f32>') },
  params: { columns: 'u32', outputs: 'u32', classes: 'u32', stride: 'u32' },
});

const classRows = defineKernel({
  name: 'class_rows',
  source: classRowsSource,
  bindings: {
    vectors: read('array<vec4f>'),
    shares: read('array<vec4f>'),
    weighted: read('array<vec4f>'),
    weightedLow: read('array<vec4f>'),
    out: readWrite('array<vec4f>'),
    low: readWrite('array<vec4f>'),
  },
  params: { outputs: 'u32', width, zero: 'zero' },
});

/** Means of classes, and rows relative to them. They live as long as the batch. */
export interface ClassMeans {
  /** First row of each class, then n. */
  starts: readonly number[];
  /** classes × d. */
  means: Matrix;
  /** n × d. */
  rows: Matrix;
}

export function centreByClass(batch: Batch, x: Matrix, starts: readonly number[]): ClassMeans {
  const classes = starts.length - 1;
  const [means, rows] = [batch.temporary(classes, x.cols), batch.temporary(x.rows, x.cols)];
  groupMeans(batch, x, starts, means);
  batch.dispatch(subtractClassMeans, {
    bindings: { rows: x, means, starts: startsBuffer(batch, starts), out: rows },
    params: { m: x.rows, classes, width: x.stride / 4 },
    grid: [ceilDiv(x.stride / 4, 64), x.rows],
  });
  return { starts, means, rows };
}

/**
 * B of the rows `ids`, transposed: row l · outputs + c, and a column a row. alpha: outputs × n; w: their rows of W, ids.length × n.
 * It lives as long as the batch.
 */
export function recordShares(
  batch: Batch,
  alpha: Matrix,
  w: View,
  starts: readonly number[],
  ids: readonly number[],
): Matrix {
  const [outputs, classes] = [alpha.rows, starts.length - 1];
  const coefficients = batch.temporary(classes * outputs, alpha.cols);
  const numbers = startsBuffer(batch, starts);
  batch.dispatch(classCoefficients, {
    bindings: { alpha, starts: numbers, out: coefficients },
    params: { outputs, width: alpha.stride / 4 },
    grid: [ceilDiv(alpha.stride / 4, 64), coefficients.rows],
  });
  const shares = batch.temporary(classes * outputs, ids.length);
  gemm(batch, { a: coefficients, b: w, out: shares });
  batch.dispatch(classShares, {
    bindings: { starts: numbers, ids: startsBuffer(batch, ids), shares },
    params: { columns: ids.length, outputs, classes, stride: shares.stride },
    grid: [ceilDiv(ids.length, 64), outputs],
  });
  return shares;
}

/** The shares with a row for each class, that of an output after another; what is between them is zero. */
const rowsOfClasses = (shares: Matrix, classes: number): View => {
  const long = (shares.rows / classes) * shares.stride;
  return { ...shares, rows: classes, cols: long, stride: long, padding: 0 };
};

/** out (classes × classes) = Σ_ic B_icᵀ B_ic of the shares at some rows. */
export function squaredShares(batch: Batch, shares: Matrix, out: Matrix | Pair): void {
  const flat = rowsOfClasses(shares, ('high' in out ? out.high : out).rows);
  if ('high' in out) multiplyAccurately(batch, { a: flat, b: flat, out }, 'NT', true);
  else syrk(batch, { a: flat, b: flat, out });
}

/** What the Gram form has when it comes to the class means. */
interface BetweenTerms {
  /** outputs × n. */
  alpha: Matrix;
  /** n × n. */
  w: Matrix;
  /** α, Wα, and what float32 lacks of that, one below the other. */
  vectors: Matrix;
  /** Δᵀ, d × n. */
  zT: Matrix;
  /** Of all rows. */
  mean: Matrix;
}

/**
 * out += (1/n)(Mᵀ H + Hᵀ M), M being the class means relative to the mean of all rows. The shares may be rounded, since all terms
 * take the same; what is made of them may not, since the sum of all parts has small eigenvalues. Rounded to float32, H alone cost
 * M^{1/2}X 1.3e-5 on collapsed digits, not 6e-8.
 */
export function addBetweenClasses(
  batch: Batch,
  { alpha, w, vectors, zT, mean }: BetweenTerms,
  { starts, means }: ClassMeans,
  out: Pair,
): void {
  const [outputs, classes, n, d] = [alpha.rows, starts.length - 1, alpha.cols, zT.rows];
  const pair = (rows: number, cols: number): Pair => ({
    high: batch.temporary(rows, cols),
    low: batch.temporary(rows, cols),
  });
  const all = Array.from({ length: n }, (_, i) => i);
  const shares = recordShares(batch, alpha, w, starts, all);
  const weighted = pair(shares.rows, n);
  gemm(batch, { a: shares, b: w, out: weighted });
  const rows = pair(classes, n);
  batch.dispatch(classRows, {
    bindings: {
      vectors,
      shares,
      weighted: weighted.high,
      weightedLow: weighted.low,
      out: rows.high,
      low: rows.low,
    },
    params: { outputs, width: alpha.stride / 4 },
    grid: [ceilDiv(alpha.stride / 4, 64), classes],
  });
  const squares = pair(classes, classes);
  squaredShares(batch, shares, squares);
  const relative = batch.temporary(classes, d);
  subtractRow(batch, means, mean, relative);
  const m = batch.temporary(d, classes);
  transpose(batch, relative, m);
  const h = pair(d, classes);
  multiplyAccurately(batch, { a: zT, b: rows.high, lowOfB: rows.low, out: h }, 'NT', false);
  const halfOfSquares = { b: squares.high, lowOfB: squares.low, scale: 1 / 2, addend: h };
  multiplyAccurately(batch, { a: m, ...halfOfSquares, out: h }, 'NT', false);
  // One after the other, of each the lower half: side by side, M would be beside H, which is far larger, and have no part in the
  // exact products.
  multiplyAccurately(batch, { a: m, b: h.high, lowOfB: h.low, out, scale: 1 / n, addend: out }, 'NT', true);
  multiplyAccurately(batch, { a: h.high, lowOfA: h.low, b: m, out, scale: 1 / n, addend: out }, 'NT', true);
}

/** Bytes that class means and what they add take. Products' copies come on top. */
export function classMeansBytes(
  tileBytes: number,
  { n, d, outputs, classes }: { n: number; d: number; outputs: number; classes: number },
): number {
  const long = outputs * strideOf(n);
  const products = [
    [classes, classes, long],
    [d, classes, n],
    [d, classes, classes],
    [d, d, classes],
  ];
  return (
    4 * matrixBytes(classes * outputs, n) +
    matrixBytes(n, d) +
    3 * matrixBytes(classes, n) +
    2 * matrixBytes(classes, d) +
    3 * matrixBytes(d, classes) +
    3 * matrixBytes(classes, classes) +
    products.reduce((sum, [m, n, k]) => sum + partsBytes(tileBytes, m, n, k).bytes, 0)
  );
}
