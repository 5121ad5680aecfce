import { Matrix as HostMatrix, SingularValueDecomposition } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { releaseSvd, svd } from '../../src/ops/svd/svd.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { download, type Matrix, release } from '../../src/runtime/matrix.js';
import { expectBelow, expectClose, expectEach, put, reportErrors, useGpu, VARIANTS } from '../support/gpu.js';
import {
  combined,
  type Dense,
  dense,
  identity,
  normalMatrix,
  product,
  productNT,
  rounded,
  transposed,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();

async function get(on: Gpu, matrix: Matrix): Promise<Dense> {
  return { rows: matrix.rows, cols: matrix.cols, data: Float64Array.from(await download(on, matrix)) };
}

const hostValues = (a: Dense): number[] =>
  new SingularValueDecomposition(HostMatrix.from1DArray(a.rows, a.cols, Array.from(a.data)), {
    autoTranspose: true,
  }).diagonal
    .slice(0, Math.min(a.rows, a.cols))
    .sort((x, y) => y - x);

/** Random orthogonal factors around given singular values. */
function withValues(rows: number, cols: number, values: number[], seed: number): Dense {
  const orthonormal = (n: number, from: number): Dense => {
    const { leftSingularVectors } = new SingularValueDecomposition(
      HostMatrix.from1DArray(n, n, Array.from(normalMatrix(n, n, from).data)),
    );
    return dense(n, values.length, (i, j) => leftSingularVectors.get(i, j));
  };
  const u = orthonormal(rows, seed);
  const v = orthonormal(cols, seed + 1);
  return rounded(
    productNT(
      dense(rows, values.length, (i, j) => u.data[i * values.length + j] * values[j]),
      v,
    ),
  );
}

/** Squares of these are beyond float32. */
const sized = (exponent: number): Dense => combined(2 ** exponent, normalMatrix(19, 22, 8));

const cases: [name: string, a: () => Dense][] = [
  ['1 × 1', () => normalMatrix(1, 1, 1)],
  ['1 × 7', () => normalMatrix(1, 7, 2)],
  ['7 × 1', () => normalMatrix(7, 1, 3)],
  ['33 × 33', () => normalMatrix(33, 33, 4)],
  ['17 × 65', () => normalMatrix(17, 65, 5)],
  ['65 × 31', () => normalMatrix(65, 31, 6)],
  [
    'values from 1 to 1e-4',
    () =>
      withValues(
        40,
        48,
        Array.from({ length: 20 }, (_, i) => 10 ** (-i / 4.75)),
        7,
      ),
  ],
  ['entries of 1e-33', () => sized(-110)],
  ['entries of 1e33', () => sized(110)],
  ['equal values', () => withValues(24, 24, new Array(24).fill(1), 9)],
];

describe('singular value decomposition', () => {
  for (const [variant, on] of VARIANTS) {
    for (const [name, matrix] of cases) {
      it(`${name}, ${variant}`, async () => {
        const a = matrix();
        const input = put(on(gpu()), a);
        const found = await svd(on(gpu()), input);
        if (!found) throw new Error('expected a decomposition');
        const [u, v] = [await get(on(gpu()), found.u), await get(on(gpu()), found.v)];
        const s = [...found.s];
        const expected = hostValues(a);
        expect([...s].sort((x, y) => y - x)).toEqual(s);
        s.forEach((value, i) => {
          expectBelow('singular values', Math.abs(value - expected[i]) / expected[0], 1e-6);
        });
        // What was left out is below the promised share.
        for (const value of expected.slice(s.length)) expectBelow('left out', value / expected[0], 2e-5);
        expectEach('left vectors orthonormal', productNT(u, u), identity(s.length), 2e-6);
        expectEach('right vectors orthonormal', productNT(v, v), identity(s.length), 2e-6);
        const usv = product(
          transposed(u),
          dense(v.rows, v.cols, (i, j) => s[i] * v.data[i * v.cols + j]),
        );
        expectClose('U S V', usv, a, 3e-6);
        releaseSvd(on(gpu()), found);
        release(on(gpu()), input);
      });
    }
  }

  it('a matrix of zeros has none', async () => {
    const input = put(
      gpu(),
      dense(5, 6, () => 0),
    );
    expect(await svd(gpu(), input)).toBe(null);
    release(gpu(), input);
  });

  it('a matrix with a number that is not finite is refused', async () => {
    for (const wrong of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      const input = put(
        gpu(),
        dense(5, 6, (i, j) => (i === 3 && j === 5 ? wrong : i - j)),
      );
      await expect(svd(gpu(), input)).rejects.toThrow('expected numbers of some size');
      release(gpu(), input);
    }
  });
});
