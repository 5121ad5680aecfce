import { describe, expect, it } from 'vitest';
import { familyOf } from '../../src/ops/kernels/families.js';
import { cut, releasePanels, uploadRows } from '../../src/ops/tiles.js';
import { medianDistance } from '../../src/rfm/median-distance.js';
import { expectBelow, reportErrors, useGpu } from '../support/gpu.js';
import { type Dense, dense, normalMatrix, rounded, rowOf } from '../support/reference.js';

const gpu = useGpu();
reportErrors();

/** The middle one of the distances of all pairs of rows by the norm p; where it is 0, of those above 0. */
function medianOf(x: Dense, p: number): number {
  const rows = Array.from({ length: x.rows }, (_, i) => rowOf(x, i));
  const sums = rows.flatMap((row, i) =>
    rows.slice(0, i).map((other) => row.reduce((sum, value, j) => sum + Math.abs(value - other[j]) ** p, 0)),
  );
  const middle = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  return (middle(sums) || middle(sums.filter((sum) => sum > 0))) ** (1 / p);
}

async function found(x: Dense, kernel: 'laplace' | 'product-laplace', side: number): Promise<number> {
  const rows = uploadRows(gpu(), cut(x.rows, side), x.cols, Float32Array.from(x.data));
  try {
    return await medianDistance(gpu(), rows, familyOf({ kernel }));
  } finally {
    releasePanels(gpu(), rows);
  }
}

describe('the median distance', () => {
  const few = (n: number, different: number): Dense => {
    const x = normalMatrix(different, 3, 2);
    return rounded(dense(n, 3, (i, j) => x.data[3 * Math.max(0, i - (n - different)) + j]));
  };
  const tables: [string, Dense][] = [
    ['random rows', rounded(normalMatrix(161, 5, 1))],
    ['two rows', rounded(normalMatrix(2, 4, 3))],
    ['rows most of which coincide', few(140, 29)],
  ];
  it.each(tables)('of %s is that of all pairs, whole and in tiles', async (name, x) => {
    for (const [kernel, p] of [
      ['laplace', 2],
      ['product-laplace', 1],
    ] as const) {
      const whole = await found(x, kernel, x.rows);
      expectBelow(`${name}, ${kernel}`, Math.abs(whole / medianOf(x, p) - 1), 1e-6);
      expect(await found(x, kernel, Math.ceil(x.rows / 3))).toBe(whole);
    }
  });

  it('is refused where all rows coincide', () =>
    expect(
      found(
        dense(9, 2, () => 0.5),
        'laplace',
        9,
      ),
    ).rejects.toThrow('all rows coincide'));
});
