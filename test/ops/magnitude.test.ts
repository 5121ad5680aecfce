import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exponentOf, largestMagnitudes, scaleByPowerOfTwo } from '../../src/ops/statistics/magnitude.js';
import { release } from '../../src/runtime/matrix.js';
import { compute, EDGE_SIZES, put, RUNS, useGpu } from '../support/gpu.js';
import { at, combined, dense, normalMatrix } from '../support/reference.js';

const gpu = useGpu();

describe('largest magnitudes', () => {
  const size = fc.constantFrom(...EDGE_SIZES);

  it('are exact, of matrices of any shape', () =>
    fc.assert(
      fc.asyncProperty(size, size, fc.constantFrom(-100, 0, 100), fc.nat(1e6), async (rows, cols, exponent, seed) => {
        const a = combined(2 ** exponent, normalMatrix(rows, cols, seed));
        const [first, second] = [put(gpu(), a), put(gpu(), normalMatrix(3, 300, seed))];
        const [found, other] = await largestMagnitudes(gpu(), [first, second]);
        release(gpu(), first, second);
        expect(found).toBe(a.data.reduce((largest, v) => Math.max(largest, Math.abs(v)), 0));
        expect(other).toBeGreaterThan(1);
      }),
      RUNS,
    ));

  it('are not finite where one number of 40,000 is not, and 0 of zeros', async () => {
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const a = put(
        gpu(),
        dense(200, 200, (i, j) => (i === 199 && j === 198 ? wrong : i - j)),
      );
      const [found] = await largestMagnitudes(gpu(), [a]);
      release(gpu(), a);
      expect(Number.isFinite(found)).toBe(false);
    }
    const zero = put(
      gpu(),
      dense(2, 3, () => -0),
    );
    expect([...(await largestMagnitudes(gpu(), [zero]))]).toEqual([0]);
    release(gpu(), zero);
  });

  it('have the exponent of the power of two below them', () => {
    for (const e of [-149, -126, -3, 0, 1, 127]) expect(exponentOf(2 ** e)).toBe(e);
    expect(exponentOf(2 - 2 ** -52)).toBe(0);
    expect(exponentOf(0)).toBe(0);
    expect(() => exponentOf(Number.NaN)).toThrow('expected numbers of some size');
  });

  it('scaling by a power of two is exact', async () => {
    const a = normalMatrix(5, 7, 1);
    for (const [from, by] of [
      [0, 100],
      [-100, 200],
      [100, -200],
    ]) {
      const [found] = await compute(gpu(), [combined(2 ** from, a)], [[5, 7]], (batch, [x], [out]) =>
        scaleByPowerOfTwo(batch, x, by, out),
      );
      expect(found.data.every((v, e) => v === at(a, Math.floor(e / 7), e % 7) * 2 ** (from + by))).toBe(true);
    }
  });
});
