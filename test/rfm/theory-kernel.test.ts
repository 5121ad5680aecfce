import { describe, expect, it } from 'vitest';
import { classesOfTargets, classTargets, kernelOptimum } from '../../src/rfm/theory-kernel.js';

const equal = (classes: number, n: number): number[] => new Array<number>(classes).fill(n);

/** J* and b of ±1 targets, for classes of one size, as the minimum of a parabola of 1/J is known in closed form. */
function closedForm(k: number, n: number, mu: number): { value: number; b: number } {
  const b = k > 4 ? ((1 + mu / n) * (k - 4)) / (3 * k - 4) : 0;
  const value = (4 * n * (k - 1)) / (n * (1 - b) + mu) + (n * (k - 2) ** 2) / (n * (1 + (k - 1) * b) + mu);
  return { value, b };
}

describe('the best kernel', () => {
  it('of one-hot targets is 1 within classes and 0 between them, whatever their sizes', () => {
    for (const sizes of [equal(3, 10), [1, 5, 200], [7, 7, 8, 30, 2]]) {
      for (const mu of [0, 1e-3, 0.5]) {
        const { overRidge, entries } = kernelOptimum(classTargets(sizes, 'one-hot'), mu);
        expect(overRidge).toBeCloseTo(
          sizes.reduce((sum, n) => sum + 1 / (1 + mu / n), 0),
          10,
        );
        expect(entries).toEqual(sizes.map((_, c) => sizes.map((__, e) => (c === e ? 1 : 0))));
      }
    }
  });

  it('of ±1 targets is the closed form for classes of one size', () => {
    for (const k of [2, 3, 4, 5, 10, 30]) {
      for (const [n, mu] of [
        [5, 1e-3],
        [100, 1e-3],
        [8, 0.7],
      ]) {
        const { overRidge, entries, gap } = kernelOptimum(classTargets(equal(k, n), 'pm1'), mu);
        const { value, b } = closedForm(k, n, mu);
        expect(Math.abs(overRidge / value - 1), `${k} classes of ${n}, μ = ${mu}`).toBeLessThan(1e-8);
        expect(gap).toBeLessThan(2e-7 * value);
        expect(entries[0][1]).toBeCloseTo(b, 4);
      }
    }
    expect(kernelOptimum(classTargets(equal(10, 100), 'pm1'), 0).entries[2][7]).toBeCloseTo(0.2308, 4);
  });

  it('of classes of different sizes is below every other kernel tried', () => {
    const classes = classTargets([3, 40, 11, 90, 8, 25], 'pm1');
    const { overRidge, entries, gap } = kernelOptimum(classes, 0.2);
    expect(gap).toBeLessThan(2e-7 * overRidge);
    // One entry moved either way, as far as it goes, by the same formula for a kernel of two values.
    const flat = [0, 0.05, 0.1, 0.2, 0.4].map((b) => objectiveOf(classes, 0.2, (c, e) => (c === e ? 1 : b)));
    expect(Math.min(...flat)).toBeGreaterThan(overRidge);
    for (const change of [-0.02, 0.02]) {
      const moved = objectiveOf(classes, 0.2, (c, e) =>
        c + e === 3 && c !== e && c * e === 2 ? Math.max(0, entries[c][e] + change) : entries[c][e],
      );
      expect(moved).toBeGreaterThanOrEqual(overRidge * (1 - 1e-9));
    }
  });
});

/** tr C (G + μ D⁻¹)⁻¹, by elimination. */
function objectiveOf(
  classes: ReturnType<typeof classTargets>,
  mu: number,
  entry: (c: number, e: number) => number,
): number {
  const k = classes.length;
  const m = classes.map((_, c) => [
    ...classes.map((__, e) => entry(c, e) + (c === e ? mu / classes[c].rows : 0)),
    ...classes.map((__, e) => classes[c].targets.reduce((sum, t, o) => sum + t * classes[e].targets[o], 0)),
  ]);
  for (let i = 0; i < k; i++) {
    for (let r = 0; r < k; r++) {
      if (r === i) continue;
      const factor = m[r][i] / m[i][i];
      for (let j = i; j < 2 * k; j++) m[r][j] -= factor * m[i][j];
    }
  }
  return m.reduce((sum, row, i) => sum + row[k + i] / row[i], 0);
}

it('classes are made of rows with equal targets, none of regression', () => {
  const y = Float32Array.from([1, -1, 1, -1, 1, 1, -1, 1, -1, 1, 1, 1]);
  expect(classesOfTargets(y, 6)).toEqual({
    classes: [
      { rows: 2, targets: [1, -1] },
      { rows: 2, targets: [-1, 1] },
      { rows: 2, targets: [1, 1] },
    ],
    labels: Int32Array.from([0, 1, 0, 1, 2, 2]),
  });
  const all = Float32Array.from({ length: 300 }, (_, i) => i);
  expect(classesOfTargets(all, 300)).toBeNull();
  expect(classesOfTargets(all.subarray(0, 6), 6)).toBeNull();
});
