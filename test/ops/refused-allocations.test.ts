import { describe, expect, it } from 'vitest';
import { factorTiles, releaseTiledFactor, solveTiles, type TilePlace } from '../../src/ops/cholesky/tiled-cholesky.js';
import { copyScaled } from '../../src/ops/elementwise/elementwise.js';
import { featureMap } from '../../src/ops/features/features.js';
import { topEigenvalues } from '../../src/ops/sqrt-psd/eigenvalues.js';
import { factorRows, pivotedCholesky, polarFactor, rootOfFactor, sqrtPsd } from '../../src/ops/sqrt-psd/sqrt-psd.js';
import { largestMagnitudes } from '../../src/ops/statistics/magnitude.js';
import { releaseSvd, svd } from '../../src/ops/svd/svd.js';
import { releasePanels } from '../../src/ops/tiles.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { allocate, type Matrix, release } from '../../src/runtime/matrix.js';
import { owning } from '../../src/runtime/owning.js';
import { put, putColumns, putTriangle, refusingEachAllocation, useGpu } from '../support/gpu.js';
import { dense, normalMatrix, productNT } from '../support/reference.js';

const gpu = useGpu();

/** A positive definite matrix. */
const definite = (n: number) => {
  const half = normalMatrix(n, n + 3, 1);
  return productNT(half, half);
};

/** Works on a matrix that is there before, and stays. */
async function withMatrix(
  gpu: Gpu,
  [rows, cols]: readonly [number, number],
  work: (gpu: Gpu, a: Matrix) => Promise<unknown>,
): Promise<number> {
  const a = put(gpu, rows === cols ? definite(rows) : normalMatrix(rows, cols, 2));
  try {
    return await refusingEachAllocation(gpu, (gpu) => work(gpu, a));
  } finally {
    release(gpu, a);
  }
}

describe('an operation that is refused an allocation leaves nothing behind', () => {
  it('pivotedCholesky', async () => {
    const zeros = put(
      gpu(),
      dense(20, 20, () => 0),
    );
    for (const pair of [false, true]) {
      await withMatrix(gpu(), [20, 20], async (gpu, m) => {
        const { l } = await pivotedCholesky(gpu, pair ? { high: m, low: zeros } : m, 1e-6);
        release(gpu, l);
      });
    }
    release(gpu(), zeros);
  });

  it('sqrtPsd, rootOfFactor', async () => {
    const [out, zero] = [
      put(gpu(), definite(20)),
      put(
        gpu(),
        dense(20, 20, () => 0),
      ),
    ];
    await withMatrix(gpu(), [20, 20], (gpu, m) => sqrtPsd(gpu, m, out));
    const factor = await pivotedCholesky(gpu(), out, 1e-6);
    await refusingEachAllocation(gpu(), async (gpu) => release(gpu, await rootOfFactor(gpu, factor)));
    const { live } = gpu().pool.bytes;
    await expect(sqrtPsd(gpu(), zero, out)).rejects.toThrow('the AGOP is zero');
    expect(gpu().pool.bytes.live).toBe(live);
    release(gpu(), out, zero, factor.l);
  });

  it('topEigenvalues', async () => {
    await withMatrix(gpu(), [20, 20], (gpu, root) => topEigenvalues(gpu, root, 3));
  });

  it('svd, factorRows, polarFactor', async () => {
    for (const shape of [
      [5, 12],
      [12, 5],
    ] as const) {
      await withMatrix(gpu(), shape, async (gpu, a) => {
        const found = await svd(gpu, a);
        if (found) releaseSvd(gpu, found);
      });
    }
    await withMatrix(gpu(), [9, 9], (gpu, m) =>
      owning(gpu, async (gpu) => {
        const rows = await factorRows(
          gpu,
          {
            high: m,
            low: put(
              gpu,
              dense(9, 9, () => 0),
            ),
          },
          1e-6,
        );
        if (rows) release(gpu, rows);
      }),
    );
    await withMatrix(gpu(), [12, 5], async (gpu, l) => release(gpu, await polarFactor(gpu, l, 0.1)));
  });

  it.each(['device', 'host'] as TilePlace[])('factorTiles and solveTiles, tiles on the %s', async (place) => {
    const n = 70;
    const triangle = putTriangle(gpu(), definite(n), 32);
    const b = putColumns(gpu(), normalMatrix(2, n, 3), 32);
    const out = putColumns(gpu(), normalMatrix(2, n, 3), 32);
    const factored = (gpu: Gpu) =>
      factorTiles(gpu, triangle.grid, (batch, i, j, tile) => copyScaled(batch, triangle.tile(i, j), tile), place);
    await refusingEachAllocation(gpu(), async (gpu) => {
      const found = await factored(gpu);
      if ('factor' in found) releaseTiledFactor(gpu, found.factor);
    });
    const found = await factored(gpu());
    if (!('factor' in found)) throw new Error('no factor');
    await refusingEachAllocation(gpu(), (gpu) => solveTiles(gpu, found.factor, b, out));
    releaseTiledFactor(gpu(), found.factor);
    triangle.release();
    releasePanels(gpu(), b, out);
  });

  it('largestMagnitudes', async () => {
    expect(await withMatrix(gpu(), [5, 12], (gpu, a) => largestMagnitudes(gpu, [a, a]))).toBe(1);
  });

  it.each(['relu', 'cos', 'given'])('featureMap, %s', async (kind) => {
    const weights =
      kind === 'given'
        ? { kind: 'given' as const, width: 8, weights: new Float32Array(40), phase: new Float32Array(8) }
        : { kind: 'random' as const, width: 8, seed: 1, layerIndex: 0, gamma: 0.1 };
    await refusingEachAllocation(gpu(), async (gpu) => {
      const { w, phase } = await featureMap(gpu, 5, weights, kind === 'cos');
      release(gpu, w, ...(phase ? [phase] : []));
    });
  });

  it('notices what is left behind', async () => {
    const leaking = async (gpu: Gpu): Promise<void> => {
      const first = allocate(gpu, 4, 4);
      release(gpu, first, allocate(gpu, 4, 4));
    };
    const { live } = gpu().pool.bytes;
    await expect(refusingEachAllocation(gpu(), leaking)).rejects.toThrow('after allocation 2 was refused');
    expect(gpu().pool.bytes.live).toBeGreaterThan(live);
  });
});
