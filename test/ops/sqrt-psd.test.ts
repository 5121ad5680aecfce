import fc from 'fast-check';
import { EigenvalueDecomposition, Matrix as HostMatrix, QrDecomposition } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { diagonalMaximum, pivotedCholesky, sqrtPsd } from '../../src/ops/sqrt-psd/sqrt-psd.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { download, release } from '../../src/runtime/matrix.js';
import {
  compute,
  EDGE_SIZES,
  expectBelow,
  expectClose,
  poisoned,
  put,
  RUNS,
  read,
  reportErrors,
  useGpu,
  VARIANTS,
} from '../support/gpu.js';
import {
  at,
  combined,
  type Dense,
  dense,
  identity,
  norm,
  normalMatrix,
  product,
  productNT,
  rounded,
  transposed,
  uniforms,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();
const seed = fc.nat(1e6);

/** Orthogonal columns of random direction. */
function orthogonal(n: number, seed: number): Dense {
  const g = normalMatrix(n, n, seed);
  const q = new QrDecomposition(HostMatrix.from1DArray(n, n, Array.from(g.data))).orthogonalMatrix;
  return { rows: n, cols: n, data: Float64Array.from(q.to1DArray()) };
}

/** Q diag(values) Qᵀ in float32, symmetric. */
function withSpectrum(values: readonly number[], seed: number): Dense {
  const n = values.length;
  const q = orthogonal(n, seed);
  return rounded(
    productNT(
      dense(n, n, (i, j) => at(q, i, j) * values[j]),
      q,
    ),
  );
}

/** A Aᵀ for a matrix of small integers: exactly of rank r for r ≤ d, and exact in float32. */
function integersOfRank(d: number, r: number, seed: number): Dense {
  const next = uniforms(seed);
  // The 16 makes the columns independent, and none nearly dependent.
  const a = dense(d, r, (i, j) => (i === j ? 16 : Math.floor(3 * next()) - 1));
  return productNT(a, a);
}

async function factored(opened: Gpu, m: Dense, tolerance: number) {
  const matrix = put(opened, m);
  const { l, rank, smallestPivot } = await pivotedCholesky(opened, matrix, tolerance);
  const { rows, cols } = l;
  const data = Float64Array.from(await download(opened, l));
  release(opened, matrix, l);
  return { l: { rows, cols, data } as Dense, rank, smallestPivot };
}

async function root(m: Dense): Promise<{ r: Dense; rank: number }> {
  const [matrix, out] = [put(gpu(), m), poisoned(gpu(), m.rows, m.rows)];
  const { rank } = await sqrtPsd(gpu(), matrix, out);
  const r = await read(gpu(), out);
  release(gpu(), matrix, out);
  return { r, rank };
}
describe('diagonalMaximum', () => {
  it('finds the largest diagonal entry, negative ones too', () =>
    fc.assert(
      fc.asyncProperty(fc.constantFrom(...EDGE_SIZES, 257), fc.nat(), seed, async (n, where, s) => {
        const a = combined(1, normalMatrix(n, n, s));
        for (let i = 0; i < n; i++) a.data[i * (n + 1)] -= 100;
        a.data[(where % n) * (n + 1)] = -90;
        const [found] = await compute(gpu(), [rounded(a)], [[1, 1, 'any']], (batch, [x], [out]) =>
          diagonalMaximum(batch, x, out),
        );
        expect(found.data[0]).toBe(-90);
      }),
      RUNS,
    ));
});

describe.each(VARIANTS)('pivotedCholesky, %s', (_, variant) => {
  const opened = () => variant(gpu());

  it('finds the rank of matrices of known rank, and L Lᵀ is the matrix', () =>
    fc.assert(
      fc.asyncProperty(fc.constantFrom(1, 2, 5, 31, 64, 130), fc.nat(), seed, async (d, r, s) => {
        const m = integersOfRank(d, 1 + (r % d), s);
        const { l, rank, smallestPivot } = await factored(opened(), m, 1e-6);
        expect(rank).toBe(1 + (r % d));
        expect([l.rows, l.cols]).toEqual([d, Math.min(d, 4 * Math.ceil(rank / 4))]);
        expect(l.data.every((v, e) => e % l.cols < rank || v === 0)).toBe(true);
        // L in float32: two roundings of 2⁻²⁴ for a product.
        expectClose('pivotedCholesky, L Lᵀ', productNT(l, l), m, 2e-7);
        expect(smallestPivot).toBeGreaterThan(1e-6);
        expect(smallestPivot).toBeLessThanOrEqual(1);
      }),
      RUNS,
    ));

  it('stops at the tolerance', async () => {
    const m = rounded(dense(10, 10, (i, j) => (i === j ? 10 ** -((7 * i) % 10) : 0)));
    const { l, rank, smallestPivot } = await factored(opened(), m, 3e-6);
    expect(rank).toBe(6);
    expect(smallestPivot).toBeCloseTo(1e-5, 9);
    const kept = dense(10, 10, (i, j) => (at(m, i, j) > 3e-6 ? at(m, i, j) : 0));
    expectClose('pivotedCholesky, diagonal', productNT(l, l), kept, 1e-7);
  });

  it('counts the rank of a zero matrix as 0', async () => {
    const zero = dense(5, 5, () => 0);
    const { l, rank } = await factored(opened(), zero, 1e-8);
    expect(rank).toBe(0);
    expect(l.data.every((v) => v === 0)).toBe(true);
  });

  it('takes the digits that float32 lacks from `low`', async () => {
    // The second pivot is 1e-9: all of it in the low part.
    const [high, low] = [dense(2, 2, () => 1), dense(2, 2, (i, j) => (i * j ? 1e-9 : 0))].map((a) => put(opened(), a));
    const { l, rank, smallestPivot } = await pivotedCholesky(opened(), { high, low }, 1e-10);
    release(opened(), high, low, l);
    expect(rank).toBe(2);
    expectBelow('pivotedCholesky, pivot from low', Math.abs(smallestPivot / 1e-9 - 1), 1e-6);
  });

  it('leaves near-duplicates of a pivot for later', async () => {
    // The largest entries belong to copies of one row: all but one of them have next to nothing left after it.
    const d = 45;
    const a = dense(d, d, (i, j) => (i === j ? (i < 20 ? 2 ** -8 : 0.5) : j === d - 1 && i < 20 ? 2 : 0));
    const m = rounded(productNT(a, a));
    const { l, rank, smallestPivot } = await factored(opened(), m, 1e-9);
    expect(rank).toBe(d);
    expectClose('pivotedCholesky, near-duplicates', productNT(l, l), m, 2e-7);
    expect(smallestPivot).toBeLessThan(1e-5);
  });
});

describe('sqrtPsd', () => {
  const spectra: [name: string, values: number[]][] = [
    ['a spectrum from 1 to 1e-9', Array.from({ length: 65 }, (_, i) => 10 ** ((-9 * i) / 64))],
    ['a steep spectrum', Array.from({ length: 40 }, (_, i) => 10 ** (-i / 2))],
    ['a flat spectrum', Array.from({ length: 33 }, (_, i) => 1 + i / 33)],
    ['ten large eigenvalues among 130', Array.from({ length: 130 }, (_, i) => (i < 10 ? 1 : 1e-5))],
    ['small numbers', Array.from({ length: 17 }, (_, i) => 1e-12 * 2 ** -i)],
    ['d = 1', [0.3]],
  ];
  it.each(spectra)('%s', async (name, values) => {
    const m = withSpectrum(values, values.length);
    const { r, rank } = await root(m);
    expectClose(`sqrtPsd, ${name}`, product(r, r), m, 1e-6);
    expect(r).toEqual(transposed(r));
    expect(rank).toBeLessThanOrEqual(values.length);
    // The positive root and not another one: eigenvalues may be negative by rounding only.
    const host = HostMatrix.from1DArray(r.rows, r.rows, Array.from(r.data));
    const eigenvalues = new EigenvalueDecomposition(host, { assumeSymmetric: true }).realEigenvalues;
    expectBelow('sqrtPsd, negative eigenvalue', -Math.min(...eigenvalues) / Math.max(...eigenvalues), 1e-6);
  });

  it.each([1, 13, 130])('the identity, d = %s', async (d) => {
    const { r, rank } = await root(identity(d));
    expect(rank).toBe(d);
    expectClose('sqrtPsd, identity', r, identity(d), 1e-6);
  });

  it('rank 1: v vᵀ / ‖v‖', async () => {
    const v = dense(37, 1, (i) => ((i * 5) % 7) - 3);
    const { r } = await root(productNT(v, v));
    expectClose('sqrtPsd, rank 1', r, combined(1 / norm(v), productNT(v, v)), 1e-6);
  });

  it('random matrices of any rank', () =>
    fc.assert(
      fc.asyncProperty(fc.constantFrom(1, 2, 5, 31, 32, 64, 97, 130), fc.nat(), seed, async (d, r, s) => {
        const m = integersOfRank(d, 1 + (r % d), s);
        const found = await root(m);
        expectClose('sqrtPsd, any rank', product(found.r, found.r), m, 1e-6);
        expect(found.r).toEqual(transposed(found.r));
      }),
      { ...RUNS, numRuns: 12 },
    ));

  it('says so where the matrix is zero', async () => {
    const zero = dense(5, 5, () => 0);
    const failure = await root(zero).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(RfmError);
    expect((failure as RfmError).kind).toBe('input');
  });
});
