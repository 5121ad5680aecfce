import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Grid } from '../../src/runtime/division.js';
import { DISPATCH_SECONDS, divide } from '../../src/runtime/division.js';
import type { Gpu } from '../../src/runtime/gpu.js';

const gpuOf = (flops: number, maxComputeWorkgroupsPerDimension = 65535): Gpu =>
  ({ rate: { flops }, limits: { maxComputeWorkgroupsPerDimension } }) as unknown as Gpu;

describe('divide', () => {
  it('covers every row once, within the limit or a row at a time, and tells the kernel where a part begins', () =>
    fc.assert(
      fc.property(
        fc.record({
          rows: fc.integer({ min: 1, max: 300 }),
          others: fc.constantFrom<readonly number[]>([], [7], [7, 3]),
          flops: fc.double({ min: 1, max: 1e12, noNaN: true }),
          rate: fc.double({ min: 1, max: 1e14, noNaN: true }),
          step: fc.constantFrom(undefined, 1, 32, 256),
          start: fc.nat(255),
        }),
        ({ rows, others, flops, rate, step, start }) => {
          const grid = [...others, rows] as unknown as Grid;
          const measured = 10 * rows;
          const work = { flops, first: 1, measured, ...(step !== undefined && { step }) };
          const parts = divide(gpuOf(rate), [5, start, 9], grid, work);
          let first = 0;
          for (const { params, grid: part, share } of parts) {
            const count = part[part.length - 1] as number;
            expect(part.slice(0, -1)).toEqual(others);
            expect([...params.subarray(0, 4)]).toEqual([5, start + first * (step ?? 1), 9, 0]);
            expect(count === 1 || (share?.seconds ?? 0) <= DISPATCH_SECONDS).toBe(true);
            expect(share).toEqual({ rows: count, seconds: (count * flops) / rate });
            first += count;
          }
          expect(first).toBe(rows);
          expect(parts.reduce((sum, part) => sum + part.measured, 0)).toBeCloseTo(measured, 6);
          // No more parts than are needed, but for a remainder.
          const whole = (rows * flops) / rate;
          if (whole <= DISPATCH_SECONDS) expect(parts).toHaveLength(1);
        },
      ),
    ));

  it('leaves a dispatch alone that does not say what it takes', () => {
    const [part, ...more] = divide(gpuOf(1e-9), [1, 2], [3, 4, 5]);
    expect(more).toEqual([]);
    expect(part).toMatchObject({ grid: [3, 4, 5], measured: 0, share: null });
    expect([...part.params.subarray(0, 3)]).toEqual([1, 2, 0]);
  });

  it('keeps every part to the limit of workgroups a dimension, and covers each workgroup of the grid once', () =>
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(undefined, 1, 40),
        (extents, limit, flops) => {
          const grid = extents as unknown as Grid;
          const work = flops === undefined ? undefined : { flops, first: 1, measured: 7 };
          const seen = new Set<string>();
          const parts = divide(gpuOf(160, limit), [5, 0], grid, work);
          for (const { grid: part, params, place } of parts) {
            expect(Math.max(...(part as readonly number[]))).toBeLessThanOrEqual(limit);
            const [x, y = 1, z = 1] = part;
            const [i, j, k] = place?.first ?? [0, 0, 0];
            for (let e = 0; e < x * y * z; e++) {
              const at = [i + (e % x), j + (Math.floor(e / x) % y), k + Math.floor(e / (x * y))];
              at[extents.length - 1] += params[1];
              seen.add(at.join(' '));
            }
          }
          expect(seen.size).toBe(extents.reduce((product, extent) => product * extent, 1));
          const measured = parts.reduce((sum, part) => sum + part.measured, 0);
          expect(measured).toBeCloseTo(work ? 7 : 0, 6);
        },
      ),
    ));
});
