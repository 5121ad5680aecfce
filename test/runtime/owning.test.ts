import { describe, expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { createBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { allocate, release } from '../../src/runtime/matrix.js';
import { owning, owningSync } from '../../src/runtime/owning.js';
import { createProfile } from '../../src/runtime/timing.js';
import { useGpu } from '../support/gpu.js';

const gpu = useGpu();

describe('owning', () => {
  it('gives back what was neither released nor kept', async () => {
    const { live } = gpu().pool.bytes;
    const { pair } = await owning(gpu(), async (gpu, keep) => {
      const [a, b, c] = [allocate(gpu, 4, 4), allocate(gpu, 4, 8), allocate(gpu, 8, 8)];
      release(gpu, a);
      createBatch(gpu).temporary(5, 5);
      createBatch(gpu).texture(4, 4);
      return keep({ pair: [b, { c }] as const, count: 3, nothing: null });
    });
    expect(gpu().pool.bytes.live).toBe(live + pair[0].buffer.size + pair[1].c.buffer.size);
    release(gpu(), pair[0], pair[1].c);
    expect(gpu().pool.bytes.live).toBe(live);
  });

  it('gives back everything where the work fails, and what an inner scope kept', async () => {
    const { live } = gpu().pool.bytes;
    const failing = async (gpu: Gpu): Promise<void> => {
      await owning(gpu, async (gpu, keep) => keep(allocate(gpu, 4, 4)));
      throw new RfmError('doesNotFit', 'no more');
    };
    await expect(owning(gpu(), (gpu, keep) => failing(gpu).then(() => keep(allocate(gpu, 4, 4))))).rejects.toThrow();
    expect(gpu().pool.bytes.live).toBe(live);
  });

  it('does the same for work that waits for nothing', () => {
    const { live } = gpu().pool.bytes;
    const kept = owningSync(gpu(), (gpu, keep) => {
      allocate(gpu, 4, 4);
      return keep(allocate(gpu, 4, 8));
    });
    expect(gpu().pool.bytes.live).toBe(live + kept.buffer.size);
    release(gpu(), kept);
    const failing = (gpu: Gpu, keep: <K>(result: K) => K): void => {
      keep(allocate(gpu, 4, 4));
      throw new RfmError('doesNotFit', 'no more');
    };
    expect(() => owningSync(gpu(), failing)).toThrow('no more');
    expect(gpu().pool.bytes.live).toBe(live);
  });

  it('leaves the rest of the device as it is', async () => {
    const opened = gpu();
    await owning(opened, async (gpu) => {
      opened.profile = createProfile(opened);
      expect(gpu.profile).toBe(opened.profile);
      expect(gpu.pool.bytes).toBe(opened.pool.bytes);
      opened.profile = null;
    });
  });
});
