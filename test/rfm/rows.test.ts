import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  classOrder,
  permuteRows,
  powerOfTwo,
  restoreRows,
  standardize,
  transposeHost,
} from '../../src/ops/host-rows.js';
import { type KernelName, kernelOf } from '../../src/ops/kernels/kernels.js';
import { centred, refuseLostDifferences, scaledTargets, unitRows } from '../../src/rfm/rows.js';
import { inputMessage } from '../data/helpers.js';
import { norm, normalMatrix } from '../support/reference.js';

const labelled = fc.array(fc.nat(5), { minLength: 2, maxLength: 40 }).filter((labels) => new Set(labels).size > 1);

describe('rows in class order', () => {
  it('is a stable sort with the first row of each class that has rows', () => {
    fc.assert(
      fc.property(labelled, (labels) => {
        const { order, starts, counts } = classOrder(Int32Array.from(labels));
        expect([...order]).toEqual(labels.map((_, row) => row).sort((a, b) => labels[a] - labels[b] || a - b));
        expect(counts).toEqual(counts.map((_, c) => labels.filter((label) => label === c).length));
        const sorted = [...labels].sort((a, b) => a - b);
        const first = sorted.map((_, i) => i).filter((i) => i === 0 || sorted[i] !== sorted[i - 1]);
        expect(starts).toEqual([...first, labels.length]);
      }),
    );
  });

  it('can be undone', () => {
    fc.assert(
      fc.property(labelled, fc.integer({ min: 1, max: 5 }), (labels, cols) => {
        const { order } = classOrder(Int32Array.from(labels));
        const data = Float32Array.from({ length: labels.length * cols }, (_, i) => i);
        expect(restoreRows(permuteRows(data, cols, order), cols, order)).toEqual(data);
        expect(transposeHost(transposeHost(data, labels.length, cols), cols, labels.length)).toEqual(data);
      }),
    );
  });

  it('refuses a single class', () => {
    expect(inputMessage(() => classOrder(Int32Array.of(2, 2, 2)))).toMatch(/one class/);
  });
});

/** A matrix whose columns were moved and scaled. */
const moved = (x: Float64Array, offset: number, scale: (column: number) => number, cols = 5): Float64Array =>
  x.map((value, e) => (value + offset) * scale(e % cols));

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  norm(Array.from(a, (value, e) => value - b[e])) / norm(Array.from(b));

describe('standardised rows', () => {
  const rows = 40;
  const { data } = normalMatrix(rows, 5, 1);
  const of = (x: Float64Array | Float32Array) => ({ x, rows, cols: 5 });
  const plain = standardize(of(data), of(data.map((value) => 2 * value)));

  it('have mean 0 and n − 1 deviation 1, test rows by the training rows', () => {
    for (let j = 0; j < 5; j++) {
      const column = Array.from({ length: rows }, (_, i) => data[5 * i + j]);
      const mean = column.reduce((sum, value) => sum + value, 0) / rows;
      const deviation = Math.sqrt(column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (rows - 1));
      column.forEach((value, i) => {
        expect(plain.train[5 * i + j]).toBeCloseTo((value - mean) / deviation, 6);
        expect(plain.test?.[5 * i + j]).toBeCloseTo((2 * value - mean) / deviation, 6);
      });
    }
  });

  it.each([
    ['columns far from zero', 1e7, () => 1, 1e-8],
    ['seconds since 1970', 1.7e9, () => 1, 1e-6],
    ['a column in units of 1e-200 and one of 1e200', 0, (j: number) => [1e-200, 1e200, 1, 1, -1][j], 1e-7],
    ['units of 1e-22', 0, () => 1e-22, 1e-7],
  ])('%s: the same rows', (_, offset, scale, bound) => {
    const sign = (j: number) => Math.sign(scale(j));
    const found = standardize(of(moved(data, offset, scale)), null).train;
    expect(
      distance(
        found.map((value, e) => value * sign(e % 5)),
        plain.train,
      ),
    ).toBeLessThan(bound);
  });

  it('make a constant column 0, whatever it is, and whatever test rows have there', () => {
    for (const value of [0, 0.1, -1 / 3, 1e8 / 7, 1e-300]) {
      const constant = data.map((entry, e) => (e % 5 === 2 ? value : entry));
      const { train, test } = standardize(of(constant), of(data));
      expect([...train, ...(test ?? [])].filter((_, e) => e % 5 === 2).every((entry) => entry === 0)).toBe(true);
    }
  });

  it('are refused where float32 cannot hold them', () => {
    const tiny = moved(data, 0, (j) => (j === 3 ? 1e-30 : 1));
    const other = data.map((value, e) => (e === 18 ? 1e10 : value));
    expect(inputMessage(() => standardize(of(tiny), of(other)))).toMatch(
      /^test row 3, column 3 .*standard deviations.*same units$/,
    );
    const wide = data.map((value, e) => (e % 5 === 1 ? 1.7e308 * Math.sign(value) : value));
    expect(inputMessage(() => standardize(of(wide), null))).toMatch(/^column 1 .*range of float64/);
  });
});

