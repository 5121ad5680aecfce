import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classOrder, permuteRows, restoreRows, transposeHost } from '../../src/rfm/rows.js';
import { inputMessage } from '../data/helpers.js';

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
