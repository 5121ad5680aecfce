import { sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { matrixBytes, release } from '../../runtime/matrix.js';
import { scoped } from '../../runtime/timing.js';
import { copyScaled } from '../elementwise/elementwise.js';
import { copyBytes } from '../gemm/factor-copies.js';
import { gemm, gemmNN } from '../gemm/gemm.js';
import { kernelFromDistances, kernelMatrixWork } from '../kernel-matrix/kernel-matrix.js';
import { largestTile, type TiledSize } from '../tiled-size.js';
import { allocateColumns, type Columns, downloadColumns, releasePanels, uploadColumns } from '../tiles.js';
import { forEachDistanceTile, type KernelSystem, type RidgeEquation } from './kernel-system.js';
import type { Preconditioner } from './nystrom.js';

/** Iterations after which a solve ends as it is; the residual tells. */
const MAX_ITERATIONS = 200;

/**
 * A residual this many times its right-hand side does not come back: rounding has undone the conjugacy of the directions. On a
 * wide Gaussian kernel of repeated rows, without a ridge, all 200 iterations left it there.
 */
const DIVERGED = 1e3;

/** out = P K for P (outputs × n); the kernel matrix is computed tile by tile and not kept. */
export async function timesKernel(gpu: Gpu, system: KernelSystem, p: Columns, out: Columns): Promise<void> {
  const { kernel } = system;
  const started = new Set<number>();
  await scoped(gpu, { op: 'times-kernel' }, () =>
    forEachDistanceTile(gpu, system, false, (batch, i, j, { squared }) => {
      const k = batch.temporary(squared.rows, squared.cols);
      kernelFromDistances(batch, squared, k, kernel);
      const addTo = (row: number) => {
        const addend = started.has(row) ? { addend: out.tiles[row] } : {};
        started.add(row);
        return { out: out.tiles[row], ...addend };
      };
      gemm(batch, { a: p.tiles[j], b: k, ...addTo(i) });
      if (i !== j) gemmNN(batch, { a: p.tiles[i], b: k, ...addTo(j) });
    }),
  );
}

/**
 * Preconditioned conjugate gradients (Hestenes, Stiefel 1952) for (K + ridge I) X = B, one right-hand side a row, all
 * at once: each has its own coefficients, and they share the products with K, which are the work. Vectors are float64
 * on the host; products and preconditioner are float32 on the device. Ends where every residual is below `tolerance`
 * of its right-hand side, or beyond hope (`DIVERGED`). Each gets the iterate whose residual was smallest: in float32 they may
 * grow again. Returns the number of products with K.
 */
export async function conjugateGradients(
  gpu: Gpu,
  { system, ridge, y: b }: RidgeEquation,
  preconditioner: Preconditioner,
  out: Columns,
  tolerance: number,
): Promise<number> {
  const { grid } = b;
  const outputs = b.tiles[0].rows;
  const { n } = grid;
  const image = allocateColumns(gpu, grid, outputs);
  const through = async (values: Float64Array, map: (from: Columns) => Promise<void>): Promise<Float32Array> => {
    const from = uploadColumns(gpu, grid, outputs, values);
    try {
      await map(from);
      return await downloadColumns(gpu, image);
    } finally {
      releasePanels(gpu, from);
    }
  };
  const dots = (u: ArrayLike<number>, v: ArrayLike<number>): number[] =>
    Array.from({ length: outputs }, (_, c) => {
      let sum = 0;
      for (let e = c * n; e < (c + 1) * n; e++) sum += u[e] * v[e];
      return sum;
    });
  try {
    const r = Float64Array.from(await downloadColumns(gpu, b));
    const x = new Float64Array(r.length);
    const p = new Float64Array(r.length);
    const best = x.slice();
    const least = dots(r, r);
    const goal = least.map((square) => square * tolerance * tolerance);
    const lost = least.map((square) => square * DIVERGED * DIVERGED);
    let before = new Array<number>(outputs).fill(0);
    let iterations = 0;
    let squares = dots(r, r);
    while (iterations < MAX_ITERATIONS && squares.some((square, c) => square > goal[c])) {
      const z = await through(r, (from) => preconditioner.apply(from, image));
      const rz = dots(r, z);
      // A right-hand side that is done, lost, or zero, stands still.
      const moving = squares.map((square, c) => square > goal[c] && square < lost[c] && rz[c] > 0);
      if (!moving.some(Boolean)) break;
      for (let c = 0; c < outputs; c++) {
        const beta = before[c] > 0 ? rz[c] / before[c] : 0;
        for (let e = c * n; e < (c + 1) * n; e++) p[e] = moving[c] ? z[e] + beta * p[e] : 0;
      }
      const kp = await through(p, (from) => timesKernel(gpu, system, from, image));
      iterations++;
      const q = Float64Array.from(kp, (value, e) => value + ridge * p[e]);
      const curvature = dots(p, q);
      for (let c = 0; c < outputs; c++) {
        if (!(moving[c] && curvature[c] > 0)) continue;
        const step = rz[c] / curvature[c];
        for (let e = c * n; e < (c + 1) * n; e++) {
          x[e] += step * p[e];
          r[e] -= step * q[e];
        }
      }
      before = rz;
      squares = dots(r, r);
      for (let c = 0; c < outputs; c++) {
        if (!(squares[c] < least[c])) continue;
        least[c] = squares[c];
        best.set(x.subarray(c * n, (c + 1) * n), c * n);
      }
    }
    const found = uploadColumns(gpu, grid, outputs, best);
    await sendBatch(gpu, (batch) => found.tiles.forEach((tile, i) => void copyScaled(batch, tile, out.tiles[i])));
    release(gpu, ...found.tiles);
    return iterations;
  } finally {
    releasePanels(gpu, image);
  }
}

/** Bytes that a product with the kernel matrix holds of tiles. Products with few outputs transpose a tile, others copy it. */
export function timesKernelBytes({ grid, d, outputs, copies }: TiledSize): number {
  const tile = largestTile(grid);
  return 3 * matrixBytes(tile, tile) + copyBytes(copies, tile, tile, d) + copyBytes(copies, outputs, tile, tile);
}

/** Products with the kernel matrix that a solve is taken to need. */
const USUAL_ITERATIONS = 40;

/** Operations of a solve of n rows: distances, computed again in every iteration, and products. */
export const conjugateGradientsFlops = (n: number, d: number, outputs: number, landmarks: number) => ({
  distance: kernelMatrixWork(n, d).flops * USUAL_ITERATIONS + 3 * n * landmarks * d,
  product: USUAL_ITERATIONS * 2 * n * (n + 4 * landmarks) * outputs + 2 * n * landmarks * landmarks,
});
