import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Collapse, collapseTraces, gramPicture, readCollapse } from '../../src/ops/statistics/collapse.js';
import { exponentOf } from '../../src/ops/statistics/magnitude.js';
import { asPanel, releasePanels } from '../../src/ops/tiles.js';
import { runBatch } from '../../src/runtime/batch.js';
import { release } from '../../src/runtime/matrix.js';
import { golden, startsOf } from '../support/golden.js';
import {
  compute,
  EDGE_SIZES,
  expectBelow,
  expectEach,
  poisoned,
  putRows,
  RUNS,
  reportErrors,
  useGpu,
} from '../support/gpu.js';
import {
  at,
  collapsedRows,
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
const seed = fc.nat(1e6);

/** (tr Σ_W, tr Σ_B, NC2) in float64. */
function collapseOf(x: Dense, starts: readonly number[]): [within: number, between: number, nc2: number] {
  const classes = starts.length - 1;
  const means = dense(classes, x.cols, (c, j) => {
    let sum = 0;
    for (let i = starts[c]; i < starts[c + 1]; i++) sum += at(x, i, j);
    return sum / (starts[c + 1] - starts[c]);
  });
  const mean = (j: number) => {
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += at(means, c, j);
    return sum / classes;
  };
  let within = 0;
  for (let c = 0; c < classes; c++) {
    for (let i = starts[c]; i < starts[c + 1]; i++) {
      for (let j = 0; j < x.cols; j++) within += (at(x, i, j) - at(means, c, j)) ** 2;
    }
  }
  const overall = Array.from({ length: x.cols }, (_, j) => mean(j));
  const u = dense(classes, x.cols, (c, j) => at(means, c, j) - overall[j]);
  const dot = (c: number, e: number) => rowOf(u, c).reduce((sum, v, j) => sum + v * at(u, e, j), 0);
  let between = 0;
  let nc2 = 0;
  for (let c = 0; c < classes; c++) {
    between += dot(c, c);
    for (let e = 0; e < classes; e++) {
      const cosine = dot(c, e) / Math.sqrt(dot(c, c) * dot(e, e));
      nc2 += (cosine - (c === e ? 1 : -1 / (classes - 1))) ** 2;
    }
  }
  return [within / x.rows, between / classes, nc2 / classes ** 2];
}

/** Rows in one panel, or in panels of 32. */
async function collapse(x: Dense, starts: readonly number[], most = x.rows): Promise<Collapse> {
  const rows = putRows(gpu(), x, most);
  const results = poisoned(gpu(), 1, 8);
  try {
    await runBatch(gpu(), (batch) => collapseTraces(batch, rows, starts, results));
    return await readCollapse(gpu(), results);
  } finally {
    releasePanels(gpu(), rows);
    release(gpu(), results);
  }
}

/** (tr Σ_W, tr Σ_B, NC2), the traces in the units of x. */
async function traces(x: Dense, starts: readonly number[], most = x.rows): Promise<[number, number, number]> {
  const { within, between, nc2 } = await collapse(x, starts, most);
  const unit = 2 ** exponentOf(x.data.reduce((largest, v) => Math.max(largest, Math.abs(v)), 0));
  return [within * unit * unit, between * unit * unit, nc2];
}

describe('collapseTraces', () => {
  /** Classes of 1 to 70 rows. */
  const starts = fc.array(fc.constantFrom(1, 2, 5, 16, 70), { minLength: 2, maxLength: 11 }).map(startsOfSizes);

  it('agrees with float64 for classes of any sizes, spread out or collapsed', () =>
    fc.assert(
      fc.asyncProperty(
        starts,
        fc.constantFrom(...EDGE_SIZES.filter((d) => d > 3)),
        fc.constantFrom(1, 1e-3, 1e-5),
        seed,
        async (first, d, spread, s) => {
          const classes = first.length - 1;
          const rows = first[classes];
          const centers = collapsedRows(classes, d, classes, 0, s);
          const noise = normalMatrix(rows, d, s + 1);
          const label = (row: number) => first.findLastIndex((start) => start <= row);
          const x = rounded(
            dense(rows, d, (i, j) => at(centers, label(i), j) + (spread / Math.sqrt(d)) * at(noise, i, j)),
          );
          const expected = collapseOf(x, first);
          for (const most of [rows, 32]) {
            const found = await traces(x, first, most);
            // Means are float32 numbers of about 1/√d: their rounding, squared, adds to the scatter.
            expectBelow('tr Σ_W', Math.abs(found[0] - expected[0]) / (expected[0] + 1e-9), 2e-6);
            expectBelow('tr Σ_B', Math.abs(found[1] - expected[1]) / expected[1], 1e-6);
            expectBelow('NC2', Math.abs(found[2] - expected[2]), 1e-6);
          }
        },
      ),
      RUNS,
    ));

  it('NC2 is 0 for a simplex, and tr Σ_W exactly 0 for equal rows', async () => {
    const x = dense(8, 4, (i, j) => (Math.floor(i / 2) === j ? 1 : 0));
    const [within, between, nc2] = await traces(x, [0, 2, 4, 6, 8]);
    expect(within).toBe(0);
    expect(between).toBeCloseTo(0.75, 6);
    expect(nc2).toBeLessThanOrEqual(1e-12);
  });

  it('writes the padding of its results', async () => {
    const x = normalMatrix(4, 3, 2);
    await compute(gpu(), [x], [[1, 6]], (batch, [rows], [out]) =>
      collapseTraces(batch, asPanel(rows, 4), [0, 2, 4], out),
    );
  });

  it('has one value for rows of any size: squares of 1e-30 and 1e30 are beyond float32', async () => {
    const first = [0, 9, 16, 40];
    const x = normalMatrix(40, 33, 5);
    const expected = collapseOf(x, first);
    for (const exponent of [-110, -66, -33, 33, 66, 110]) {
      const scaled = dense(40, 33, (i, j) => at(x, i, j) * 2 ** exponent);
      for (const most of [40, 32]) {
        const { nc1, nc2 } = await collapse(scaled, first, most);
        expectBelow('NC1 of any size', Math.abs(nc1 / (expected[0] / expected[1]) - 1), 2e-6);
        expectBelow('NC2 of any size', Math.abs(nc2 - expected[2]), 1e-6);
      }
    }
    // The sum of a class alone is beyond float32.
    const largest = 2 ** 127;
    const { nc1 } = await collapse(
      dense(8, 4, (i, j) => largest * (Math.floor(i / 2) === j ? 1.5 : i % 2)),
      [0, 2, 4, 6, 8],
    );
    const [within, between] = collapseOf(
      dense(8, 4, (i, j) => (Math.floor(i / 2) === j ? 1.5 : i % 2)),
      [0, 2, 4, 6, 8],
    );
    expectBelow('NC1 of the largest rows', Math.abs(nc1 / (within / between) - 1), 2e-6);
  });

  it('is not defined where class means coincide, whatever their order of rows leaves of rounding', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 7, 33, 64),
        fc.constantFrom(3, 20, 200),
        fc.constantFrom(0, 3, 1e3),
        fc.constantFrom(1, 1e-25, 1e25),
        seed,
        async (d, count, offset, scale, s) => {
          const rows = normalMatrix(count, d, s);
          const next = uniforms(s + 1);
          const shuffled = [...rows.data.keys()].slice(0, count).sort(() => next() - 0.5);
          // Two classes of the same rows in another order, and one elsewhere.
          const x = rounded(
            dense(3 * count, d, (i, j) => {
              const row = i < count ? i : i < 2 * count ? shuffled[i - count] : i - 2 * count;
              return scale * (at(rows, row, j) + offset + (i < 2 * count ? 0 : 5));
            }),
          );
          const same = dense(2 * count, d, (i, j) => at(x, i, j));
          for (const most of [same.rows, 32]) {
            const both = await collapse(same, [0, count, 2 * count], most);
            expect([both.nc1, both.nc2, both.between]).toEqual([Number.NaN, Number.NaN, 0]);
          }
          const three = await collapse(x, [0, count, 2 * count, 3 * count]);
          const [within, between] = collapseOf(x, [0, count, 2 * count, 3 * count]);
          expectBelow(
            'NC1 beside two that coincide',
            Math.abs(three.nc1 / (within / between) - 1) / (1 + offset),
            1e-6,
          );
          expect(three.nc2).not.toBeNaN();
        },
      ),
      RUNS,
    ));

  it('one row a class, and equal rows in a class that lies in two panels: NC1 is 0', async () => {
    const x = normalMatrix(5, 13, 3);
    expect(await collapse(x, [0, 1, 2, 3, 4, 5])).toMatchObject({ nc1: 0, within: 0 });
    const equal = dense(90, 13, (i, j) => at(x, i < 50 ? 0 : 1, j));
    for (const most of [90, 32]) {
      const { nc1, nc2 } = await collapse(equal, [0, 50, 90], most);
      expect(nc1).toBe(0);
      // Not zero where a device fuses a product with a sum.
      expectBelow('NC2 of two means', nc2, 1e-14);
    }
  });

  it('NC2 alone is not defined where one class mean is the mean of all', async () => {
    const x = dense(6, 5, (i, j) => (j === 0 ? [-1, 0, 1][Math.floor(i / 2)] : (i % 2) - 0.5));
    const { nc1, nc2 } = await collapse(x, [0, 2, 4, 6]);
    expectBelow('NC1 of classes in a row', Math.abs(nc1 - 1 / (2 / 3)), 1e-6);
    expect(nc2).toBeNaN();
  });

  it('rows all zero, and a single class, have neither', async () => {
    const zero = dense(6, 5, () => 0);
    expect(await collapse(zero, [0, 3, 6])).toEqual({ nc1: Number.NaN, nc2: Number.NaN, within: 0, between: 0 });
    expect(await collapse(normalMatrix(6, 5, 1), [0, 6])).toMatchObject({ nc1: Number.NaN, nc2: Number.NaN });
  });

  it('a collapsed layer with a large mean in common is defined', async () => {
    // Rows of length 1 whose class means differ by 1e-3 and rows by 1e-6: NC1 is about 1e-6.
    const [first, d] = [[0, 30, 60, 90], 64];
    const centers = normalMatrix(3, d, 1);
    const noise = normalMatrix(90, d, 2);
    const x = rounded(
      dense(90, d, (i, j) => 0.125 + 1e-4 * at(centers, Math.floor(i / 30), j) + 1e-7 * at(noise, i, j)),
    );
    const expected = collapseOf(x, first);
    const { nc1, nc2 } = await collapse(x, first);
    expectBelow('NC1 collapsed', Math.abs(nc1 / (expected[0] / expected[1]) - 1), 2e-2);
    expectBelow('NC2 collapsed', Math.abs(nc2 - expected[2]), 1e-3);
  });

  it('refuses numbers that are not finite', async () => {
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const x = dense(4, 5, (i, j) => (i === 2 && j === 4 ? wrong : i + j));
      await expect(collapse(x, [0, 2, 4])).rejects.toThrow('the rows hold numbers that are not finite');
    }
  });

  const files = golden('metrics', 'unequal-classes');
  it.skipIf(files.absent)(`agrees with the golden file${files.why}`, async () => {
    const x = rounded(files.matrix('X'));
    const [within, between, nc2] = await traces(x, startsOf(files.matrix('labels').data));
    const expected = files.case();
    expectBelow('golden NC1', Math.abs(within / between / expected.nc1 - 1), 1e-6);
    expectBelow('golden NC2', Math.abs(nc2 / expected.nc2 - 1), 1e-6);
  });
});

