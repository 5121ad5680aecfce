import { describe, expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { transpose } from '../../src/ops/elementwise/transpose.js';
import { describeAdapter, summarizeAdapter } from '../../src/runtime/adapter.js';
import { runBatch } from '../../src/runtime/batch.js';
import { allocate, download, upload } from '../../src/runtime/matrix.js';
import { openTestGpu } from '../support/gpu.js';

const failureOf = async (act: () => unknown): Promise<RfmError> => {
  try {
    await act();
  } catch (error) {
    expect(error).toBeInstanceOf(RfmError);
    return error as RfmError;
  }
  throw new Error('expected an error, but nothing was thrown');
};

describe('openGpu', () => {
  it('opens, closes, and closes again', async () => {
    for (let repetition = 0; repetition < 3; repetition++) {
      const gpu = await openTestGpu();
      const matrix = upload(gpu, 1, 4, [1, 2, 3, 4]);
      expect([...(await download(gpu, matrix))]).toEqual([1, 2, 3, 4]);
      await gpu.close();
      await gpu.close();
    }
  });

  it('knows the lanes of a subgroup only where there is one number', async () => {
    const gpu = await openTestGpu();
    const { subgroupMinSize, subgroupMaxSize } = gpu.device.adapterInfo as unknown as Record<string, number>;
    expect(gpu.lanes).toBe(gpu.features.has('subgroups') && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0);
    expect(gpu.limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(128 * 2 ** 20);
    await gpu.close();
  });
});

describe('guard', () => {
  it('returns the result, and reports validation errors, thrown errors and what was not guarded', async () => {
    const gpu = await openTestGpu();
    expect(await gpu.guard('nothing', () => 42)).toBe(42);
    const thrown = new RangeError('mine');
    await expect(
      gpu.guard('throwing', () => {
        throw thrown;
      }),
    ).rejects.toBe(thrown);
    const invalid = () => gpu.device.createBuffer({ size: 4, usage: 0xffff });
    const failure = await failureOf(() => gpu.guard('making a buffer', invalid));
    expect(failure.kind).toBe('internal');
    expect(failure.message).toMatch(/^making a buffer: /);
    expect(await gpu.guard('after it', () => 1)).toBe(1);
    // Nobody waits for this one; the next guarded call tells.
    invalid();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await failureOf(() => gpu.guard('later', () => 1))).message).toMatch(/^an unguarded call: /);
    await gpu.close();
  });

  it('reports memory that the device does not have', async () => {
    const gpu = await openTestGpu();
    const failure = await failureOf(() => gpu.guard('too much', () => allocate(gpu, 2 ** 20, 2 ** 20)));
    expect(failure.kind).toBe('doesNotFit');
    await gpu.close();
  });

  it('a lost device is reported as such by every call after it', async () => {
    const gpu = await openTestGpu();
    const [a, out] = [upload(gpu, 2, 2, [1, 2, 3, 4]), allocate(gpu, 2, 2)];
    await runBatch(gpu, (batch) => transpose(batch, a, out));
    gpu.device.destroy();
    expect((await failureOf(() => download(gpu, out))).kind).toBe('deviceLost');
    expect((await failureOf(() => runBatch(gpu, (batch) => transpose(batch, a, out)))).kind).toBe('deviceLost');
    const failure = await failureOf(() => gpu.guard('anything', () => 1));
    expect(failure.kind).toBe('deviceLost');
    expect(failure.exitCode).toBe(5);
    await gpu.close();
  });

  it('a device lost in the middle of a call is reported by that call', async () => {
    const gpu = await openTestGpu();
    const failure = await failureOf(() =>
      gpu.guard('waiting', async () => {
        gpu.device.destroy();
        await gpu.device.queue.onSubmittedWorkDone();
      }),
    );
    expect(failure.kind).toBe('deviceLost');
    await gpu.close();
  });
});

describe('adapters', () => {
  const info = (fields: Partial<GPUAdapterInfo>) =>
    ({
      vendor: '',
      architecture: '',
      device: '',
      description: '',
      isFallbackAdapter: false,
      ...fields,
    }) as GPUAdapterInfo;

  it('those that run on the CPU are named as such', () => {
    for (const fields of [
      { description: 'llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)' },
      { vendor: 'google', architecture: 'swiftshader' },
      { description: 'Microsoft Basic Render Driver' },
      { device: 'something', isFallbackAdapter: true },
    ]) {
      const adapter = summarizeAdapter(info(fields));
      expect(adapter.type).toBe('software');
      expect(describeAdapter(adapter)).toMatch(/\(software, runs on the CPU\)$/);
    }
    const hardware = summarizeAdapter(info({ vendor: 'nvidia', device: 'NVIDIA H200', description: '570.0' }));
    expect(hardware.type).toBe('hardware');
    expect(describeAdapter(hardware)).toBe('NVIDIA H200, 570.0');
    expect(describeAdapter(summarizeAdapter(info({ vendor: 'intel' })))).toBe('intel');
    expect(describeAdapter(summarizeAdapter(info({})))).toBe('unnamed');
  });
});
