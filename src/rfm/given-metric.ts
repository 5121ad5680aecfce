/** Rows after the square root of a metric that was learned elsewhere, before the first layer of Deep RFM. */

import type { Numbers } from '../numbers.js';
import { gemm } from '../ops/gemm/gemm.js';
import { lengthOf, transposeHost } from '../ops/host-rows.js';
import { rootOfFactor } from '../ops/sqrt-psd/sqrt-psd.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, download, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import type { MetricFactor } from './metric.js';
import type { FeatureRows, StartRows } from './rows.js';

/** M^{1/2} of a given metric. */
export interface GivenRoot {
  /** d × d, row-major, of M over a power of two, which makes no difference to rows that are divided by their length. */
  root: Float32Array;
  d: number;
}

/** M^{1/2} (d × d) of M = FᵀF, in the unit of the factor; null where no metric is given. */
export const givenRoot = async (gpu: Gpu, metric: MetricFactor | null): Promise<GivenRoot | null> =>
  metric && rootOfMetric(gpu, metric);

const rootOfMetric = (outer: Gpu, { factor, rank }: MetricFactor): Promise<GivenRoot> =>
  owning(outer, async (gpu) => {
    const d = factor.length / rank;
    const l = upload(gpu, d, rank, transposeHost(factor, rank, d));
    const root = await rootOfFactor(gpu, { l, rank, smallestPivot: pivotRatio(factor, rank, d) });
    return { root: await download(gpu, root), d };
  });

/** Smallest pivot over the largest: a row of F begins with its pivot's root, the largest of its entries. */
function pivotRatio(factor: Numbers, rank: number, d: number): number {
  const pivot = (row: number): number => {
    let most = 0;
    for (let j = 0; j < d; j++) most = Math.max(most, Math.abs(factor[row * d + j]));
    return most ** 2;
  };
  return pivot(rank - 1) / pivot(0);
}

/** Of ‖M^{1/2}‖: what is left of a shorter row, of length 1 before, is what float32 rounded. */
const NOTHING_LEFT = 1e-6;

/**
 * Rows of length 1 times M^{1/2}, again divided by their length, `tileRows` of them at a time. A row of which nothing is left, since
 * M has next to nothing in its direction, becomes 0.
 */
export const afterMetric = (
  outer: Gpu,
  { root, d }: GivenRoot,
  { x, rows, cols }: FeatureRows,
  tileRows: number,
): Promise<FeatureRows> =>
  owning(outer, async (gpu) => {
    const b = upload(gpu, d, d, root);
    const found = new Float32Array(x.length);
    const least = NOTHING_LEFT * lengthOf(root);
    for (let first = 0; first < rows; first += tileRows) {
      const count = Math.min(tileRows, rows - first);
      await owning(gpu, async (own) => {
        const a = upload(own, count, cols, x.subarray(first * cols, (first + count) * cols));
        const out = allocate(own, count, cols);
        await sendBatch(own, (batch) => gemm(batch, { a, b, out }));
        found.set(await download(own, out), first * cols);
      });
      for (let row = first; row < first + count; row++)
        toUnitLength(found.subarray(row * cols, (row + 1) * cols), least);
    }
    return { x: found, rows, cols };
  });

function toUnitLength(row: Float32Array, least: number): void {
  const length = lengthOf(row);
  for (let j = 0; j < row.length; j++) row[j] = length < least ? 0 : row[j] / length;
}

/** The same of training rows and test rows, which stay as they are where no metric is given. */
export async function startAfterMetric(
  gpu: Gpu,
  root: GivenRoot | null,
  start: StartRows,
  tileRows: number,
): Promise<StartRows> {
  if (root === null) return start;
  const { train, test } = start;
  return {
    train: await afterMetric(gpu, root, train, tileRows),
    test: test && (await afterMetric(gpu, root, test, tileRows)),
  };
}
