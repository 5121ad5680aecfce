import { expect, it } from 'vitest';
import {
  factorTiles,
  preparedForSolves,
  releaseTiledFactor,
  solveTiles,
} from '../../src/ops/cholesky/tiled-cholesky.js';
import { wideBlocksBytes } from '../../src/ops/cholesky/wide-blocks.js';
import { copyScaled } from '../../src/ops/elementwise/elementwise.js';
import { copiesFactors } from '../../src/ops/gemm/gemm-variants.js';
import { cut, releasePanels } from '../../src/ops/tiles.js';
import { block, release, upload } from '../../src/runtime/matrix.js';
import { owning } from '../../src/runtime/owning.js';
import {
  expectBelow,
  poisonedColumns,
  putColumns,
  readColumns,
  refusingEachAllocation,
  reportErrors,
  useGpu,
} from '../support/gpu.js';
import {
  combined,
  type Dense,
  identity,
  normalMatrix,
  productNT,
  relativeError,
  rounded,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

/** G Gᵀ / n + I / 10. */
function definite(n: number): Dense {
  const g = normalMatrix(n, Math.min(n, 40), n);
  return rounded(combined(1 / n, productNT(g, g), 0.1, identity(n)));
}

/** X with A X = B, a right-hand side a row, by a factor that was prepared for many solves; twice, as it is kept. */
const solvedTwice = (outer: ReturnType<typeof gpu>, a: Dense, b: Dense, most: number): Promise<Dense[]> =>
  owning(outer, async (own) => {
    const grid = cut(a.rows, most);
    const whole = upload(own, a.rows, a.cols, a.data);
    const found = await factorTiles(
      own,
      grid,
      (batch, i, j, out) => copyScaled(batch, block(whole, grid.starts[i], grid.starts[j], out.rows, out.cols), out),
      'device',
    );
    if (!('factor' in found)) throw new Error(`not positive definite at ${found.failingPivot}`);
    const before = own.pool.bytes.live;
    const factor = await preparedForSolves(own, found.factor);
    const copies = { textureSide: copiesFactors(own) ? own.limits.maxTextureDimension2D : null };
    expect(own.pool.bytes.live - before).toBeLessThanOrEqual(wideBlocksBytes({ grid, d: 1, outputs: b.rows, copies }));
    const answers: Dense[] = [];
    for (let time = 0; time < 2; time++) {
      const columns = putColumns(own, b, most);
      const out = poisonedColumns(own, b.rows, columns);
      await solveTiles(own, factor, columns, out);
      answers.push(await readColumns(own, out));
      releasePanels(own, columns, out);
    }
    releaseTiledFactor(own, factor);
    release(own, whole);
    return answers;
  });

it.each([
  [1, 1, 1],
  [3, 2, 3],
  [33, 5, 33],
  [255, 1, 255],
  [256, 3, 256],
  [257, 17, 257],
  [512, 4, 512],
  [700, 10, 700],
  [1100, 3, 1100],
  [700, 3, 300],
  [1100, 2, 600],
])('a factor prepared for many solves solves: n = %i, %i right-hand sides, tiles of %i', async (n, m, most) => {
  const a = definite(n);
  const b = rounded(normalMatrix(m, n, 7));
  const [first, second] = await solvedTwice(gpu(), a, b, most);
  // A is symmetric: a row of X times A is a row of B.
  expectBelow('A X − B', relativeError(productNT(first, a), b), 2e-6);
  expect(second).toEqual(first);
});

it('reads the factor as products do: another choice for these keeps no texels, and solves', async () => {
  const [a, b] = [definite(300), rounded(normalMatrix(2, 300, 7))];
  const chosen = { ...gpu(), choices: new Map([['gemm', 'workgroup']]) };
  const [found] = await solvedTwice(chosen, a, b, 300);
  expectBelow('A X − B', relativeError(productNT(found, a), b), 2e-6);
});

it('gives everything back where an allocation is refused', async () => {
  const [a, b] = [definite(40), rounded(normalMatrix(2, 40, 7))];
  expect(await refusingEachAllocation(gpu(), (own) => solvedTwice(own, a, b, 40))).toBeGreaterThan(5);
});

it('is left as it is where its tiles are in host memory', async () => {
  const a = definite(20);
  const whole = upload(gpu(), 20, 20, a.data);
  const found = await factorTiles(gpu(), cut(20, 20), (batch, _i, _j, out) => copyScaled(batch, whole, out), 'host');
  if (!('factor' in found)) throw new Error('not positive definite');
  expect(await preparedForSolves(gpu(), found.factor)).toBe(found.factor);
  releaseTiledFactor(gpu(), found.factor);
  release(gpu(), whole);
});
