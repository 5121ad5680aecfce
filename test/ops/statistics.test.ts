import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupMeans, normalizeRows, rowLengths } from '../../src/ops/statistics/statistics.js';
import { runBatch } from '../../src/runtime/batch.js';
import { allocate, download, release, upload } from '../../src/runtime/matrix.js';
import { compute, EDGE_SIZES, expectBelow, expectEach, RUNS, reportErrors, useGpu } from '../support/gpu.js';
import {
  at,
  type Dense,
  dense,
  norm,
  normalMatrix,
  rounded,
  rowOf,
  startsOfSizes,
  uniforms,
} from '../support/reference.js';

const gpu = useGpu();
reportErrors();
const size = fc.constantFrom(...EDGE_SIZES);
const seed = fc.nat(1e6);

/** Columns of very different offset and spread; every third is constant. */
function columns(m: number, n: number, seed: number): Dense {
  const noise = normalMatrix(m, n, seed);
  return rounded(dense(m, n, (i, j) => (j % 2 ? 1000 : -0.1) + (j % 3 === 2 ? 0 : 10 ** -(j % 4) * at(noise, i, j))));
}

describe('normalizeRows and rowLengths', () => {
  it('divide rows by their length; a row of zeros stays zero', () =>
    fc.assert(
      fc.asyncProperty(size, size, seed, async (m, n, s) => {
        const noise = normalMatrix(m, n, s);
        const a = rounded(dense(m, n, (i, j) => (i % 3 === 1 ? 0 : 10 ** ((i % 7) - 3) * at(noise, i, j))));
        const [unit, lengths, again] = await compute(
          gpu(),
          [a],
          [
            [m, n],
            [1, m, 'any'],
            [1, m, 'any'],
          ],
          (batch, [x], outs) => {
            normalizeRows(batch, x, outs[0], outs[1]);
            rowLengths(batch, x, outs[2]);
          },
        );
        const length = (i: number) => norm(rowOf(a, i));
        const expected = dense(m, n, (i, j) => at(a, i, j) / (length(i) || 1));
        expectEach('normalizeRows', unit, expected, 4e-7, (i, j) => Math.abs(at(expected, i, j)) + 1e-30);
        const exact = dense(1, m, (_, i) => length(i));
        for (const found of [lengths, again]) expectEach('lengths', found, exact, 4e-7, (_, i) => length(i) || 1e-30);
      }),
      RUNS,
    ));

  it('rows in any unit, whose squares leave float32', async () => {
    const units = [1e-34, 1e-30, 1e-22, 1e-18, 1, 1e18, 1e22, 1e30, 1e37];
    const noise = normalMatrix(units.length, 33, 8);
    const a = rounded(dense(units.length, 33, (i, j) => units[i] * at(noise, i, j)));
    const [unit, lengths] = await compute(
      gpu(),
      [a],
      [
        [units.length, 33],
        [1, units.length, 'any'],
      ],
      (batch, [x], outs) => normalizeRows(batch, x, outs[0], outs[1]),
    );
    units.forEach((size, i) => {
      const row = rowOf(a, i).map((value) => value / size);
      const error = rowOf(unit, i).map((value, j) => value - row[j] / norm(row));
      expectBelow(`row in units of ${size}`, norm(error), 1e-7);
      expectBelow(`length in units of ${size}`, Math.abs(lengths.data[i] / size / norm(row) - 1), 3e-7);
    });
  });

  it('the length of a row that is not finite is not, either', async () => {
    const matrix = upload(gpu(), 3, 5, [1, 2, 3, 4, 5, 1, Number.NaN, 3, 4, 5, 1, 2, 3, Number.POSITIVE_INFINITY, 5]);
    const [unit, lengths] = [allocate(gpu(), 3, 5), allocate(gpu(), 1, 3)];
    await runBatch(gpu(), (batch) => normalizeRows(batch, matrix, unit, lengths));
    expect([...(await download(gpu(), lengths))].map(Number.isFinite)).toEqual([true, false, false]);
    release(gpu(), matrix, unit, lengths);
  });

  it('write the padding of the lengths', async () => {
    const a = normalMatrix(5, 3, 6);
    await compute(
      gpu(),
      [a],
      [
        [5, 3],
        [1, 5],
      ],
      (batch, [x], outs) => normalizeRows(batch, x, outs[0], outs[1]),
    );
    await compute(gpu(), [a], [[1, 5]], (batch, [x], outs) => rowLengths(batch, x, outs[0]));
  });

  it('long rows', async () => {
    const a = normalMatrix(2, 10_007, 5);
    const [unit] = await compute(gpu(), [a], [[2, 10_007]], (batch, [x], [out]) =>
      normalizeRows(batch, x, out, batch.temporary(1, 2)),
    );
    // Roundings of 10,007 entries average out; an error of the length would not.
    for (const i of [0, 1]) expectBelow('normalizeRows, length', Math.abs(norm(rowOf(unit, i)) - 1), 3e-8);
  });
});

describe('groupMeans', () => {
  /** Row numbers at which groups of 1 to 9 rows start, and the end. */
  const starts = fc.array(fc.constantFrom(1, 1, 2, 3, 9), { minLength: 1, maxLength: 12 }).map(startsOfSizes);

  it('the mean row of every group, groups of one row too', () =>
    fc.assert(
      fc.asyncProperty(starts, size, seed, async (at0, n, s) => {
        const groups = at0.length - 1;
        const a = columns(at0[groups], n, s);
        const [found] = await compute(gpu(), [a], [[groups, n]], (batch, [x], [out]) => groupMeans(batch, x, at0, out));
        const expected = dense(groups, n, (g, j) => {
          let sum = 0;
          for (let i = at0[g]; i < at0[g + 1]; i++) sum += at(a, i, j);
          return sum / (at0[g + 1] - at0[g]);
        });
        const largest = (g: number, j: number) => {
          let most = 0;
          for (let i = at0[g]; i < at0[g + 1]; i++) most = Math.max(most, Math.abs(at(a, i, j)));
          return most;
        };
        expectEach('groupMeans', found, expected, 3e-7, largest);
        for (let g = 0; g < groups; g++) {
          if (at0[g + 1] - at0[g] === 1) expect(rowOf(found, g)).toEqual(rowOf(a, at0[g]));
        }
      }),
      RUNS,
    ));

  it('keeps its accuracy over 10,007 rows', async () => {
    const next = uniforms(4);
    const a = rounded(dense(10_007, 2, (_, j) => (j ? 5 : 0) + next()));
    const [found] = await compute(gpu(), [a], [[1, 2]], (batch, [x], [out]) => groupMeans(batch, x, [0, a.rows], out));
    const expected = dense(1, 2, (_, j) => {
      let sum = 0;
      for (let i = 0; i < a.rows; i++) sum += at(a, i, j);
      return sum / a.rows;
    });
    expectEach('mean of 10,007 rows', found, expected, 1.5e-7, (_, j) => at(expected, 0, j));
  });
});
