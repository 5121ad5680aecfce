import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { kernelMatrix } from '../../src/ops/kernel-matrix/kernel-matrix.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { type KernelSystem, keepDistances, releaseDistances } from '../../src/ops/solve/kernel-system.js';
import { residual } from '../../src/ops/solve/residual.js';
import { type SolvePlan, type SolveReport, solveRidge } from '../../src/ops/solve/solve.js';
import { releasePanels } from '../../src/ops/tiles.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { golden } from '../support/golden.js';
import {
  compute,
  EDGE_SIZES,
  expectBelow,
  expectClose,
  expectEach,
  poisonedColumns,
  putColumns,
  putRows,
  putTriangle,
  RUNS,
  readColumns,
  reportErrors,
  useGpu,
} from '../support/gpu.js';
import { radialKernel } from '../support/kernels.js';
import {
  at,
  collapsedRows,
  combined,
  type Dense,
  dense,
  identity,
  type KernelName,
  kernelMatrixOf,
  kernelValue,
  norm,
  normalMatrix,
  product,
  relativeError,
  rounded,
  transposed,
} from '../support/reference.js';

const opened = useGpu();
reportErrors();
let gpu: Gpu;
beforeAll(() => {
  gpu = opened();
});

interface Problem {
  x: Dense;
  /** outputs × n. */
  y: Dense;
  kernel: KernelName;
  bandwidth: number;
  ridge: number;
}

interface How {
  /** Most rows of a tile. */
  most?: number;
  plan?: SolvePlan;
  keep?: boolean;
}

/** Solves on the device from rows. */
async function solve(
  { x, y, kernel, bandwidth, ridge }: Problem,
  { most = x.rows, plan = { method: 'cholesky' }, keep = true }: How = {},
): Promise<{ alpha: Dense; report: SolveReport }> {
  const rows = putRows(gpu, x, most);
  const right = putColumns(gpu, y, most);
  const [high, low, r] = [1, 2, 3].map(() => poisonedColumns(gpu, y.rows, right));
  let system: KernelSystem = { x: rows, kernel: radialKernel(kernel, bandwidth), kept: null };
  try {
    if (keep) system = await keepDistances(gpu, system);
    const report = await solveRidge(gpu, { system, ridge, y: right }, { high, low }, r, plan);
    const left = norm(await readColumns(gpu, r)) / (norm(y) || 1);
    expect(Math.abs(left - report.relativeResidual)).toBeLessThanOrEqual(1e-9 + 1e-5 * left);
    return { alpha: combined(1, await readColumns(gpu, high), 1, await readColumns(gpu, low)), report };
  } finally {
    releaseDistances(gpu, system);
    releasePanels(gpu, rows, right, high, low, r);
  }
}

/** ‖Y − A (K + ridge I)‖ / ‖Y‖ in float64, K from the rows. */
function residualOf({ x, y, kernel, bandwidth, ridge }: Problem, alpha: Dense): number {
  const system = combined(1, kernelMatrixOf(x, x, kernel, bandwidth), ridge, identity(x.rows));
  return relativeError(product(alpha, system), y);
}

/** What kernel values that are off by 2e-8 (distances of float32 rows) can make of a residual. */
function kernelError({ x, y, kernel, bandwidth }: Problem, alpha: Dense): number {
  const sizes = { ...alpha, data: alpha.data.map(Math.abs) };
  return 1e-7 + (2e-8 * norm(product(sizes, kernelMatrixOf(x, x, kernel, bandwidth)))) / norm(y);
}

/** Targets −1 and +1, outputs × n. */
const targets = (outputs: number, n: number): Dense => dense(outputs, n, (c, i) => (i % outputs === c ? 1 : -1));

const kernels: KernelName[] = ['laplace', 'gaussian', 0.8];

/** A GPU takes more outputs at a time than a software adapter, which compiles that for seconds: of one kernel, then. */
const takers: [string, () => Gpu, KernelName[]][] = [
  ['as this adapter takes them', () => gpu, kernels],
  ['ten at a time', () => ({ ...gpu, adapter: { ...gpu.adapter, type: 'hardware' } }), ['laplace']],
];