describe('units', () => {
  it('powerOfTwo is the largest power that is not larger', () => {
    fc.assert(
      fc.property(fc.double({ min: 2 ** -1000, max: 1e300, noNaN: true }), (x) => {
        const power = powerOfTwo(x);
        expect(Number.isInteger(Math.log2(power)) && power <= x && 2 * power > x).toBe(true);
      }),
    );
    expect([0, 1, 2 ** 40, 2 ** 40 - 1].map(powerOfTwo)).toEqual([1, 1, 2 ** 40, 2 ** 39]);
  });

  it('rows of length 1 in any unit', () => {
    const { data } = normalMatrix(6, 4, 2);
    const scale = [1e-300, 1e-22, 1e-18, 1, 1e22, 1e300];
    const { mean, apart } = unitRows({ x: data.map((value, e) => value * scale[e >> 2]), rows: 6, cols: 4 });
    for (let i = 0; i < 6; i++) {
      const row = Array.from(data.subarray(4 * i, 4 * i + 4));
      const found = Array.from(mean, (value, j) => value + apart[4 * i + j]);
      expect(
        distance(
          found,
          row.map((value) => value / norm(row)),
        ),
      ).toBeLessThan(1e-7);
    }
  });

  it('rows of length 1 keep their differences, until float32 features would not show them', () => {
    const { data } = normalMatrix(50, 4, 4);
    const of = (offset: number) => ({ x: data.map((value) => value + offset), rows: 50, cols: 4 });
    const { apart } = unitRows(of(1e4));
    // To first order: the part of x − mean across the common direction, over the common length.
    const mean = [0, 1, 2, 3].map((j) => data.filter((_, e) => e % 4 === j).reduce((sum, v) => sum + v / 50, 0));
    const expected = data.map((v, e) => {
      const row = data.subarray(e - (e % 4), e - (e % 4) + 4).map((entry, j) => entry - mean[j]);
      return (v - mean[e % 4] - row.reduce((sum, entry) => sum + entry / 4, 0)) / 2e4;
    });
    expect(distance(apart, expected)).toBeLessThan(1e-3);
    expect(inputMessage(() => unitRows(of(1e7)))).toMatch(/^all 50 rows.*equal to 0.00001.*subtract the mean/);
    expect(inputMessage(() => unitRows({ x: Float32Array.of(1, 0, 0, 0), rows: 2, cols: 2 }))).toMatch(
      /^row 1 .*all zeros/,
    );
  });

  it('rows whose difference float32 would lose are refused, equal ones are not', () => {
    const x = Float64Array.of(1, 2, 1, 2, 1, 2 + 1e-9, 0, 0);
    const refusal = (values: Float64Array, kernel: KernelName) =>
      refuseLostDifferences(
        { x: values, rows: 4, cols: 2 },
        Float32Array.from(values),
        kernelOf({ kernel, bandwidth: 2 }),
      );
    expect(inputMessage(() => refusal(x, 'laplace'))).toMatch(/^rows 0 and 2 /);
    expect(inputMessage(() => refusal(Float64Array.of(1, 1e-20, 1, 2e-20, 1, 1, 0, 0), 'laplace'))).toMatch(
      /^rows 0 and 1 /,
    );
    refusal(x, 'gaussian');
    // Of one direction, where rows are divided by their lengths.
    const directions = (values: Float64Array) =>
      refuseLostDifferences(
        { x: values, rows: 2, cols: 3 },
        unitRows({ x: values, rows: 2, cols: 3 }).apart,
        kernelOf({ kernel: 'laplace', bandwidth: 2 }),
        (row) => values.subarray(3 * row, 3 * row + 3),
      );
    const far = { x: Float64Array.of(1, 1, 0, 3, 3, 0, -1, 0, 2), rows: 3, cols: 3 };
    refuseLostDifferences(far, unitRows(far).apart, kernelOf({ kernel: 'laplace', bandwidth: 2 }), (row) =>
      far.x.subarray(3 * row, 3 * row + 3),
    );
    expect(
      inputMessage(() =>
        refuseLostDifferences(far, unitRows(far).apart, kernelOf({ kernel: 'laplace', bandwidth: 2 })),
      ),
    ).toMatch(/^rows 0 and 1 /);
    expect(inputMessage(() => directions(Float64Array.of(1, 1, 0, 3, 3, 1e-12)))).toMatch(/^(rows 0 and 1|all 2 rows)/);
    refusal(Float64Array.of(1, 2, 1, 2, 1, 2, 0, 0), 'laplace');
  });

  it('targets are of the size of 1 + ridge', () => {
    for (const scale of [1e-200, 1e-20, 1, 1e30]) {
      const { y, unit } = scaledTargets(Float64Array.of(scale, -scale, 3 * scale), 100);
      expect(Math.max(...y)).toBeGreaterThanOrEqual(64);
      expect(
        distance(
          Array.from(y, (value) => (value * unit) / scale),
          [1, -1, 3],
        ),
      ).toBeLessThan(1e-7);
    }
  });

  it('centred rows have the differences of the rows, wherever the origin is', () => {
    const { data } = normalMatrix(30, 4, 3);
    const shifted = data.map((value) => (value + 1e6) * 1e-30);
    const { train, test, unit } = centred({ x: shifted, rows: 30, cols: 4 }, { x: shifted, rows: 30, cols: 4 });
    const mean = [0, 1, 2, 3].map((j) => data.filter((_, e) => e % 4 === j).reduce((sum, v) => sum + v / 30, 0));
    expect(
      distance(
        train.map((v) => v * unit * 1e30),
        data.map((v, e) => v - mean[e % 4]),
      ),
    ).toBeLessThan(1e-9 * 1e6);
    expect(test).toEqual(train);
    expect(
      inputMessage(() =>
        centred({ x: data, rows: 30, cols: 4 }, { x: Float64Array.of(0, 0, 1e30, 0), rows: 1, cols: 4 }),
      ),
    ).toMatch(/^test row 0, column 2 .*same units$/);
  });
});
