import { createBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, downloadAll, matrixBytes } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { subtractRow } from '../elementwise/elementwise.js';
import { syrk } from '../gemm/gemm.js';
import { kernelMatrixWork } from '../kernel-matrix/kernel-matrix.js';
import { meanOfRows } from '../statistics/row-statistics.js';
import { rowLengths } from '../statistics/statistics.js';
import type { NamedBytes, TiledSize } from '../tiled-size.js';
import { downloadColumns, gatherRows, type RowGrid, tileCount, tileSize } from '../tiles.js';
import { agopGramWork, gramBytes } from './agop-gram.js';
import { agopJacobianWork, gradientRows, jacobianBytes } from './agop-jacobian.js';
import { centreByClass, recordShares, squaredShares } from './class-means.js';
import { type AgopInput, gradients, shiftedTiles, weightRows, weightSums } from './gradients.js';

export { agopGram } from './agop-gram.js';
export { agopJacobian } from './agop-jacobian.js';
export type { AgopInput } from './gradients.js';

/** In Gram space, or from explicit Jacobians. */
export type AgopPath = 'gram' | 'jacobian';

/** Rows at most at which `agopCancellation` computes the exact gradients. */
export const CANCELLATION_ROWS = 32;

/** By what rows are taken relative to in the Gram form: the mean of all, or those of their classes. */
export interface Cancellation {
  mean: number;
  /** Infinite where class means are no origins; see `hasClassOrigins`. */
  classes: number;
}

/**
 * How many times larger the terms that `agopGram` sums are than their sum:
 * Σ_i Q_ii ‖z_i‖² / (n · trace AGOP), z_i being row i relative to its origin, both from up to 32 evenly spaced rows; with classes,
 * the squares of what their means add to the gradients, if these are larger.
 * The relative error of the Gram form is about this number times float32's 6e-8, times a few.
 */
export async function agopCancellation(gpu: Gpu, input: AgopInput): Promise<Cancellation> {
  return scoped(gpu, { op: 'agop-cancellation' }, () => estimateCancellation(gpu, input));
}

/** Classes at most whose means may be origins: plans know the number of outputs, and a single output may tell two apart. */
const mostOrigins = (outputs: number): number => Math.max(2, outputs);

/**
 * Whether the means of classes may be the origins of the Gram form: of one tile of rows, several classes, and not so many that
 * what their means add is most of the work.
 */
const hasClassOrigins = (grid: RowGrid, classes: number, d: number, outputs: number): boolean =>
  tileCount(grid) === 1 && classes > 1 && classes <= mostOrigins(outputs) && classes * outputs <= d;

async function estimateCancellation(gpu: Gpu, input: AgopInput): Promise<Cancellation> {
  const { x, alpha } = input;
  const { n } = x.grid;
  const outputs = alpha.tiles[0].rows;
  const samples = Math.min(CANCELLATION_ROWS, n);
  const ids = Array.from({ length: samples }, (_, i) => i * Math.floor(n / samples));
  // As many rows at a time as `agopJacobian` takes: with hundreds of outputs their gradients are larger than the rows.
  const most = gradientRows(gpu.tileBytes, n, tileSize(x.grid, 0), x.tiles[0].cols, outputs);
  const a = await downloadColumns(gpu, alpha);
  let [ofMean, ofClasses, between, total] = [0, 0, 0, 0];
  for (let from = 0; from < samples; from += most) {
    const some = ids.slice(from, from + most);
    const found = await squaredLengths(gpu, input, some);
    some.forEach((id, r) => {
      let alphaSquared = 0;
      for (let c = 0; c < outputs; c++) alphaSquared += a[c * n + id] ** 2;
      const ownTerm = alphaSquared * found.weights[r] + found.sums[r];
      ofMean += ownTerm * found.rows[r];
      ofClasses += found.classes ? ownTerm * found.classes.rows[r] : Number.POSITIVE_INFINITY;
    });
    if (found.classes) between += found.classes.between;
    total += found.gradients;
  }
  return { mean: ofMean / total, classes: Math.max(ofClasses, between) / total };
}

/** At the rows `ids`, squared. */
interface SquaredLengths {
  /** ‖W_i‖². */
  weights: Float64Array;
  /** ‖(Wα)_i‖². */
  sums: Float64Array;
  /** ‖z_i‖², z relative to the mean. */
  rows: Float64Array;
  /** ‖z_i‖², z relative to the mean of the row's class, and the sum over all rows of what class means add to the gradients. */
  classes: { rows: Float64Array; between: number } | false;
  /** The sum over all gradients. */
  gradients: number;
}