describe('residual', () => {
  it.each(takers)('is Y − A (K + ridge I) far below float32’s rounding, outputs %s', (_, taker, of) =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          n: fc.constantFrom(...EDGE_SIZES),
          outputs: fc.constantFrom(1, 10, 11),
          kernel: fc.constantFrom(...of),
          bandwidth: fc.constantFrom(0.3, 2, 10),
          ridge: fc.constantFrom(1e-3, 0.7),
          s: fc.nat(1e6),
        }),
        async ({ n, outputs, kernel, bandwidth, ridge, s }) => {
          const noise = normalMatrix(n, n, s);
          // Squared distances as high and low part, up to 25, zero on the diagonal.
          const squared = dense(n, n, (i, j) => (i === j ? 0 : at(noise, Math.max(i, j), Math.min(i, j)) ** 2));
          const high = rounded(squared);
          const low = rounded(combined(1, squared, -1, high));
          const both = normalMatrix(outputs, n, s + 1);
          both.data.forEach((v, e) => {
            both.data[e] = v * (1 + 2 ** -30);
          });
          const alpha = rounded(both);
          const alphaLow = rounded(combined(1, both, -1, alpha));
          const exact = dense(n, n, (i, j) => kernelValue(kernel, at(high, i, j) + at(low, i, j), bandwidth));
          const fitted = product(both, combined(1, exact, ridge, identity(n)));
          // Y is the fitted values rounded, so that the residual is their rounding, 1e-8 of them.
          const y = rounded(fitted);
          const terms = norm(product({ ...alpha, data: alpha.data.map(Math.abs) }, exact));
          for (const most of [n, 32]) {
            const [highD, lowD] = [putTriangle(gpu, high, most), putTriangle(gpu, low, most)];
            const [alphaD, alphaLowD, yD] = [alpha, alphaLow, y].map((m) => putColumns(gpu, m, most));
            const out = poisonedColumns(gpu, outputs, yD);
            const kept = alphaD.tiles.map((_, i) =>
              Array.from({ length: i + 1 }, (_, j) => ({ squared: highD.tile(i, j), low: lowD.tile(i, j) })),
            );
            // Of the rows only their division into tiles matters, since the distances are there.
            const system: KernelSystem = { x: alphaD, kernel: radialKernel(kernel, bandwidth), kept };
            await residual(taker(), { system, ridge, y: yD }, { high: alphaD, low: alphaLowD }, out);
            const found = await readColumns(gpu, out);
            highD.release();
            lowD.release();
            releasePanels(gpu, alphaD, alphaLowD, yD, out);
            expectClose(`residual, ${kernel}`, found, combined(1, y, -1, fitted), 3e-10, terms);
          }
        },
      ),
      RUNS,
    ),
  );
});

/** Every solver, whole and in tiles, with distances kept and not. */
const HOWS: How[] = [
  {},
  { most: 32 },
  { most: 32, keep: false },
  { most: 64, plan: { method: 'cholesky-host' }, keep: false },
  { plan: { method: 'conjugate-gradients', landmarks: 24 }, keep: false },
  { most: 32, plan: { method: 'conjugate-gradients', landmarks: 50 }, keep: false },
];

