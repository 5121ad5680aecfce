import { expect, it } from 'vitest';
import { arcCosine } from '../../src/ops/features/arc-cosine.js';
import { collapseOfDistances } from '../../src/ops/statistics/collapse-distances.js';
import { compute, put, reportErrors, useGpu } from '../support/gpu.js';
import { at, collapsedRows, type Dense, dense, norm, productNT, rowOf, squaredDistance } from '../support/reference.js';

const gpu = useGpu();
reportErrors();

/** Rows of three classes, near each other within them, and one of zeros; inner products as two floats. */
function problem(n: number, spread: number) {
  const z = collapsedRows(n, 9, 3, spread, 7);
  z.data.fill(0, (n - 1) * 9);
  const b = productNT(z, z);
  const high = dense(n, n, (i, j) => Math.fround(at(b, i, j)));
  return { z, high, low: dense(n, n, (i, j) => at(b, i, j) - at(high, i, j)) };
}

/** 1 − J(u) for rows at the angle θ, from a half-angle formula that holds for small ones. */
function dual(z: Dense, i: number, j: number): number {
  const [a, b] = [norm(rowOf(z, i)), norm(rowOf(z, j))];
  if (a === 0 || b === 0) return 1 - 1 / Math.PI;
  const square = rowOf(z, i).reduce((sum, value, k) => sum + (value / a - at(z, j, k) / b) ** 2, 0);
  const theta = 2 * Math.asin(Math.min(1, Math.sqrt(square) / 2));
  const lag =
    theta < 0.05 ? theta ** 3 / 3 - theta ** 5 / 30 + theta ** 7 / 840 : Math.sin(theta) - theta * Math.cos(theta);
  return square / 2 - lag / Math.PI;
}

it.each([2, 0.3, 1e-3])('arcCosine keeps the digits of small distances, rows %f apart in a class', async (spread) => {
  const n = 37;
  const { z, high, low } = problem(n, spread);
  const length = (i: number): number => norm(rowOf(z, i));
  const expected = {
    rows: (i: number, j: number) => squaredDistance(z, i, z, j),
    features: (i: number, j: number) => (length(i) - length(j)) ** 2 + 2 * length(i) * length(j) * dual(z, i, j),
    directions: (i: number, j: number) => dual(z, i, j),
  };
  for (const [stage, value] of Object.entries(expected)) {
    const [found] = await compute(gpu(), [high, low], [[n - 2, n]], (batch, [h, l], [out]) =>
      arcCosine(batch, { high: h, low: l }, out, stage as keyof typeof expected),
    );
    for (let i = 0; i < n - 2; i++) {
      for (let j = 0; j < n; j++) {
        const reference = i === j ? 0 : value(i, j);
        // Lengths in float32 differ from each other by a share of their difference.
        const allowed = 2e-5 * reference + (i === j ? 0 : 1e-12);
        expect(Math.abs(at(found, i, j) - reference), `${stage} ${i}, ${j}`).toBeLessThanOrEqual(allowed);
      }
    }
  }
});

it('collapseOfDistances gives NC1 and NC2 of the rows', async () => {
  const starts = [0, 8, 13, 30];
  const x = collapsedRows(30, 9, 3, 0.2, 3);
  const means = dense(3, 9, (c, k) => {
    let sum = 0;
    for (let i = starts[c]; i < starts[c + 1]; i++) sum += at(x, i, k);
    return sum / (starts[c + 1] - starts[c]);
  });
  const centre = dense(1, 9, (_, k) => (at(means, 0, k) + at(means, 1, k) + at(means, 2, k)) / 3);
  let within = 0;
  for (let c = 0; c < 3; c++) {
    for (let i = starts[c]; i < starts[c + 1]; i++) within += squaredDistance(x, i, means, c) / 30;
  }
  const relative = dense(3, 9, (c, k) => at(means, c, k) - at(centre, 0, k));
  const gram = productNT(relative, relative);
  let nc2 = 0;
  for (let c = 0; c < 3; c++) {
    for (let e = 0; e < 3; e++) {
      if (c !== e) nc2 += (at(gram, c, e) / Math.sqrt(at(gram, c, c) * at(gram, e, e)) + 1 / 2) ** 2 / 9;
    }
  }
  const between = (at(gram, 0, 0) + at(gram, 1, 1) + at(gram, 2, 2)) / 3;
  const squared = put(
    gpu(),
    dense(30, 30, (i, j) => squaredDistance(x, i, x, j)),
  );
  const found = await collapseOfDistances(gpu(), squared, starts);
  expect(found.nc1).toBeCloseTo(within / between, 6);
  expect(found.nc2).toBeCloseTo(nc2, 5);
});

it('collapseOfDistances is not defined where all rows coincide', async () => {
  const zero = put(
    gpu(),
    dense(6, 6, () => 0),
  );
  expect(await collapseOfDistances(gpu(), zero, [0, 3, 6])).toEqual({ nc1: Number.NaN, nc2: Number.NaN });
});
