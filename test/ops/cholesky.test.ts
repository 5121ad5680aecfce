import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  allocateFactor,
  CHOLESKY,
  failingPivot,
  potrf,
  potrs,
  releaseFactor,
  TRSM,
  trsm,
} from '../../src/ops/cholesky/cholesky.js';
import { runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { release } from '../../src/runtime/matrix.js';
import {
  expectClose,
  forEachVariant,
  poisoned,
  put,
  putInto,
  RUNS,
  read,
  reportErrors,
  useGpu,
} from '../support/gpu.js';
import {
  at,
  combined,
  type Dense,
  dense,
  identity,
  norm,
  normalMatrix,
  productNT,
  rounded,
  transposed,
} from '../support/reference.js';

const opened = useGpu();
reportErrors();

/** Blocks have 32 columns, panels 256. */
const SIZES = [1, 2, 31, 32, 33, 63, 64, 65, 100, 129, 257, 289];
const size = fc.constantFrom(...SIZES);

/** G Gᵀ / n + shift · I, a well-conditioned positive definite matrix for shift = 0.1. */
function definite(n: number, seed: number, shift = 0.1): Dense {
  const g = normalMatrix(n, n, seed);
  return rounded(combined(1 / n, productNT(g, g), shift, identity(n)));
}

/** Factors `a` with everything above the diagonal poisoned, since only the lower half may be read. */
async function factored(gpu: Gpu, a: Dense) {
  const matrix = poisoned(gpu, a.rows, a.rows);
  for (let i = 0; i < a.rows; i++) {
    const row: Dense = { rows: 1, cols: i + 1, data: a.data.slice(i * a.rows, i * a.rows + i + 1) };
    putInto(gpu, row, { ...matrix, offset: i * matrix.stride, padding: 0 });
    putInto(
      gpu,
      dense(1, 0, () => 0),
      { ...matrix, offset: i * matrix.stride + a.rows },
    );
  }
  const factor = allocateFactor(gpu, matrix);
  await runBatch(gpu, (batch) => potrf(batch, factor));
  return { factor, done: () => [releaseFactor(gpu, factor), release(gpu, matrix)] };
}

const lowerOf = (a: Dense): Dense => dense(a.rows, a.rows, (i, j) => (j <= i ? at(a, i, j) : 0));

forEachVariant(CHOLESKY, opened, ({ name }, gpu) => {
  it.each(SIZES)('n = %s: L Lᵀ is A, and the upper half Lᵀ', async (n) => {
    for (const shift of [0.1, 1e-3]) {
      const a = definite(n, n, shift);
      const { factor, done } = await factored(gpu(), a);
      expect(await failingPivot(gpu(), factor)).toBe(0);
      const found = await read(gpu(), factor.l);
      done();
      const l = lowerOf(found);
      expectClose(`potrf, ${name}, n = ${n}`, productNT(l, l), a, 1e-6);
      expect(found).toEqual(dense(n, n, (i, j) => at(l, Math.max(i, j), Math.min(i, j))));
    }
  });

  it('names the first pivot that is not positive', () =>
    fc.assert(
      fc.asyncProperty(size, fc.nat(), fc.constantFrom(0, -1, -1e-3), fc.nat(1e6), async (n, where, pivot, seed) => {
        // A = L D Lᵀ with D = I up to the pivot in question, and that pivot not positive. Entries of L are
        // halves and quarters, so that A is exact and so is the factorisation up to there.
        const bad = where % n;
        const noise = normalMatrix(n, n, seed);
        const l = dense(n, n, (i, j) =>
          i === j ? 1 : i === j + 1 || i === j + 33 ? Math.sign(at(noise, i, j)) / 4 : 0,
        );
        const d = dense(n, n, (i, j) => at(l, i, j) * (j < bad ? 1 : j === bad ? pivot : -2));
        const a = productNT(d, l);
        const { factor, done } = await factored(gpu(), rounded(a));
        expect(await failingPivot(gpu(), factor)).toBe(bad + 1);
        done();
      }),
      RUNS,
    ));

  it('names a pivot that is NaN or infinite', async () => {
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const a = combined(1, identity(70));
      a.data[40 * 71] = wrong;
      const { factor, done } = await factored(gpu(), a);
      expect(await failingPivot(gpu(), factor)).toBe(41);
      done();
    }
  });

  it('starts afresh after a failure', async () => {
    const matrix = put(gpu(), combined(-1, identity(40)));
    const factor = allocateFactor(gpu(), matrix);
    await runBatch(gpu(), (batch) => potrf(batch, factor));
    expect(await failingPivot(gpu(), factor)).toBe(1);
    putInto(gpu(), identity(40), matrix);
    await runBatch(gpu(), (batch) => potrf(batch, factor));
    expect(await failingPivot(gpu(), factor)).toBe(0);
    releaseFactor(gpu(), factor);
    release(gpu(), matrix);
  });
});

forEachVariant(TRSM, opened, ({ name }, gpu) => {
  it('solve for 1 to 40 right-hand sides, one a row', () =>
    fc.assert(
      fc.asyncProperty(size, fc.integer({ min: 1, max: 40 }), fc.nat(1e6), async (n, m, seed) => {
        const a = definite(n, seed);
        const b = normalMatrix(m, n, seed + 1);
        const { factor, done } = await factored(gpu(), a);
        const l = lowerOf(await read(gpu(), factor.l));
        const solved: Dense[] = [];
        for (const how of ['both', 'forward', 'backward'] as const) {
          const [right, out] = [put(gpu(), b), poisoned(gpu(), m, n)];
          await runBatch(gpu(), (batch) =>
            how === 'both' ? potrs(batch, factor, right, out) : trsm(batch, factor, right, out, how),
          );
          solved.push(await read(gpu(), out));
          release(gpu(), right, out);
        }
        done();
        const [x, forward, backward] = solved;
        // X A = B, Y Lᵀ = B, Z L = B, each with the error a stable solver leaves.
        expectClose(`potrs, ${name}`, productNT(x, a), b, 1e-6, norm(a) * norm(x));
        expectClose(`trsm forward, ${name}`, productNT(forward, l), b, 1e-6, norm(l) * norm(forward));
        expectClose(`trsm backward, ${name}`, productNT(backward, transposed(l)), b, 1e-6, norm(l) * norm(backward));
      }),
      RUNS,
    ));
});
