import { describe, expect, it } from 'vitest';
import { compareResults } from '../../bench/compare.js';
import { matVec, matVecT, probedError, randomArray, rowsError, sampledRows } from '../../bench/host.js';
import { clockRemark } from '../../bench/measure.js';
import { type BenchResult, spreadOf } from '../../src/report/bench-document.js';

describe('checks on the host', () => {
  it('sample rows: all of few, the ends and no row twice of many, fewer where they are dear', () => {
    expect(sampledRows(5, 1)).toEqual([0, 1, 2, 3, 4]);
    const many = sampledRows(2048, 2048 ** 2);
    expect(many).toHaveLength(64);
    expect(new Set(many).size).toBe(64);
    expect([many[0], many[63]]).toEqual([0, 2047]);
    expect(sampledRows(2048, 2 ** 27)).toHaveLength(4);
  });

  it('rowsError is the relative error of the rows', () => {
    const found = [
      [3, 4],
      [0, 0],
    ];
    const exact = [
      [3, 4],
      [0, 5],
    ];
    const of = (a: number[][]) => (i: number, j: number) => a[i][j];
    expect(rowsError([0, 1], () => 2, of(found), of(exact))).toBeCloseTo(5 / Math.sqrt(50), 12);
    expect(rowsError([0], () => 2, of(found), of(exact))).toBe(0);
  });

  it('probedError estimates the error of a matrix, and does not miss one wrong entry', () => {
    const n = 60;
    const a = Float64Array.from(randomArray(n * n, 1));
    const b = a.slice();
    b[17 * n + 5] += 0.5;
    const exact = 0.5 / Math.hypot(...a);
    const error = probedError(
      n,
      (v) => matVec(b, n, n, v),
      (v) => matVec(a, n, n, v),
    );
    expect(error).toBeGreaterThan(exact / 4);
    expect(error).toBeLessThan(exact * 4);
    const v = Float64Array.from(randomArray(n, 2));
    const transposed = a.map((_, e) => a[(e % n) * n + Math.floor(e / n)]);
    const [x, y] = [matVecT(a, n, n, v), matVec(transposed, n, n, v)];
    for (let i = 0; i < n; i++) expect(x[i]).toBeCloseTo(y[i], 12);
  });
});

describe('comparison', () => {
  it('spreadOf gives median and ends', () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3, samples: 3 });
    expect(spreadOf([4, 1, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4, samples: 4 });
  });

  it('a change counts where the spreads do not touch', () => {
    const result = (shape: string, samples: number[]) =>
      ({ op: 'gemm', shape, variant: 'v', milliseconds: spreadOf(samples) }) as BenchResult;
    const before = ['a', 'b', 'c'].map((shape) => result(shape, [10, 11, 12]));
    const after = [result('a', [5, 6, 9.9]), result('b', [12, 20, 30]), result('c', [12.1, 13]), result('d', [1])];
    const changes = compareResults(before, after);
    expect(changes.map(({ shape, verdict }) => [shape, verdict])).toEqual([
      ['a', 'faster'],
      ['b', 'same'],
      ['c', 'slower'],
    ]);
    expect(changes[0]).toMatchObject({ before: 11, after: 6, factor: 11 / 6 });
    expect(compareResults([{ ...before[0], variant: 'w' }], after)).toEqual([]);
  });

  it('clocks that disagree are remarked on, short kernels and host work excepted', () => {
    const at = (clock: 'gpu' | 'wall', device: number, wall: number) =>
      clockRemark({
        clock,
        milliseconds: spreadOf([device]),
        wallMilliseconds: spreadOf([wall]),
        counted: { flops: null, bytes: null },
      });
    expect(at('gpu', 50, 100)).toContain('50.0 ms');
    expect(at('gpu', 90, 100)).toBeNull();
    expect(at('gpu', 1, 10)).toBeNull();
    expect(at('wall', 50, 100)).toBeNull();
  });
});
