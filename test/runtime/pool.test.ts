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

it('destroys what waits before it grows beyond the soft limit, and refuses to grow beyond the hard one', () => {
  const { pool } = gpu();
  pool.trim();
  const start = pool.bytes.live;
  const unit = pooledSize(2 ** 20);
  pool.limit({ soft: start + 3 * unit, hard: start + 4 * unit });
  try {
    const [a, b] = [pool.take(unit), pool.take(unit)];
    pool.give(b);
    // Twice as large: the one that waits does not serve, and would make it too much.
    const c = pool.take(2 * unit);
    expect(pool.bytes).toMatchObject({ live: start + 3 * unit, pooled: 0 });
    const d = pool.take(unit);
    expect(() => pool.take(unit)).toThrow(
      /bytes of device memory are in use and 1048576 more are needed, the limit is/,
    );
    expect(pool.bytes.live).toBe(start + 4 * unit);
    for (const buffer of [a, c, d]) pool.give(buffer);
  } finally {
    pool.limit({ soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY });
    pool.trim();
  }
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