async function squaredLengths(gpu: Gpu, input: AgopInput, ids: readonly number[]): Promise<SquaredLengths> {
  const { x, alpha, starts } = input;
  const d = x.tiles[0].cols;
  const outputs = alpha.tiles[0].rows;
  const count = ids.length;
  return owning(gpu, async (gpu) => {
    const weightLengths = x.tiles.map(() => allocate(gpu, 1, count));
    const [zLengths, ofClass] = [allocate(gpu, 1, count), allocate(gpu, 1, count)];
    const gradientLengths = allocate(gpu, 1, count * outputs);
    const groups = starts.length - 1;
    const [shareSquares, meanProducts] = [allocate(gpu, groups, groups), allocate(gpu, groups, groups)];
    const sums = allocate(gpu, outputs, count);
    const batch = createBatch(gpu);
    const w = weightRows(batch, input, ids);
    w.forEach((tile, j) => {
      rowLengths(batch, tile, weightLengths[j]);
    });
    weightSums(batch, input, w, sums);
    const mean = batch.temporary(1, d);
    meanOfRows(batch, x, [0, x.grid.n], mean);
    const [rows, z] = [batch.temporary(count, d), batch.temporary(count, d)];
    gatherRows(batch, x, ids, rows);
    subtractRow(batch, rows, mean, z);
    rowLengths(batch, z, zLengths);
    const g = batch.temporary(count * outputs, d);
    gradients(batch, input, { ids, w, sums, z: shiftedTiles(batch, x, mean) }, g);
    rowLengths(batch, g, gradientLengths);
    const classes = input.weights.kind === 'stored' && hasClassOrigins(x.grid, groups, d, outputs);
    if (classes) {
      const means = centreByClass(batch, x.tiles[0], starts);
      gatherRows(batch, { grid: x.grid, tiles: [means.rows] }, ids, rows);
      rowLengths(batch, rows, ofClass);
      const relative = batch.temporary(groups, d);
      subtractRow(batch, means.means, mean, relative);
      syrk(batch, { a: relative, b: relative, out: meanProducts });
      squaredShares(batch, recordShares(batch, alpha.tiles[0], w[0], starts, ids), shareSquares);
    }
    await batch.send();
    const asked = [sums, zLengths, gradientLengths, ...weightLengths];
    const ofClasses = classes ? [ofClass, shareSquares, meanProducts] : [];
    const found = await downloadAll(gpu, [...asked, ...ofClasses]);
    const [s, z2, g2, ...w2] = found.splice(0, asked.length);
    const [c2, squares, products] = found;
    const ofRows = (value: (r: number) => number): Float64Array => Float64Array.from(ids, (_, r) => value(r));
    return {
      weights: ofRows((r) => w2.reduce((sum, lengths) => sum + lengths[r] ** 2, 0)),
      sums: ofRows((r) => {
        let squared = 0;
        for (let c = 0; c < outputs; c++) squared += s[c * count + r] ** 2;
        return squared;
      }),
      rows: ofRows((r) => z2[r] ** 2),
      classes: classes && {
        rows: ofRows((r) => c2[r] ** 2),
        between: squares.reduce((sum, square, e) => sum + square * products[e], 0),
      },
      gradients: g2.reduce((sum, length) => sum + length * length, 0),
    };
  });
}

/** Up to here plain products do, relative to the mean of all rows, … */
const MAX_PLAIN_CANCELLATION = 3;
/** … up to here those with X alone need more digits, of an AGOP that is singular or has all of its rank, … */
const MAX_SUMS_CANCELLATION = { singular: 30, regular: 60 } as const;
/** … and beyond this `auto` takes Jacobians. */
const MAX_ACCURATE_CANCELLATION = 100;

/** How the Gram form is taken; see `GramInput`. */
export interface GramForm {
  /** Relative to the means of classes. */
  classes: boolean;
  accurate?: 'sums' | 'all';
}

/**
 * The Gram form for terms that cancel so much. M^{1/2}X of MNIST and CIFAR-10, n = 1000, is off by 5e-7 to 1.5e-6 times the
 * cancellation with plain products, and by 1.5e-8 times it with accurate ones; the AGOP itself, with plain WᵀW, by 2e-8 times it,
 * and NC1 of M^{1/2}X of CIFAR-10, n = 10,000 > d, by 1.2e-8 times it.
 */
