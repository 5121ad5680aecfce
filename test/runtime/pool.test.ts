import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { pooledSize } from '../../src/runtime/pool.js';
import { RUNS, useGpu } from '../support/gpu.js';

const gpu = useGpu();

it('rounds sizes up, by at most an eighth beyond 2 KiB', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (bytes) => {
      const size = pooledSize(bytes);
      expect(size).toBeGreaterThanOrEqual(bytes);
      expect(size % 256).toBe(0);
      expect(size - bytes).toBeLessThan(Math.max(256, bytes / 8 + 1));
      expect(pooledSize(size)).toBe(size);
    }),
    { ...RUNS, numRuns: 500 },
  );
});

it('hands a released buffer out again, and counts bytes in use, waiting and at most', () => {
  const { pool } = gpu();
  const before = { ...pool.bytes };
  const size = pooledSize(100_000);
  const first = pool.take(100_000);
  expect(first.size).toBe(size);
  expect(pool.bytes).toMatchObject({ live: before.live + size, pooled: before.pooled });
  pool.give(first);
  expect(pool.bytes).toMatchObject({ live: before.live, pooled: before.pooled + size });
  // Another size of the same class.
  const again = pool.take(99_000);
  expect(again).toBe(first);
  const second = pool.take(99_000);
  expect(second).not.toBe(first);
  expect(pool.bytes).toMatchObject({ live: before.live + 2 * size, pooled: before.pooled });
  pool.give(first);
  pool.give(second);
  const peak = Math.max(before.peak, before.live + before.pooled + 2 * size);
  expect(pool.bytes).toEqual({ live: before.live, pooled: before.pooled + 2 * size, peak });
  pool.trim();
  expect(pool.bytes).toEqual({ live: before.live, pooled: 0, peak });
  // What was destroyed is not handed out.
  const fresh = pool.take(100_000);
  expect([first, second]).not.toContain(fresh);
  pool.give(fresh);
});

it('refuses what the adapter cannot bind', () => {
  const { pool, limits } = gpu();
  const limit = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  const before = { ...pool.bytes };
  let failure: unknown;
  try {
    pool.take(limit + 1);
  } catch (error) {
    failure = error;
  }
  expect(failure).toBeInstanceOf(RfmError);
  expect((failure as RfmError).kind).toBe('doesNotFit');
  expect((failure as RfmError).message).toContain(`${limit} bytes`);
  expect(pool.bytes).toEqual(before);
});