describe('solveRidge', () => {
  const size = fc.constantFrom(1, 2, 31, 32, 33, 65, 97);
  // One, as many as are taken at a time, and more: each number has a kernel that is compiled.
  const outputs = fc.constantFrom(1, 5, 10, 11);
  const spread = fc.constantFrom(1, 1e-2, 1e-4, 1e-6);

  it.each(kernels)('reaches a residual of 1e-6 where classes are collapsed, and reports it, %s', (kernel) =>
    fc.assert(
      fc.asyncProperty(size, outputs, spread, fc.nat(1e6), async (n, classes, s, seed) => {
        const x = collapsedRows(n, 20, Math.min(n, classes), s, seed);
        const y = dense(classes, n, (c, i) => (Math.floor((i * Math.min(n, classes)) / n) === c ? 1 : -1));
        const problem: Problem = { x, y, kernel, bandwidth: 2, ridge: 1e-3 };
        const how = HOWS[seed % HOWS.length];
        const { alpha, report } = await solve(problem, how);
        const exact = residualOf(problem, alpha);
        expectBelow(`solveRidge, residual, ${kernel}`, report.relativeResidual, 1e-6);
        const difference = Math.abs(report.relativeResidual - exact);
        expectBelow(`solveRidge, reported residual, ${kernel}`, difference, kernelError(problem, alpha));
        expect(report).toMatchObject({ method: how.plan?.method ?? 'cholesky', jitter: 0 });
      }),
      { ...RUNS, numRuns: 12 },
    ),
  );

  it.each(kernels)('reports what it reached where coefficients are of a thousand, %s', (kernel) =>
    fc.assert(
      fc.asyncProperty(size, outputs, spread, fc.nat(1e6), async (n, classes, s, seed) => {
        // Targets that differ between near-duplicates make coefficients of a thousand.
        const x = collapsedRows(n, 20, Math.min(n, 5), s, seed);
        const problem: Problem = { x, y: targets(classes, n), kernel, bandwidth: 2, ridge: 1e-3 };
        const { alpha, report } = await solve(problem);
        const exact = residualOf(problem, alpha);
        expectBelow(`solveRidge, large residual, ${kernel}`, exact, 1e-3);
        expectBelow(
          `solveRidge, large residual reported, ${kernel}`,
          Math.abs(report.relativeResidual - exact),
          kernelError(problem, alpha),
        );
      }),
      { ...RUNS, numRuns: 12 },
    ),
  );

  it.each(kernels)('equal rows with opposite targets and no ridge: a ridge is added, and said, %s', async (kernel) => {
    const few = normalMatrix(20, 5, 3);
    const x = dense(40, 5, (i, j) => at(few, i >> 1, j));
    // Equal rows with different targets: no α solves this.
    const problem: Problem = { x, y: dense(1, 40, (_, i) => (i % 2 ? 1 : -1)), kernel, bandwidth: 1, ridge: 0 };
    for (const how of HOWS) {
      const { alpha, report } = await solve(problem, how);
      expect(report.addedRidge).toBeCloseTo(1e-5, 9);
      const exact = residualOf({ ...problem, ridge: 1e-5 }, alpha);
      expectBelow('solveRidge, added ridge', Math.abs(report.relativeResidual - exact), kernelError(problem, alpha));
    }
  });

  it('a wide Gaussian kernel on repeated rows, without a ridge: coefficients stay within what float32 holds', async () => {
    const few = normalMatrix(20, 4, 5);
    const x = dense(40, 4, (i, j) => at(few, i % 20, j));
    const y = dense(2, 40, (c, i) => (at(few, i % 20, c) > 0 ? 1 : -1));
    const problem: Problem = { x, y, kernel: 'gaussian', bandwidth: 30, ridge: 0 };
    for (const how of HOWS) {
      const { alpha, report } = await solve(problem, how);
      expect(report.relativeResidual).toBeLessThanOrEqual(1e-3);
      expect(norm(alpha) / norm(y)).toBeLessThanOrEqual(5e5);
      // No worse than predicting nothing.
      expect(residualOf(problem, alpha)).toBeLessThan(1);
    }
  });

  it('refuses what holds NaN', async () => {
    const x = normalMatrix(33, 5, 4);
    x.data[70] = Number.NaN;
    const problem: Problem = { x, y: targets(2, 33), kernel: 'laplace', bandwidth: 2, ridge: 1e-3 };
    expect(await solve(problem).catch((error: unknown) => error)).toBeInstanceOf(RfmError);
  });

  const files = golden('solve', 'collapsed');
  it.skipIf(files.absent)(`agrees with the golden solve of a collapsed layer${files.why}`, async () => {
    const { bandwidth, ridge } = files.case();
    const x = rounded(files.matrix('X'));
    const y = transposed(files.matrix('Y'));
    const exact = files.matrix('kernel_matrix');
    const [k] = await compute(gpu, [x], [[x.rows, x.rows]], (batch, [rows], [out]) =>
      kernelMatrix(batch, rows, rows, out, laplace(bandwidth)),
    );
    expectEach('golden kernel matrix', k, exact, 1e-6);
    for (const how of HOWS) {
      const { alpha, report } = await solve({ x, y, kernel: 'laplace', bandwidth, ridge }, how);
      expectBelow('golden residual', report.relativeResidual, 1e-6);
      expect(report).toMatchObject({ method: how.plan?.method ?? 'cholesky', jitter: 0 });
      expectClose('golden fitted values', transposed(product(alpha, exact)), files.matrix('fitted'), 1e-5);
    }
  });
});
