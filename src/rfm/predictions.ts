/** Predictions of kernel machines. */

import { gemm } from '../ops/gemm/gemm.js';
import { columnsOf, longestOf, transposeHost } from '../ops/host-rows.js';
import { kernelExcess } from '../ops/kernel-matrix/kernel-matrix.js';
import { kernelSums } from '../ops/kernel-matrix/kernel-sums.js';
import { needsExactDistances } from '../ops/kernel-matrix/pair-distances.js';
import type { RadialKernel } from '../ops/kernels/kernel.js';
import { subtractKernelSums } from '../ops/solve/residual.js';
import {
  allocateRows,
  cut,
  downloadAllColumns,
  downloadRows,
  type Rows,
  tileSize,
  uploadColumns,
} from '../ops/tiles.js';
import { sendBatch } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import { block, type Matrix, release, upload } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import type { FittedKernel } from './fit.js';

/** Rows that a predictor is a sum over, and α of them: outputs × rows. */
export interface CenterTile {
  centers: Matrix;
  alpha: Matrix;
}

/** A predictor f(x) = Σ_j α_j k(x, x_j) whose centres need not be on the device all at once. */
export interface KernelSum {
  kernel: RadialKernel;
  outputs: number;
  /** α transposed with all its digits, outputs × centres. */
  coefficients: Float64Array;
  /** Does some work with each tile of centres on the device, in order. */
  forEachTile(gpu: Gpu, work: (tile: CenterTile, first: boolean) => Promise<void>): Promise<void>;
}

/** Predictions at the rows of t: m × outputs; see `sumKernels`. */
export const predict = (
  gpu: Gpu,
  t: Rows,
  { system: { x, kernel }, alpha, coefficients }: Pick<FittedKernel, 'system' | 'alpha' | 'coefficients'>,
  reach?: number,
): Promise<Float32Array> =>
  sumKernels(
    gpu,
    t,
    {
      ...{ kernel, outputs: alpha.tiles[0].rows, coefficients },
      async forEachTile(_, work) {
        for (const [j, centers] of x.tiles.entries()) await work({ centers, alpha: alpha.tiles[j] }, j === 0);
      },
    },
    reach,
  );

/**
 * Predictions Σ_j α_j k(t_i, x_j) at the rows of t: m × outputs, so that few outputs fill a tile of a product, whose columns
 * are fewer than its rows. The terms cancel, so they are summed with low parts: in float32 alone, predictions from 10,000
 * rows differed by 1.5e-4 between sizes of tiles; where α is long, in double-float (see `sumExactly`). Else, where the bandwidth
 * is many times `reach` (no two rows are further apart), kernel values are 1 but for what float32 rounds away, and α nearly
 * cancels: there k − 1 is summed, and Σ_j α_j added in float64.
 */
export const sumKernels = (outer: Gpu, t: Rows, sum: KernelSum, reach = 2): Promise<Float32Array> =>
  owning(outer, async (gpu) => {
    const { kernel, outputs, coefficients, forEachTile } = sum;
    if (needsExactDistances(kernel, t.tiles[0].cols, longestOf(coefficients, outputs))) return sumExactly(gpu, t, sum);
    const flat = !kernel.coordinates && reach <= kernel.excessReach * kernel.bandwidth;
    const [out, lows] = [allocateRows(gpu, t.grid, outputs), allocateRows(gpu, t.grid, outputs)];
    const n = coefficients.length / outputs;
    await forEachTile(gpu, async ({ centers, alpha }, first) => {
      for (const [i, rows] of t.tiles.entries()) {
        const sums = { high: out.tiles[i], low: lows.tiles[i] };
        await sendBatch(gpu, (batch) => {
          if (!flat) {
            kernelSums(batch, { rows, centers, alpha, out: sums, accumulate: !first }, kernel, n);
            return;
          }
          const k = batch.temporary(rows.rows, centers.rows);
          kernelExcess(batch, rows, centers, k, kernel);
          gemm(batch, { a: k, b: alpha, out: sums, ...(!first && { addend: sums }) });
        });
      }
    });
    const sums = await downloadRows(gpu, out);
    if (!flat) return sums;
    const totals = Array.from({ length: outputs }, (_, c) =>
      coefficients.subarray(c * n, (c + 1) * n).reduce((total, value) => total + value, 0),
    );
    return sums.map((value, e) => value + totals[e % outputs]);
  });

/** What rounding of kernel values does to a prediction, over ‖α‖: of float32 values, and of those in two floats. */
const [ROUNDING, ROUNDING_IN_TWO] = [1.2e-7, 2e-9];

/** About how far predictions are from those of the same α in exact arithmetic; ‖α‖ = `length` of an output, the longest. */
export const predictionRounding = (kernel: RadialKernel, cols: number, length: number): number =>
  length * (needsExactDistances(kernel, cols, length) ? ROUNDING_IN_TWO : ROUNDING);

/** Numbers as two float32 each. */
function inTwo(values: Float64Array): { high: Float32Array; low: Float32Array } {
  const high = Float32Array.from(values);
  return { high, low: Float32Array.from(values, (value, e) => value - high[e]) };
}

/** `sumKernels` in double-float, for machines whose terms cancel to fewer digits than float32 has. */
const sumExactly = (
  outer: Gpu,
  t: Rows,
  { kernel, outputs, coefficients, forEachTile }: KernelSum,
): Promise<Float32Array> =>
  owning(outer, async (gpu) => {
    const n = coefficients.length / outputs;
    // Half a tile at once: a tile of kernel values is planned for, and distances take two.
    const halves = t.tiles.flatMap((tile, i) => {
      const { starts } = cut(tileSize(t.grid, i), Math.ceil(tile.rows / 2));
      return starts.slice(1).map((end, h) => block(tile, starts[h], 0, end - starts[h], tile.cols));
    });
    const starts = [0];
    for (const { rows } of halves) starts.push(starts.at(-1)! + rows);
    const grid = { n: t.grid.n, starts };
    const zeros = new Float32Array(outputs * grid.n);
    const [high, low] = [uploadColumns(gpu, grid, outputs, zeros), uploadColumns(gpu, grid, outputs, zeros)];
    const parts = inTwo(coefficients);
    let from = 0;
    await forEachTile(gpu, async ({ centers }) => {
      const count = centers.rows;
      const part = (values: Float32Array): Matrix => upload(gpu, outputs, count, columnsOf(values, n, from, count));
      const alpha = { high: part(parts.high), low: part(parts.low) };
      from += count;
      for (const [h, rows] of halves.entries()) {
        const sums = { high: high.tiles[h], low: low.tiles[h] };
        await sendBatch(gpu, (batch) => subtractKernelSums(batch, kernel, { rows, centers, alpha, sums }));
      }
      release(gpu, alpha.high, alpha.low);
    });
    const [taken] = await downloadAllColumns(gpu, [high]);
    return transposeHost(taken, outputs, grid.n).map((value) => -value);
  });
