import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Count, selectPositive } from '../../src/ops/statistics/radix-select.js';
import { sendBatch } from '../../src/runtime/batch.js';
import { release } from '../../src/runtime/matrix.js';
import { EDGE_SIZES, put, RUNS, useGpu } from '../support/gpu.js';
import { type Dense, dense, rounded, uniforms } from '../support/reference.js';

const gpu = useGpu();

type Part = [entries: Dense, which: Parameters<Count>[2]];

const chosen = (parts: readonly Part[]): number[] =>
  parts
    .flatMap(([entries, which]) =>
      Array.from(entries.data).filter((_, e) => which === 'all' || e % entries.cols < Math.floor(e / entries.cols)),
    )
    .sort((a, b) => a - b);

/** The entry of the rank that `rankOf` gives. */
async function select(parts: readonly Part[], rankOf: (zeros: number, all: number) => number): Promise<number | null> {
  const matrices = parts.map(([entries]) => put(gpu(), entries));
  const pass = (count: Count): Promise<void> =>
    sendBatch(gpu(), (batch) => matrices.forEach((matrix, i) => void count(batch, matrix, parts[i][1])));
  const found = await selectPositive(gpu(), pass, rankOf);
  release(gpu(), ...matrices);
  return found;
}

describe('radix selection', () => {
  const size = fc.constantFrom(...EDGE_SIZES);
  const spread = fc.constantFrom(0, 1, 40);

  it('finds the entry of any rank, of matrices of any shape, whole or below the diagonal', () =>
    fc.assert(
      fc.asyncProperty(size, size, spread, fc.nat(1e6), async (rows, cols, decades, seed) => {
        const next = uniforms(seed);
        const entry = (): number => (next() < 0.2 ? 0 : 10 ** (decades * (next() - 0.6)) * (1 + next()));
        const parts: Part[] = [
          [rounded(dense(rows, cols, entry)), 'all'],
          [rounded(dense(cols, cols, entry)), 'below the diagonal'],
        ];
        const all = chosen(parts);
        const zeros = all.filter((value) => value === 0).length;
        const share = next();
        const rank = Math.floor(share * (all.length - zeros));
        const found = await select(parts, (foundZeros, foundAll) => {
          expect([foundZeros, foundAll]).toEqual([zeros, all.length]);
          return rank;
        });
        expect(found).toBe(zeros === all.length ? null : all[zeros + rank]);
      }),
      RUNS,
    ));

  it('tells numbers apart that differ in their last bit, and knows the smallest and an infinite one', async () => {
    const values = Float32Array.from([1, 1 + 2 ** -23, 1 + 2 ** -22, 2 ** -126, 3e38, Number.POSITIVE_INFINITY]);
    const parts: Part[] = [[dense(2, 3, (i, j) => values[3 * i + j]), 'all']];
    const sorted = values.toSorted();
    for (const [rank, value] of sorted.entries()) expect(await select(parts, () => rank)).toBe(value);
  });

  it('finds none among zeros, and none among no entries', async () => {
    expect(await select([[dense(5, 7, () => 0), 'all']], () => 0)).toBeNull();
    expect(await select([[dense(1, 1, () => 3), 'below the diagonal']], () => 0)).toBeNull();
  });
});