describe('gramPicture', () => {
  const size = fc.constantFrom(...EDGE_SIZES.filter((n) => n > 2));

  it('cosines of centred rows: symmetric, in [−1, 1], 1 on the diagonal', () =>
    fc.assert(
      fc.asyncProperty(size, size, seed, async (n, d, s) => {
        const x = normalMatrix(n, d, s);
        for (let e = 0; e < x.data.length; e++) x.data[e] = Math.fround(x.data[e] + 3);
        const rows = putRows(gpu(), x, 32);
        const ids = Array.from({ length: n }, (_, i) => i);
        const [found] = await compute(gpu(), [], [[n, n]], (batch, _, [out]) => gramPicture(batch, rows, ids, out));
        releasePanels(gpu(), rows);
        const mean = Array.from({ length: d }, (_, j) => {
          let sum = 0;
          for (let i = 0; i < n; i++) sum += at(x, i, j) / n;
          return sum;
        });
        const centered = dense(n, d, (i, j) => at(x, i, j) - mean[j]);
        const expected = dense(n, n, (i, j) => {
          const dot = rowOf(centered, i).reduce((sum, v, t) => sum + v * at(centered, j, t), 0);
          return dot / (norm(rowOf(centered, i)) * norm(rowOf(centered, j)));
        });
        // A row near the mean has few digits left after centring.
        const digits = (i: number) => 1 + 3 / norm(rowOf(centered, i));
        expectEach('gramPicture', found, expected, 5e-7, (i, j) => digits(i) + digits(j));
        expect(found.data.every((v, e) => v === at(found, e % n, Math.floor(e / n)))).toBe(true);
        expect(found.data.every((v) => Math.abs(v) <= 1 + 3e-7)).toBe(true);
        expect(found.data.every((v, e) => e % (n + 1) !== 0 || Math.abs(v - 1) <= 3e-7)).toBe(true);
      }),
      RUNS,
    ));
});
