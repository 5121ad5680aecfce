import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type Multiply,
  multiplyAccurately,
  multiplyOnce,
  type ProductForm,
} from '../../src/ops/gemm/accurate-products.js';
import { runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { release } from '../../src/runtime/matrix.js';
import { EDGE_SIZES, expectBelow, put, RUNS, read, reportErrors, useGpu } from '../support/gpu.js';
import {
  at,
  combined,
  type Dense,
  dense,
  largestError,
  norm,
  normalMatrix,
  productNT,
  rounded,
  rowOf,
  transposed,
  uniforms,
} from '../support/reference.js';

const opened = useGpu();
reportErrors();

/** Normal entries, in rows whose sizes differ by powers of two. */
function unevenRows(rows: number, cols: number, seed: number): Dense {
  const next = uniforms(seed);
  const sizes = Array.from({ length: rows }, () => 2 ** Math.floor(20 * next() - 10));
  const normal = normalMatrix(rows, cols, seed + 1);
  return rounded(dense(rows, cols, (i, j) => sizes[i] * at(normal, i, j)));
}

interface Problem {
  /** m × k and n × k; the operands are these or their transposes, as the form says. */
  a: Dense;
  b: Dense;
  form: ProductForm;
  symmetric: boolean;
  scale: number;
  /** What is added to: m × n, as high + low. */
  addend: [high: Dense, low: Dense] | null;
  /** The factor that has a low part, of the form A Bᵀ. */
  withLow: 'a' | 'b' | null;
}

/** The largest error of out + low, each by ‖a_i‖ ‖b_j‖ and what was added to. */
async function errorOf(gpu: Gpu, multiply: Multiply, problem: Problem): Promise<number> {
  const { a, b, form, symmetric, scale, addend, withLow } = problem;
  const start = addend?.[0] ?? dense(a.rows, b.rows, () => Number.NaN);
  const out = { high: put(gpu, start), low: put(gpu, addend?.[1] ?? start) };
  const first = put(gpu, form === 'TN' ? transposed(a) : a);
  // The two are one matrix where the result is symmetric, and A A of a square one.
  const same = symmetric || (form === 'NN' && b === a);
  const second = same ? first : put(gpu, form === 'NT' ? b : transposed(b));
  const lacking = withLow && rounded(combined(2 ** -26, withLow === 'a' ? a : b));
  const low = lacking && put(gpu, lacking);
  await runBatch(gpu, (batch) => {
    const operands = { a: first, b: second, out, scale, ...(addend && { addend: out }) };
    const lows = low && (withLow === 'a' ? { lowOfA: low } : { lowOfB: low });
    multiply(batch, { ...operands, ...lows }, form, symmetric);
  });
  const found = combined(1, await read(gpu, out.high), 1, await read(gpu, out.low));
  release(gpu, out.high, out.low, ...new Set([first, second]), ...(low ? [low] : []));
  const whole = (matrix: Dense, side: 'a' | 'b') =>
    lacking && withLow === side ? combined(1, matrix, 1, lacking) : matrix;
  const plain = productNT(whole(a, 'a'), same && form === 'NN' ? transposed(a) : whole(b, 'b'));
  const expected = combined(scale, plain, 1, addend ? combined(1, addend[0], 1, addend[1]) : undefined);
  const right = same && form === 'NN' ? transposed(a) : b;
  const lengths = [a, right].map((m) => Array.from({ length: m.rows }, (_, i) => norm(rowOf(m, i))));
  const size = (i: number, j: number): number =>
    Math.abs(scale) * lengths[0][i] * lengths[1][j] + (addend ? Math.abs(at(addend[0], i, j)) : 0) + 1e-30;
  if (symmetric && !addend) expect(transposed(found)).toEqual(found);
  return largestError(found, expected, size);
}

it('multiplyAccurately has about three digits more than multiplyOnce, in every form', async () => {
  const size = fc.constantFrom(...EDGE_SIZES);
  const worst = { once: 0, accurately: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        m: size,
        n: size,
        k: fc.constantFrom(1, 2, 5, 16, 33, 64, 65, 97, 257, 1021),
        form: fc.constantFrom<ProductForm>('NT', 'NN', 'TN'),
        same: fc.boolean(),
        scale: fc.constantFrom(1, -1, 1 / 3),
        added: fc.boolean(),
        lows: fc.constantFrom('a' as const, 'b' as const, null),
        // So that some columns at a time are taken, or all.
        tileBytes: fc.constantFrom(2 ** 14, 2 ** 26),
        seed: fc.nat(1e6),
      }),
      async ({ m, n, k, form, same, scale, added, lows, tileBytes, seed }) => {
        const symmetric = same && form !== 'NN';
        const a = unevenRows(m, same && form === 'NN' ? m : k, seed);
        const b = same ? a : unevenRows(n, k, seed + 2);
        const sum = unevenRows(a.rows, b.rows, seed + 4);
        // A symmetric result is added to a symmetric matrix.
        const both = symmetric ? dense(a.rows, a.rows, (i, j) => at(sum, Math.max(i, j), Math.min(i, j))) : sum;
        const high = rounded(both);
        const low = rounded(combined(2 ** -26, high));
        const withLow = form === 'NT' && !same ? lows : null;
        const problem: Problem = { a, b, form, symmetric, scale, addend: added ? [high, low] : null, withLow };
        const gpu = { ...opened(), tileBytes };
        worst.once = Math.max(worst.once, await errorOf(gpu, multiplyOnce, problem));
        const error = await errorOf(gpu, multiplyAccurately, problem);
        worst.accurately = Math.max(worst.accurately, error);
        expectBelow('multiplyAccurately', error, 3e-10);
      },
    ),
    { ...RUNS, numRuns: 40 },
  );
  expectBelow('multiplyAccurately beside multiplyOnce', worst.accurately / worst.once, 1 / 100);
});
