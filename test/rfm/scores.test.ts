import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codesOf, decideBy, encodeLabels } from '../../src/model/codes.js';
import { classificationScores, confusionMatrix, isGain, regressionScores } from '../../src/rfm/scores.js';
import { lowDiscrepancy } from '../../src/rfm/search.js';
import { foldSplit, folds, holdOut } from '../../src/rfm/split.js';

describe('scores, against values worked by hand', () => {
  it('of regression', () => {
    // Errors 1, 0, −2, 1; the mean of the targets is 2.5, their squares about it 6.25 + 2.25 + 0.25 + 12.25 = 21.
    const { rmse, mae, r2 } = regressionScores([0, 1, 3, 6], [1, 1, 1, 7]);
    expect(rmse).toBeCloseTo(Math.sqrt(1.5), 12);
    expect(mae).toBe(1);
    expect(r2).toBeCloseTo(1 - 6 / 21, 12);
    expect(regressionScores([2, 2], [1, 3]).r2).toBeNaN();
    expect(isGain('r2')).toBe(true);
    expect(isGain('rmse')).toBe(false);
  });

  it('of two classes', () => {
    // Rows 0 0 1 1 with p of class 1: 0.1, 0.6, 0.6, 0.9.
    const p = [0.1, 0.6, 0.6, 0.9];
    const labels = Int32Array.of(0, 0, 1, 1);
    const predicted = Int32Array.of(0, 1, 1, 1);
    const found = classificationScores(labels, predicted, Float64Array.from(p.flatMap((own) => [1 - own, own])), 2);
    expect(found.accuracy).toBe(0.75);
    expect(found.logLoss).toBeCloseTo(-(Math.log(0.9) + Math.log(0.4) + Math.log(0.6) + Math.log(0.9)) / 4, 12);
    expect(found.brier).toBeCloseTo((0.01 + 0.36 + 0.16 + 0.01) / 4, 12);
    // Of the four pairs three are in order, and one is a tie.
    expect(found.auc).toBeCloseTo(3.5 / 4, 12);
    // Two true positives, one false one.
    expect(found.f1).toBeCloseTo(4 / 5, 12);
    const sure = classificationScores(Int32Array.of(0, 1), Int32Array.of(1, 1), Float64Array.of(0, 1, 0, 1), 2);
    expect(sure.logLoss).toBeCloseTo(-(Math.log(0.001) + Math.log(0.999)) / 2, 12);
    expect(
      classificationScores(Int32Array.of(0, 0), Int32Array.of(0, 0), Float64Array.of(1, 0, 1, 0), 2).auc,
    ).toBeNaN();
  });

  it('of three classes', () => {
    const labels = Int32Array.of(0, 1, 2, 2);
    const predicted = Int32Array.of(0, 2, 2, 1);
    const p = Float64Array.of(0.8, 0.1, 0.1, 0.3, 0.3, 0.4, 0.1, 0.2, 0.7, 0.2, 0.5, 0.3);
    const found = classificationScores(labels, predicted, p, 3);
    expect(found.accuracy).toBe(0.5);
    expect(found.brier).toBeCloseTo(
      (0.06 + (0.09 + 0.49 + 0.16) + (0.01 + 0.04 + 0.09) + (0.04 + 0.25 + 0.49)) / 4,
      12,
    );
    // Against the rest: class 0 in order of 3 of 3 pairs; class 1 before 2 of 3; class 2 with 0.7 and 0.3 against 0.1 and 0.4: 3 of 4.
    expect(found.auc).toBeCloseTo((1 + 2 / 3 + 3 / 4) / 3, 12);
    // 1, 0, and 2·1 / (2 + 2).
    expect(found.f1).toBeCloseTo((1 + 0 + 0.5) / 3, 12);
    expect(confusionMatrix(labels, predicted, 3)).toEqual([
      [1, 0, 0],
      [0, 0, 1],
      [0, 1, 1],
    ]);
  });
});

