import { describe, expect, it } from 'vitest';
import { lpLaplace } from '../../src/ops/kernels/coordinate-kernels.js';
import { gaussian } from '../../src/ops/kernels/gaussian.js';
import type { RadialKernel } from '../../src/ops/kernels/kernel.js';
import { laplace } from '../../src/ops/kernels/laplace.js';
import { ridgePath } from '../../src/ops/solve/ridge-path.js';
import { releasePanels } from '../../src/ops/tiles.js';
import { COORDINATE_KERNELS, kernelMatrixBy } from '../support/coordinate-reference.js';
import { expectBelow, putColumns, putRows, refusingEachAllocation, reportErrors, useGpu } from '../support/gpu.js';
import {
  at,
  dense,
  kernelMatrixOf,
  norm,
  normalMatrix,
  product,
  relativeError,
  solved,
  transposed,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

/** 20 of them from 1e-4 to 10. */
const RIDGES = Array.from({ length: 20 }, (_, i) => 10 ** (-4 + (5 * i) / 19));

describe('solutions for many ridges with one factorisation', () => {
  const [n, d, outputs] = [147, 9, 3];
  const x = normalMatrix(n, d, 1);
  const y = dense(outputs, n, (c, i) => Math.sin(at(x, i, c)) + 0.3 * at(normalMatrix(outputs, n, 2), c, i));
  const cases: [name: string, RadialKernel, (bandwidth: number) => ReturnType<typeof kernelMatrixOf>, number][] = [
    ['laplace', laplace(4), (l) => kernelMatrixOf(x, x, 'laplace', l), 4],
    ['gaussian', gaussian(2), (l) => kernelMatrixOf(x, x, 'gaussian', l), 2],
    ['product laplace', lpLaplace(9, 1, 1), (l) => kernelMatrixBy(COORDINATE_KERNELS[0], x, x, l), 9],
  ];

  it.each(cases)(
    '%s: as elimination in float64 gives them, in one tile and in several',
    async (name, kernel, matrixOf, bandwidth) => {
      const k = matrixOf(bandwidth);
      for (const most of [n, 64]) {
        const [rows, targets] = [putRows(gpu(), x, most), putColumns(gpu(), y, most)];
        const found = await ridgePath(
          gpu(),
          { x: rows, kernel, kept: null },
          targets,
          RIDGES,
          most === n ? 'device' : 'host',
        );
        expect(found.solutions).toHaveLength(20);
        expect(Math.max(...found.residuals)).toBeLessThan(1e-4);
        for (const [i, ridge] of RIDGES.entries()) {
          if (i % 4 !== 3 && i > 0) continue;
          const system = dense(n, n, (r, c) => at(k, r, c) + (r === c ? ridge : 0));
          const alpha = transposed(solved(system, transposed(y)));
          const solution = { rows: outputs, cols: n, data: found.solutions[i] };
          // What a choice between ridges sees are predictions: those at the rows themselves, and at rows beside.
          expectBelow(`${name}: predictions`, relativeError(product(solution, k), product(alpha, k)), 1e-4);
          if (ridge > 1e-2) expectBelow(`${name}: α`, relativeError(solution, alpha), 1e-3);
        }
        releasePanels(gpu(), rows, targets);
      }
    },
  );

  it('ends early where few steps suffice, and where the right-hand side is zero', async () => {
    const [rows, targets] = [putRows(gpu(), x, n), putColumns(gpu(), y, n)];
    const near = await ridgePath(gpu(), { x: rows, kernel: laplace(4), kept: null }, targets, [0.9, 1, 1.1]);
    expect(near.steps).toBeLessThan(6);
    const zero = putColumns(
      gpu(),
      dense(1, n, () => 0),
      n,
    );
    const none = await ridgePath(gpu(), { x: rows, kernel: laplace(4), kept: null }, zero, RIDGES);
    expect(norm(none.solutions[3])).toBe(0);
    const same = await ridgePath(gpu(), { x: rows, kernel: laplace(4), kept: null }, targets, [0.5]);
    expect(same.steps).toBe(1);
    releasePanels(gpu(), rows, targets, zero);
  });

  it('gives everything back where an allocation is refused', async () => {
    const small = normalMatrix(20, 3, 1);
    const [rows, targets] = [putRows(gpu(), small, 20), putColumns(gpu(), normalMatrix(2, 20, 2), 20)];
    const count = await refusingEachAllocation(gpu(), (own) =>
      ridgePath(own, { x: rows, kernel: laplace(2), kept: null }, targets, [0.5, 1]),
    );
    expect(count).toBeGreaterThan(3);
    releasePanels(gpu(), rows, targets);
  });
});
