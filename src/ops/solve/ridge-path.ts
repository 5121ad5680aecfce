import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { sendBatch } from '../../runtime/batch.js';
import type { Gpu } from '../../runtime/gpu.js';
import { allocate, download, leadingBlock } from '../../runtime/matrix.js';
import { owning } from '../../runtime/owning.js';
import { scoped } from '../../runtime/timing.js';
import { kernelFromDistances } from '../kernel-matrix/kernel-matrix.js';
import { pairDistances } from '../kernel-matrix/pair-distances.js';
import { allocateColumns, type Columns, downloadColumns, releasePanels, uploadColumns } from '../tiles.js';
import type { KernelSystem } from './kernel-system.js';
import { factoredSystem } from './solve.js';

/** Solutions of (K + λ I) α = Y for several λ. */
export interface RidgePath {
  /** In the order of the ridges: α, outputs × n. */
  solutions: Float64Array[];
  /** Of each, ‖(K + λ I) α − Y‖ / ‖Y‖ but for the rounding of the factor. */
  residuals: number[];
  /** The ridge that was factored, and the solves with it. */
  shift: number;
  steps: number;
}

/** Steps after which it ends as it is; the residuals tell. */
const MAX_STEPS = 120;
/** Rows whose kernel matrix tells of the least eigenvalue. */
const SAMPLE = 64;
/** Of the largest residual: a choice between ridges needs no more. */
const TOLERANCE = 1e-5;

/**
 * Solves (K + λ I) α = Y for all `ridges` with one Cholesky factorisation, by shift-invert Lanczos (Ericsson, Ruhe, Math. Comp.
 * 1980). With B = (K + σ I)⁻¹ the matrix of each system is (K + λ I) B = I + (λ − σ) B, whose Krylov space from Y does not
 * depend on λ: one solve with the factor a step serves all ridges. In the Lanczos basis V, B V = V T + β v eᵀ, the system of a
 * ridge is tridiagonal, z = (I + (λ − σ) T)⁻¹ ‖Y‖ e₁, α = B V z, and its residual is |λ − σ| β |z_m|, which is exact. With σ + μ
 * the geometric mean of λ + μ for the least and the largest ridge both ends take as many steps, μ being K's least eigenvalue.
 *
 * n³/6 multiply-adds, and 2 n² for each step and output; a factorisation for each of r ridges takes r n³/6. Y: outputs × n, each
 * row with a Lanczos recurrence of its own, orthogonalised anew against all vectors before it, in float64 on the host.
 * @throws input error where K + σ I cannot be factored.
 */
export const ridgePath = (
  outer: Gpu,
  system: KernelSystem,
  y: Columns,
  ridges: readonly number[],
  place: 'device' | 'host' = 'device',
): Promise<RidgePath> =>
  scoped(outer, { op: 'ridge-path' }, () =>
    owning(outer, async (gpu) => {
      const { grid } = y;
      const outputs = y.tiles[0].rows;
      const mu = await leastEigenvalue(gpu, system);
      const shift = Math.sqrt((Math.min(...ridges) + mu) * (Math.max(...ridges) + mu)) - mu;
      const solver = await factoredSystem(gpu, system, shift, place, 'many');
      const out = allocateColumns(gpu, grid, outputs);
      const targets = Float64Array.from(await downloadColumns(gpu, y));
      const rows = Array.from({ length: outputs }, (_, c) => startOf(targets.subarray(c * grid.n, (c + 1) * grid.n)));
      let steps = 0;
      let residuals = ridges.map(() => 1);
      while (steps < MAX_STEPS && Math.max(...residuals) > TOLERANCE) {
        const stacked = new Float64Array(outputs * grid.n);
        rows.forEach(({ basis }, c) => {
          stacked.set(basis[basis.length - 1], c * grid.n);
        });
        const from = uploadColumns(gpu, grid, outputs, stacked);
        await solver.apply(from, out);
        releasePanels(gpu, from);
        const images = await downloadColumns(gpu, out);
        rows.forEach((row, c) => {
          advance(row, Float64Array.from(images.subarray(c * grid.n, (c + 1) * grid.n)));
        });
        steps++;
        residuals = ridges.map((ridge) => relativeResidual(rows, ridge - shift));
      }
      solver.release();
      const solutions = ridges.map((ridge) => stackedSolution(rows, ridge - shift, grid.n));
      return { solutions, residuals, shift, steps };
    }),
  );

/**
 * A guess at the least eigenvalue of K: a quarter of that of its first 64 rows and columns, which is never less than K's. A
 * poor one costs steps.
 */
