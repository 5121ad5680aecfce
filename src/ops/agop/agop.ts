import { createBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, download } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { subtractRow } from '../elementwise/elementwise.js';
import { kernelMatrixWork } from '../kernel-matrix/kernel-matrix.js';
import { meanOfRows } from '../statistics/row-statistics.js';
import { rowLengths } from '../statistics/statistics.js';
import type { NamedBytes, TiledSize } from '../tiled-size.js';
import { downloadColumns, gatherRows, tileSize } from '../tiles.js';
import { agopGramWork, gramBytes } from './agop-gram.js';
import { agopJacobianWork, gradientRows, jacobianBytes } from './agop-jacobian.js';
import { type AgopInput, gradients, shiftedTiles, weightRows, weightSums } from './gradients.js';

export { agopGram } from './agop-gram.js';
export { agopJacobian } from './agop-jacobian.js';
export type { AgopInput } from './gradients.js';

/** In Gram space, or from explicit Jacobians. */
export type AgopPath = 'gram' | 'jacobian';

/** Rows at most at which `agopCancellation` computes the exact gradients. */
export const CANCELLATION_ROWS = 32;

/**
 * How many times larger the terms that `agopGram` sums are than their sum:
 * Σ_i Q_ii ‖z_i‖² / (n · trace AGOP), both from up to 32 evenly spaced rows.
 * The relative error of the Gram form is about this number times float32's 6e-8, times a few.
 */
export async function agopCancellation(gpu: Gpu, input: AgopInput): Promise<number> {
  return scoped(gpu, { op: 'agop-cancellation' }, () => estimateCancellation(gpu, input));
}

async function estimateCancellation(gpu: Gpu, input: AgopInput): Promise<number> {
  const { x, alpha } = input;
  const { n } = x.grid;
  const outputs = alpha.tiles[0].rows;
  const samples = Math.min(CANCELLATION_ROWS, n);
  const ids = Array.from({ length: samples }, (_, i) => i * Math.floor(n / samples));
  // As many rows at a time as `agopJacobian` takes: with hundreds of outputs their gradients are larger than the rows.
  const most = gradientRows(gpu.tileBytes, n, tileSize(x.grid, 0), x.tiles[0].cols, outputs);
  const a = await downloadColumns(gpu, alpha);
  let [terms, total] = [0, 0];
  for (let from = 0; from < samples; from += most) {
    const some = ids.slice(from, from + most);
    const { weights, sums, rows, gradients } = await squaredLengths(gpu, input, some);
    some.forEach((id, r) => {
      let alphaSquared = 0;
      for (let c = 0; c < outputs; c++) alphaSquared += a[c * n + id] ** 2;
      terms += (alphaSquared * weights[r] + sums[r]) * rows[r];
    });
    total += gradients;
  }
  return terms / total;
}

/** At the rows `ids`: ‖W_i‖², ‖(Wα)_i‖² and ‖z_i‖², z relative to the mean, and the sum of the squared lengths of all gradients. */
async function squaredLengths(
  gpu: Gpu,
  input: AgopInput,
  ids: readonly number[],
): Promise<{ weights: Float64Array; sums: Float64Array; rows: Float64Array; gradients: number }> {
  const { x, alpha } = input;
  const d = x.tiles[0].cols;
  const outputs = alpha.tiles[0].rows;
  const count = ids.length;
  return owning(gpu, async (gpu) => {
    const weightLengths = x.tiles.map(() => allocate(gpu, 1, count));
    const zLengths = allocate(gpu, 1, count);
    const gradientLengths = allocate(gpu, 1, count * outputs);
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
    await batch.send();
    const [s, z2, g2, ...w2] = await Promise.all(
      [sums, zLengths, gradientLengths, ...weightLengths].map((matrix) => download(gpu, matrix)),
    );
    const ofRows = (value: (r: number) => number): Float64Array => Float64Array.from(ids, (_, r) => value(r));
    return {
      weights: ofRows((r) => w2.reduce((sum, lengths) => sum + lengths[r] ** 2, 0)),
      sums: ofRows((r) => {
        let squared = 0;
        for (let c = 0; c < outputs; c++) squared += s[c * count + r] ** 2;
        return squared;
      }),
      rows: ofRows((r) => z2[r] ** 2),
      gradients: g2.reduce((sum, length) => sum + length * length, 0),
    };
  });
}

/**
 * The path to take: Gram space where it is the cheaper one and little cancels. Measured on MNIST and
 * CIFAR-10, n = 1000: M^{1/2}X is off by 1.5e-6 at a cancellation of 3 and by 8e-6 at 7, where the
 * Jacobian gives 2e-7 and 4e-7.
 */
export function chooseAgopPath(n: number, d: number, outputs: number, cancellation: number): AgopPath {
  return gramIsCheaper(n, d, outputs) && cancellation < MAX_CANCELLATION ? 'gram' : 'jacobian';
}

/** From here on `auto` takes Jacobians, and the Gram form, where it is asked for, products with more digits. */
export const MAX_CANCELLATION = 5;

/** Whether the Gram form takes fewer operations than Jacobians at all n rows. */
export function gramIsCheaper(n: number, d: number, outputs: number): boolean {
  const gram = (n * n * n) / 2 + 2 * n * n * d + n * d * d;
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
  if (!mayBeGram(plan)) return { name: 'gradients', bytes: jacobian };
  // Where the Gram form is asked for, it is computed whatever cancels.
  const gram = gramBytes(size, plan.agop === 'gram');
  return { name: 'weights and tiles of Q, or gradients', bytes: Math.max(gram, jacobian) };
}

/** Rows from which on the Gram form's terms are taken to cancel too much (34 times their sum at 10,000 CIFAR-10 images, 3 times at 1,000). */
const USUAL_GRAM_ROWS = 2000;

/** Operations of an AGOP of n rows by kind: products, and squared distances where they are not kept. */
export function agopFlops(
  { n, d, outputs }: { n: number; d: number; outputs: number },
  plan: AgopPlan,
  kept: 'none' | 'tiles' | 'whole',
): { product: number; distance: number } {
  const usual = plan.agop === 'gram' || (n < USUAL_GRAM_ROWS && gramIsCheaper(n, d, outputs));
  if (plan.gram && plan.samples === null && usual) {
    const distance = kept === 'none' ? kernelMatrixWork(n, d).flops : 0;
    return { product: 2 * agopGramWork(n, d, outputs).flops, distance };
  }
  const rows = plan.samples ?? n;
  const { flops } = agopJacobianWork(n, d, outputs, rows);
  return { product: flops, distance: kept === 'whole' ? 0 : 3 * rows * n * d };
}
