import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { tileRows } from '../../src/ops/tiles.js';
import { type DeviceLimits, type ProblemSize, planRun } from '../../src/rfm/plan.js';

const size: ProblemSize = {
  n: 10_000,
  testN: 1000,
  d: 3072,
  outputs: 10,
  width: 512,
  agop: 'auto',
  agopSamples: null,
  solver: 'auto',
};
const device: DeviceLimits = {
  bindingBytes: 2 ** 31 - 4,
  bufferBytes: 2 ** 32 - 4,
  tileBytes: 2 ** 26,
  memoryBytes: null,
  textureSide: null,
};
const GB = 1e9;

describe('tileRows', () => {
  it('keeps square tiles and panels of rows within both limits', () =>
    fc.assert(
      fc.property(
        fc.integer({ min: 2 ** 12, max: 2 ** 30 }),
        fc.integer({ min: 2 ** 14, max: 2 ** 32 }),
        fc.integer({ min: 1, max: 20_000 }),
        (tile, binding, cols) => {
          const rows = tileRows(tile, binding, cols);
          expect(rows % 32).toBe(0);
          expect(rows * rows * 4).toBeLessThanOrEqual(Math.min(tile, binding));
          expect(rows * Math.ceil(cols / 4) * 16).toBeLessThanOrEqual(binding);
        },
      ),
    ));
});

describe('planRun', () => {
  it('takes the fastest solver where memory is not known, and less demanding ones as it shrinks', () => {
    const methods = [null, 72, 8, 6.2, 3, 1.6].map((memory) => {
      const memoryBytes = memory === null ? null : memory * GB;
      const { solve, keepDistances, peakBytes } = planRun(
        { ...size, n: 50_000, agop: 'jacobian' },
        { ...device, memoryBytes },
      );
      if (memoryBytes !== null) expect(peakBytes).toBeLessThanOrEqual(memoryBytes);
      return `${solve.method}${keepDistances ? ', kept' : ''}`;
    });
    expect(methods.slice(0, 3)).toEqual(['cholesky, kept', 'cholesky, kept', 'cholesky']);
    expect(methods.slice(4)).toEqual(['cholesky-host', 'cholesky-host']);
  });

  it('never plans more than the limit, and what fits a small one fits a larger one', () =>
    fc.assert(
      fc.property(
        fc.record({
          n: fc.integer({ min: 2, max: 60_000 }),
          d: fc.integer({ min: 1, max: 4000 }),
          width: fc.constantFrom(0, 64, 512),
          outputs: fc.constantFrom(1, 2, 10, 100),
          memory: fc.integer({ min: 2 ** 22, max: 2 ** 36 }),
        }),
        ({ n, d, width, outputs, memory }) => {
          const problem = { ...size, n, d, width, outputs };
          const attempt = (memoryBytes: number) => {
            try {
              return planRun(problem, { ...device, memoryBytes }).peakBytes;
            } catch (error) {
              expect(error).toMatchObject({ kind: 'doesNotFit' });
              return null;
            }
          };
          const peak = attempt(memory);
          if (peak === null) return;
          expect(peak).toBeLessThanOrEqual(memory);
          expect(attempt(2 * memory)).not.toBeNull();
        },
      ),
    ));

  it('refuses what does not fit with the numbers and what would', () => {
    const refusal = (change: Partial<ProblemSize>, limits: Partial<DeviceLimits>): string => {
      try {
        planRun({ ...size, ...change }, { ...device, ...limits });
      } catch (error) {
        expect(error).toBeInstanceOf(RfmError);
        expect((error as RfmError).exitCode).toBe(4);
        return (error as RfmError).message;
      }
      throw new Error('it was planned');
    };
    const message = refusal({ n: 500_000 }, { memoryBytes: 2 * GB });
    expect(message).toMatch(
      /^n = 500000 .* needs at least \d+ bytes .* limit is 2000000000; number of rows \d+ would fit/,
    );
    const n = Number(/number of rows (\d+)/.exec(message)?.[1]);
    expect(planRun({ ...size, n }, { ...device, memoryBytes: 2 * GB }).peakBytes).toBeLessThanOrEqual(2 * GB);
    expect(refusal({ n: 500_000, diagonal: false }, { memoryBytes: 2e9 })).toMatch(
      /limit is 2000000000; \d+ rows would fit: give fewer, or use a larger memory limit$/,
    );
    expect(refusal({}, { memoryBytes: 1e8 })).toMatch(/no number of rows would fit: use a larger memory limit/);
    expect(refusal({ d: 10_000 }, { bindingBytes: 2 ** 27 })).toMatch(/10000 features make an AGOP of 400000000 bytes/);
  });

  it('uses only the solver that is asked for', () => {
    for (const solver of ['cholesky', 'cholesky-host', 'conjugate-gradients'] as const) {
      expect(planRun({ ...size, solver }, device).solve.method).toBe(solver);
    }
  });
});