describe('codes of classes', () => {
  it('have one output for two classes, and mean 0 by prevalence', () => {
    expect(codesOf('sign', [0.5, 0.5]).targets).toEqual([[-1], [1]]);
    expect(codesOf('one-hot', [0.2, 0.8]).targets).toEqual([[0], [1]]);
    expect(codesOf('sign', [0.2, 0.3, 0.5]).targets).toEqual([
      [1, -1, -1],
      [-1, 1, -1],
      [-1, -1, 1],
    ]);
    const prior = [0.2, 0.3, 0.5];
    const { targets } = codesOf('prevalence', prior);
    targets[0].forEach(
      (_, o) => void expect(prior.reduce((sum, share, c) => sum + share * targets[c][o], 0)).toBeCloseTo(0, 12),
    );
    const apart = (a: number, b: number) => Math.hypot(...targets[a].map((value, o) => value - targets[b][o]));
    for (const [a, b] of [
      [0, 1],
      [0, 2],
      [1, 2],
    ])
      expect(apart(a, b)).toBeCloseTo(Math.SQRT2, 12);
  });

  it.each(['sign', 'one-hot', 'prevalence'] as const)(
    '%s: targets are decoded to their classes, and 0 of prevalence to the shares',
    (code) => {
      for (const prior of [
        [0.4, 0.6],
        [0.1, 0.2, 0.3, 0.4],
      ]) {
        const codes = codesOf(code, prior);
        const labels = Int32Array.from(prior, (_, c) => c);
        const { labels: found, probabilities } = decideBy(encodeLabels(labels, codes), codes);
        expect([...found]).toEqual([...labels]);
        labels.forEach((label) => void expect(probabilities[label * prior.length + label]).toBeCloseTo(1, 6));
        if (code !== 'prevalence') continue;
        const none = decideBy(new Float64Array(prior.length - 1), codes).probabilities;
        prior.forEach((share, c) => void expect(none[c]).toBeCloseTo(share, 6));
      }
    },
  );
});

describe('splits', () => {
  const rows = fc.integer({ min: 4, max: 90 });
  it('hold out a share of each class, the same for the same seed', () =>
    fc.assert(
      fc.property(rows, fc.double({ min: 0.05, max: 0.9, noNaN: true }), fc.nat(1e6), (n, share, seed) => {
        const labels = Int32Array.from({ length: n }, (_, i) => (i % 5 === 0 ? 1 : 0));
        const { train, held } = holdOut(n, share, labels, seed);
        expect([...train, ...held].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
        expect(held.length).toBe(Math.min(n - 1, Math.max(1, Math.round(share * n))));
        const ones = held.reduce((sum, i) => sum + labels[i], 0);
        const expected = (held.length * labels.reduce((sum, label) => sum + label, 0)) / n;
        expect(Math.abs(ones - expected)).toBeLessThan(1.001);
        expect(holdOut(n, share, labels, seed)).toEqual({ train, held });
      }),
    ));

  it('make folds of nearly equal size, with each class in each', () =>
    fc.assert(
      fc.property(rows, fc.integer({ min: 2, max: 4 }), fc.nat(1e6), (n, parts, seed) => {
        const labels = Int32Array.from({ length: n }, (_, i) => i % 2);
        const of = folds(n, parts, labels, seed);
        const sizes = Array.from({ length: parts }, (_, k) => foldSplit(of, k).held.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        for (let k = 0; k < parts; k++) {
          const { train, held } = foldSplit(of, k);
          expect(train.length + held.length).toBe(n);
          const ones = held.reduce((sum, i) => sum + labels[i], 0);
          expect(Math.abs(ones - held.length / 2)).toBeLessThanOrEqual(1);
        }
      }),
    ));

  it('differ between seeds', () => {
    expect(holdOut(50, 0.3, null, 1).held).not.toEqual(holdOut(50, 0.3, null, 2).held);
  });
});

describe('points of a search', () => {
  it('fill every half of every dimension, and every quarter of pairs of them', () => {
    const points = Array.from({ length: 64 }, (_, i) => lowDiscrepancy(i, 4, 7));
    for (let a = 0; a < 4; a++) {
      for (let b = 0; b < a; b++) {
        const quarters = [0, 0, 0, 0];
        for (const point of points) quarters[2 * Math.floor(2 * point[a]) + Math.floor(2 * point[b])]++;
        // 16 each on average; of independent draws some quarter has 8 or fewer in one of ten such tables.
        for (const quarter of quarters) expect(Math.abs(quarter - 16)).toBeLessThan(7);
      }
    }
    expect(lowDiscrepancy(3, 4, 7)).toEqual(points[3]);
    expect(lowDiscrepancy(3, 4, 8)).not.toEqual(points[3]);
  });
});
