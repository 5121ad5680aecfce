/** What every product is held to, variant by variant. */

import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { GEMM, GEMM_SMALL, gemm, gemmNN, gemmTN, squaredDistances, syrk, syrkTN } from '../../src/ops/gemm/gemm.js';
import type { GemmVariant } from '../../src/ops/gemm/gemm-variants.js';
import { type Batch, createBatch, runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { block, type Matrix, release, type View } from '../../src/runtime/matrix.js';
import {
  compute,
  EDGE_SIZES,
  expectClose,
  expectEach,
  forEachVariant,
  poisoned,
  put,
  putInto,
  RUNS,
  read,
  readAll,
  untouched,
} from '../support/gpu.js';
import {
  at,
  collapsedRows,
  combined,
  type Dense,
  dense,
  norm,
  normalMatrix,
  product,
  productNT,
  randomMatrix,
  rounded,
  squaredDistance,
  transposed,
} from '../support/reference.js';

const BOUND = 3e-7;

interface Scaling {
  /** No addend, one in a matrix of its own, or the content of `out`. */
  mode: 'none' | 'separate' | 'accumulate';
  scale: number;
  bias: number;
}
const size = fc.constantFrom(...EDGE_SIZES);
const seed = fc.nat(1e6);
const scaling = fc.record<Scaling>({
  mode: fc.constantFrom('none', 'separate', 'accumulate'),
  scale: fc.constantFrom(1, -1, 0.375),
  bias: fc.constantFrom(1, -0.5),
});
const plainly: Scaling = { mode: 'none', scale: 1, bias: 1 };

const symmetric = (n: number, seed: number): Dense => {
  const a = randomMatrix(n, n, seed);
  return rounded(combined(0.5, a, 0.5, transposed(a)));
};
const isSymmetric = (a: Dense) => a.data.every((v, e) => v === at(a, e % a.cols, Math.floor(e / a.cols)));
const absolute = (a: Dense): Dense => ({ ...a, data: a.data.map(Math.abs) });
const distances = (a: Dense, b: Dense) => dense(a.rows, b.rows, (i, j) => squaredDistance(a, i, b, j));

type Operands = Parameters<typeof gemm>[1];

/** Declares the tests of these variants of the product. */
export function productTests(opened: () => Gpu, chosen: (variant: GemmVariant) => boolean): void {
  forEachVariant(
    { ...GEMM, variants: GEMM.variants.filter(chosen) },
    opened,
    (variant, of) => {
      let gpu: Gpu;
      beforeAll(() => {
        gpu = of();
      });
      const named = (op: string) => `${op}, ${variant.name}`;

      /** Runs scale · plain + bias · addend on the device, and compares. */
      async function check(
        op: string,
        record: (batch: Batch, operands: Operands) => void,
        { a, b, plain, addend }: { a: Dense; b: Dense; plain: Dense; addend: Dense },
        { mode, scale, bias }: Scaling,
        bound = BOUND,
      ): Promise<Dense> {
        const inputs = [a, b, addend].map((m) => put(gpu, m));
        const out = poisoned(gpu, plain.rows, plain.cols);
        // The padding of an accumulating `out` stays poisoned: it must be written all the same.
        if (mode === 'accumulate') putInto(gpu, addend, { ...out, padding: 0 });
        const added = { none: undefined, separate: inputs[2], accumulate: out }[mode];
        await runBatch(gpu, (batch) =>
          record(batch, { a: inputs[0], b: inputs[1], out, scale, ...(added && { addend: added, bias }) }),
        );
        const found = await read(gpu, out);
        release(gpu, ...inputs, out);
        const other = mode === 'none' ? undefined : addend;
        const terms = combined(Math.abs(scale), absolute(plain), Math.abs(bias), other && absolute(other));
        expectClose(named(op), found, combined(scale, plain, bias, other), bound, norm(terms));
        return found;
      }

      it('gemm is scale · A Bᵀ + bias · addend', () =>
        fc.assert(
          fc.asyncProperty(size, size, size, scaling, seed, async (m, n, k, how, s) => {
            const [a, b, addend] = [randomMatrix(m, k, s), randomMatrix(n, k, s + 1), randomMatrix(m, n, s + 2)];
            await check('gemm', gemm, { a, b, addend, plain: productNT(a, b) }, how);
          }),
          RUNS,
        ));

      it('gemmNN is A B, gemmTN is Aᵀ B', () =>
        fc.assert(
          fc.asyncProperty(size, size, size, seed, async (m, n, k, s) => {
            const [a, b, addend] = [randomMatrix(m, k, s), randomMatrix(k, n, s + 1), randomMatrix(m, n, s + 2)];
            const plain = product(a, b);
            await check('gemmNN', gemmNN, { a, b, addend, plain }, { mode: 'accumulate', scale: -1, bias: -0.5 });
            await check('gemmTN', gemmTN, { a: transposed(a), b, addend, plain }, plainly);
          }),
          RUNS,
        ));

      it('syrk fills both halves with the same numbers, for A Aᵀ and for A (A S)ᵀ', () =>
        fc.assert(
          fc.asyncProperty(size, size, scaling, seed, async (n, k, how, s) => {
            const [a, addend] = [randomMatrix(n, k, s), symmetric(n, s + 1)];
            const found = await check('syrk', syrk, { a, b: a, addend, plain: productNT(a, a) }, how);
            expect(isSymmetric(found)).toBe(true);
            // The addend is read below the diagonal only, and so is B where it is A S.
            const b = rounded(product(a, symmetric(k, s + 2)));
            expect(isSymmetric(await check('syrk with A S', syrk, { a, b, addend, plain: productNT(a, b) }, how))).toBe(
              true,
            );
          }),
          RUNS,
        ));

      it('syrk of the lower half leaves what is above the diagonal alone', () =>
        fc.assert(
          fc.asyncProperty(size, size, seed, async (n, k, s) => {
            const [a, addend] = [randomMatrix(n, k, s), randomMatrix(n, n, s + 1)];
            const [aD, out] = [put(gpu, a), poisoned(gpu, n, n)];
            for (let i = 0; i < n; i++) {
              const row: Dense = { rows: 1, cols: i + 1, data: addend.data.slice(i * n, i * n + i + 1) };
              putInto(gpu, row, { ...out, offset: i * out.stride, padding: 0 });
            }
            await runBatch(gpu, (batch) => syrk(batch, { a: aD, b: aD, out, addend: out, scale: -1 }, 'lower'));
            const { values, bits } = await readAll(gpu, out);
            release(gpu, aD, out);
            const lower = (m: Dense) => dense(n, n, (i, j) => (j <= i ? at(m, i, j) : 0));
            expect(bits.every((word, e) => e % n <= Math.floor(e / n) || untouched(word))).toBe(true);
            const plain = productNT(a, a);
            expectClose(
              named('syrk, lower'),
              lower(values),
              lower(combined(-1, plain, 1, addend)),
              BOUND,
              norm(lower(combined(1, absolute(plain), 1, absolute(addend)))),
            );
          }),
          RUNS,
        ));

      it('syrkTN is Aᵀ A', () =>
        fc.assert(
          fc.asyncProperty(size, size, scaling, seed, async (n, k, how, s) => {
            const [a, addend] = [randomMatrix(k, n, s), symmetric(n, s + 1)];
            const plain = product(transposed(a), a);
            const found = await check('syrkTN', syrkTN, { a, b: a, addend, plain }, how);
            expect(isSymmetric(found)).toBe(true);
          }),
          RUNS,
        ));

      it('multiplies blocks of larger matrices and touches nothing around the result', () => {
        const four = fc.integer({ min: 0, max: 4 }).map((v) => 4 * v);
        /** Where a block lies: its corner, and what follows it; 0 columns after it put it at the edge. */
        const place = fc.record({
          above: fc.nat(3),
          left: four,
          below: fc.nat(3),
          right: fc.constantFrom(0, 0, 1, 5, 8),
        });
        type Place = { above: number; left: number; below: number; right: number };
        /** A block of a matrix full of NaN. Inside a matrix it must end on a multiple of 4. */
        const inside = (
          rows: number,
          cols: number,
          { above, left, below, right }: Place,
        ): [parent: Matrix, view: View] => {
          const parent = poisoned(gpu, above + rows + below, left + cols + (cols % 4 === 0 ? right : 0));
          return [parent, block(parent, above, left, rows, cols)];
        };
        return fc.assert(
          fc.asyncProperty(
            fc.record({ m: size, n: size, k: size, places: fc.tuple(place, place, place, place), how: scaling, seed }),
            async ({ m, n, k, places, how: { mode, scale, bias }, seed: s }) => {
              const [a, b, addend] = [randomMatrix(m, k, s), randomMatrix(n, k, s + 1), randomMatrix(m, n, s + 2)];
              const [parentA, viewA] = inside(m, k, places[0]);
              const [parentB, viewB] = inside(n, k, places[1]);
              const [parentAddend, viewAddend] = inside(m, n, places[2]);
              const [parentOut, out] = inside(m, n, places[3]);
              putInto(gpu, a, viewA);
              putInto(gpu, b, viewB);
              putInto(gpu, addend, viewAddend);
              if (mode === 'accumulate') putInto(gpu, addend, { ...out, padding: 0 });
              const added = { none: undefined, separate: viewAddend, accumulate: out }[mode];
              await runBatch(gpu, (batch) =>
                gemm(batch, { a: viewA, b: viewB, out, scale, ...(added && { addend: added, bias }) }),
              );
              const found = await read(gpu, out);
              release(gpu, parentA, parentB, parentAddend, parentOut);
              const plain = productNT(a, b);
              const other = mode === 'none' ? undefined : addend;
              const terms = combined(Math.abs(scale), absolute(plain), Math.abs(bias), other && absolute(other));
              expectClose(named('gemm of blocks'), found, combined(scale, plain, bias, other), BOUND, norm(terms));
            },
          ),
          RUNS,
        );
      });

      it('a result in two floats holds more digits than float32, accumulating too', () =>
        fc.assert(
          fc.asyncProperty(size, size, size, fc.boolean(), seed, async (m, n, k, accumulate, s) => {
            const [a, b] = [normalMatrix(m, k, s), normalMatrix(n, k, s + 1)];
            const addend = rounded(combined(1, normalMatrix(m, n, s + 2)));
            const inputs = [a, b].map((x) => put(gpu, x));
            const out = { high: poisoned(gpu, m, n), low: poisoned(gpu, m, n) };
            // The addend as high + low: its low part must not get lost either.
            const small = rounded(combined(2 ** -26, addend));
            if (accumulate) {
              putInto(gpu, addend, { ...out.high, padding: 0 });
              putInto(gpu, small, { ...out.low, padding: 0 });
            }
            await runBatch(gpu, (batch) =>
              gemm(batch, { a: inputs[0], b: inputs[1], out, ...(accumulate && { addend: out }) }),
            );
            const [high, rest] = [await read(gpu, out.high), await read(gpu, out.low)];
            release(gpu, ...inputs, out.high, out.low);
            const plain = productNT(a, b);
            const expected = combined(1, plain, accumulate ? 1 : 0, combined(1, addend, 1, small));
            const terms = combined(1, productNT(absolute(a), absolute(b)), accumulate ? 1 : 0, absolute(addend));
            expectClose(named('gemm in two floats'), combined(1, high, 1, rest), expected, 1e-7, norm(terms));
            // The high part is the rounded sum.
            expect(rest.data.every((v, e) => Math.abs(v) <= 2 ** -24 * Math.abs(high.data[e]) * 1.0001 + 1e-38)).toBe(
              true,
            );
          }),
          RUNS,
        ));

      it('squaredDistances in two floats is symmetric in both parts, and no less accurate', () =>
        fc.assert(
          fc.asyncProperty(size, size, seed, async (n, k, s) => {
            const a = collapsedRows(n, k, 1 + (s % 3), 1e-4, s);
            const [high, low] = await compute(
              gpu,
              [a],
              [
                [n, n],
                [n, n],
              ],
              (batch, [x], outs) => squaredDistances(batch, x, x, { high: outs[0], low: outs[1] }),
            );
            const expected = distances(a, a);
            const sum = combined(1, high, 1, low);
            expectEach(
              named('squaredDistances in two floats'),
              sum,
              expected,
              3e-7,
              (i, j) => at(expected, i, j) || 1e-30,
            );
            expect([isSymmetric(high), isSymmetric(low)]).toEqual([true, true]);
          }),
          RUNS,
        ));

      it('refuses to add to a result in two floats what is not itself', () => {
        const [a, addend, high, low] = Array.from({ length: 4 }, () => poisoned(gpu, 4, 4));
        const out = { high, low };
        const refusal = 'gemm: to a result in two floats only that result itself can be added';
        expect(() => gemm(createBatch(gpu), { a, b: a, out, addend })).toThrow(refusal);
        expect(() => gemm(createBatch(gpu), { a, b: a, out: addend, addend: out })).toThrow(refusal);
        release(gpu, a, addend, high, low);
      });

      it('gives the same bits where a dispatch may do one row of tiles at most', async () => {
        const [a, b] = [randomMatrix(301, 70, 3), randomMatrix(130, 70, 4)];
        const slow: Gpu = { ...gpu, rate: { flops: 1 } };
        const shapes = [
          [301, 130],
          [301, 301],
          [301, 301],
          [301, 301],
        ] as const;
        const record = (batch: Batch, [x, y]: Matrix[], [full, mirrored, high, low]: Matrix[]) => {
          gemm(batch, { a: x, b: y, out: full });
          syrk(batch, { a: x, b: x, out: mirrored });
          squaredDistances(batch, x, x, { high, low });
        };
        expect(await compute(slow, [a, b], shapes, record)).toEqual(await compute(gpu, [a, b], shapes, record));
      });

      it('keeps its accuracy at k = 10,007', async () => {
        const [a, b] = [randomMatrix(5, 10_007, 1), randomMatrix(7, 10_007, 2)];
        // Sums without compensation are off by 2e-7 and more here.
        await check('gemm, k = 10,007', gemm, { a, b, addend: a, plain: productNT(a, b) }, plainly, 1e-7);
        await check('syrk, k = 10,007', syrk, { a, b: a, addend: a, plain: productNT(a, a) }, plainly, 1e-7);
      });

      it('packs columns beyond what a workgroup takes, and sums beyond what fits into a row of a texture', async () => {
        const long = { a: randomMatrix(29, 10_007, 1), b: randomMatrix(10_007, 37, 2) };
        const wide = { a: randomMatrix(31, 83, 3), b: randomMatrix(83, 2051, 4) };
        for (const { a, b } of [long, wide]) {
          const plain = product(a, b);
          await check('gemmNN', gemmNN, { a, b, addend: plain, plain }, plainly);
          await check('gemmTN', gemmTN, { a: transposed(a), b, addend: plain, plain }, plainly);
        }
      });

      const inTextures = variant.name.startsWith('packed');
      it.runIf(inTextures)('takes more rows than a texture has room for', async () => {
        const most = gpu.limits.maxTextureDimension2D * 64;
        const [a, b] = [randomMatrix(most + 3, 3, 1), randomMatrix(2, 3, 2)];
        await check('gemm, many rows', gemm, { a, b, addend: a, plain: productNT(a, b) }, plainly);
      });

      it('squaredDistances keeps every distance, those of near-duplicates too', () =>
        fc.assert(
          fc.asyncProperty(size, size, size, seed, async (m, n, k, s) => {
            // Groups of rows that differ by 1e-4, float32 differences being exact there.
            const rows = collapsedRows(m + n, k, 1 + (s % 3), 1e-4, s);
            const a: Dense = { rows: m, cols: k, data: rows.data.subarray(0, m * k) };
            const b: Dense = { rows: n, cols: k, data: rows.data.subarray(m * k) };
            const [found] = await compute(gpu, [a, b], [[m, n]], (batch, [x, z], [out]) =>
              squaredDistances(batch, x, z, out),
            );
            const expected = distances(a, b);
            expectEach(named('squaredDistances'), found, expected, 1e-6, (i, j) => at(expected, i, j) || 1e-30);
          }),
          RUNS,
        ));

      it('squaredDistances of a matrix to itself is symmetric, and exactly zero for equal rows', () =>
        fc.assert(
          fc.asyncProperty(size, size, seed, async (n, k, s) => {
            const different = collapsedRows(n, k, 1 + (s % 3), 1e-4, s);
            const a = dense(n, k, (i, j) => at(different, i - (i % 3), j));
            const [found] = await compute(gpu, [a], [[n, n]], (batch, [x], [out]) =>
              squaredDistances(batch, x, x, out),
            );
            const expected = distances(a, a);
            expectEach(
              named('squaredDistances to itself'),
              found,
              expected,
              1e-6,
              (i, j) => at(expected, i, j) || 1e-30,
            );
            expect(isSymmetric(found)).toBe(true);
            const zeros = found.data.filter((v) => v === 0).length;
            expect(zeros).toBeGreaterThanOrEqual(expected.data.filter((v) => v === 0).length);
          }),
          RUNS,
        ));
    },
    [GEMM_SMALL],
  );
}