const leastEigenvalue = (outer: Gpu, { x, kernel }: KernelSystem): Promise<number> =>
  owning(outer, async (gpu) => {
    const [tile] = x.tiles;
    const size = Math.min(SAMPLE, tile.rows);
    const rows = leadingBlock(tile, size, tile.cols);
    const [squared, k] = [allocate(gpu, size, size), allocate(gpu, size, size)];
    await sendBatch(gpu, (batch) => {
      pairDistances(batch, kernel, rows, rows, squared);
      kernelFromDistances(batch, squared, k, kernel);
    });
    const values = Matrix.from1DArray(size, size, Array.from(await download(gpu, k)));
    const { realEigenvalues } = new EigenvalueDecomposition(values, { assumeSymmetric: true });
    return Math.max(0, Math.min(...realEigenvalues)) / 4;
  });

/** α of all right-hand sides, outputs × n. */
function stackedSolution(rows: readonly Recurrence[], difference: number, n: number): Float64Array {
  const alpha = new Float64Array(rows.length * n);
  rows.forEach((row, c) => {
    alpha.set(solutionOf(row, difference), c * n);
  });
  return alpha;
}

/** The Lanczos recurrence of one right-hand side. */
interface Recurrence {
  /** ‖Y‖. */
  norm: number;
  /** v_1 … v_{m+1}. */
  basis: Float64Array[];
  /** T: its diagonal, and beside it, the last of which is β. */
  diagonal: number[];
  beside: number[];
}

function startOf(target: Float64Array): Recurrence {
  const norm = lengthOf(target);
  return { norm, basis: [target.map((value) => (norm > 0 ? value / norm : 0))], diagonal: [], beside: [] };
}

const lengthOf = (v: Float64Array): number => Math.sqrt(dot(v, v));

function dot(u: Float64Array, v: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < u.length; i++) sum += u[i] * v[i];
  return sum;
}

/** A step, with the image B v of the last vector. */
function advance({ basis, diagonal, beside }: Recurrence, image: Float64Array): void {
  const last = basis[basis.length - 1];
  diagonal.push(dot(last, image));
  // Twice, since once leaves what rounding adds.
  for (let pass = 0; pass < 2; pass++) {
    for (const v of basis) {
      const share = dot(v, image);
      for (let i = 0; i < image.length; i++) image[i] -= share * v[i];
    }
  }
  const beta = lengthOf(image);
  // The space is used up: further vectors are zero, and so is their part of a solution.
  const open = beta > 1e-12 * Math.abs(diagonal[0]) && diagonal[0] !== 0;
  beside.push(open ? beta : 0);
  basis.push(open ? image.map((value) => value / beta) : new Float64Array(image.length));
}

/** z = (I + difference · T)⁻¹ ‖Y‖ e₁ by elimination; the matrix is positive definite. */
function coefficientsOf({ norm, diagonal, beside }: Recurrence, difference: number): Float64Array {
  const m = diagonal.length;
  const [pivots, z] = [new Float64Array(m), new Float64Array(m)];
  let right = norm;
  for (let i = 0; i < m; i++) {
    const before = i > 0 ? difference * beside[i - 1] : 0;
    if (i > 0) right = -(before / pivots[i - 1]) * right;
    pivots[i] = 1 + difference * diagonal[i] - (i > 0 ? (before * before) / pivots[i - 1] : 0);
    z[i] = right;
  }
  for (let i = m - 1; i >= 0; i--) {
    const after = i + 1 < m ? difference * beside[i] * z[i + 1] : 0;
    z[i] = (z[i] - after) / pivots[i];
  }
  return z;
}

/** Over all right-hand sides, as one matrix. */
function relativeResidual(rows: readonly Recurrence[], difference: number): number {
  let [residual, all] = [0, 0];
  for (const row of rows) {
    const m = row.diagonal.length;
    residual += (difference * row.beside[m - 1] * coefficientsOf(row, difference)[m - 1]) ** 2;
    all += row.norm ** 2;
  }
  return all > 0 ? Math.sqrt(residual / all) : 0;
}

/** α = B V z = V T z + β z_m v_{m+1}. */
function solutionOf(row: Recurrence, difference: number): Float64Array {
  const { basis, diagonal, beside } = row;
  const z = coefficientsOf(row, difference);
  const m = z.length;
  const out = new Float64Array(basis[0].length);
  for (let k = 0; k <= m; k++) {
    const own = k < m ? diagonal[k] * z[k] : 0;
    const above = k + 1 < m ? beside[k] * z[k + 1] : 0;
    const weight = own + above + (k > 0 ? beside[k - 1] * z[k - 1] : 0);
    for (let i = 0; i < out.length; i++) out[i] += weight * basis[k][i];
  }
  return out;
}
