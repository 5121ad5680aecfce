import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collapseTraces, gramPicture } from '../../src/ops/collapse.js';
import { asPanel, releasePanels } from '../../src/ops/tiles.js';
import { golden, startsOf } from '../support/golden.js';
import { compute, EDGE_SIZES, expectBelow, expectEach, putRows, RUNS, reportErrors, useGpu } from '../support/gpu.js';
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
async function traces(x: Dense, starts: readonly number[], most = x.rows): Promise<Float64Array> {
  const rows = putRows(gpu(), x, most);
  const [found] = await compute(gpu(), [], [[1, 3, 'any']], (batch, _, [out]) =>
    collapseTraces(batch, rows, starts, out),
  );
  releasePanels(gpu(), rows);
  return found.data;
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
    await compute(gpu(), [x], [[1, 3]], (batch, [rows], [out]) =>
      collapseTraces(batch, asPanel(rows, 4), [0, 2, 4], out),
    );
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