export function gramForm(n: number, d: number, cancellation: Cancellation): GramForm {
  const { mean } = cancellation;
  const least = leastCancellation(cancellation);
  const classes = least < mean;
  if (!classes && mean < MAX_PLAIN_CANCELLATION && n > d) return { classes };
  // Of fewer rows than features the AGOP is singular, and so it is, nearly, of collapsed rows: what rounding adds to it has its
  // square root in the root.
  const most = MAX_SUMS_CANCELLATION[classes || n <= d ? 'singular' : 'regular'];
  return { classes, accurate: least < most ? 'sums' : 'all' };
}

/** That of the origin which is taken: class means where much less cancels, since some of what they add is in plain products. */
export const leastCancellation = ({ mean, classes }: Cancellation): number => (classes < mean / 2 ? classes : mean);

/** The path to take: Gram space where it is the cheaper one and not too much cancels. Jacobians leave errors of 8e-8 to 1.3e-6. */
export function chooseAgopPath(n: number, d: number, outputs: number, cancellation: Cancellation): AgopPath {
  const { accurate } = gramForm(n, d, cancellation);
  const cheaper = gramIsCheaper(n, d, outputs, accurate ?? 'plain');
  return cheaper && leastCancellation(cancellation) < MAX_ACCURATE_CANCELLATION ? 'gram' : 'jacobian';
}

/** Products that stand for one, with a low part or with more digits: of the weights with themselves, and with X. */
const PRODUCTS = {
  plain: { weights: 1, sums: 2 },
  sums: { weights: 1, sums: 3 },
  all: { weights: 3, sums: 3 },
} as const;

/** Whether the Gram form takes fewer operations than Jacobians at all n rows. */
export function gramIsCheaper(n: number, d: number, outputs: number, work: keyof typeof PRODUCTS = 'plain'): boolean {
  const { weights, sums } = PRODUCTS[work];
  const gram = (weights * n ** 3) / 2 + sums * (n * n * d + (n * d * d) / 2);
  const jacobian = n * n * outputs * d + (n * outputs * d * d) / 2;
  return gram < jacobian;
}

/** How an AGOP may be computed, as far as its bytes and operations depend on it. */
export interface AgopPlan {
  /** What is asked for. */
  agop: AgopPath | 'auto';
  /** Whether memory allows for the Gram form. */
  gram: boolean;
  /** Rows whose Jacobians are summed; null: all. */
  samples: number | null;
}

/** Whether the plan leaves the Gram form open. */
const mayBeGram = ({ agop, gram, samples }: AgopPlan): boolean => gram && agop !== 'jacobian' && samples === null;

/** What an AGOP holds beside rows, coefficients and itself. `stored`: the weights of all pairs are there for either form. */
export function agopBytes(size: TiledSize, plan: AgopPlan, how: { tileBytes: number; stored: boolean }): NamedBytes {
  const jacobian = jacobianBytes(size, { ...how, sampled: plan.samples !== null, atOnce: CANCELLATION_ROWS });
  const { grid, d, outputs } = size;
  const most = mostOrigins(outputs);
  const classes = hasClassOrigins(grid, most, d, outputs) ? most : 0;
  // The cancellation is estimated for either origin.
  const means = how.stored && classes > 0 ? matrixBytes(grid.n, d) + 2 * matrixBytes(classes * outputs, grid.n) : 0;
  if (!mayBeGram(plan)) return { name: 'gradients', bytes: jacobian + means };
  const gram = gramBytes(size, { tileBytes: how.tileBytes, all: true, classes });
  return { name: 'weights and tiles of Q, or gradients', bytes: Math.max(gram, jacobian + means) };
}

/** Operations of an AGOP of n rows by kind: products, and squared distances where they are not kept. */
export function agopFlops(
  { n, d, outputs }: { n: number; d: number; outputs: number },
  plan: AgopPlan,
  kept: 'none' | 'tiles' | 'whole',
): { product: number; distance: number } {
  const usual = plan.agop === 'gram' || gramIsCheaper(n, d, outputs, 'sums');
  if (plan.gram && plan.samples === null && usual) {
    const distance = kept === 'none' ? kernelMatrixWork(n, d).flops : 0;
    return { product: PRODUCTS.all.sums * agopGramWork(n, d, outputs).flops, distance };
  }
  const rows = plan.samples ?? n;
  const { flops } = agopJacobianWork(n, d, outputs, rows);
  return { product: flops, distance: kept === 'whole' ? 0 : 3 * rows * n * d };
}
