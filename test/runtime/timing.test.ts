import { afterEach, describe, expect, it } from 'vitest';
import { transpose } from '../../src/ops/elementwise/transpose.js';
import { gemm } from '../../src/ops/gemm/gemm.js';
import { createClock } from '../../src/rfm/context.js';
import { runBatch } from '../../src/runtime/batch.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { defineKernel, readWrite } from '../../src/runtime/kernel.js';
import { release } from '../../src/runtime/matrix.js';
import { NOWHERE, type Profile } from '../../src/runtime/profile.js';
import { createProfile, enter, scoped } from '../../src/runtime/timing.js';
import { expectClose, poisoned, put, read, useGpu } from '../support/gpu.js';
import { productNT, randomMatrix } from '../support/reference.js';

const opened = useGpu();
afterEach(() => {
  opened().profile = null;
});

/** A product and a transposition on a Gpu with a profile; the product is checked. */
async function profiled(gpu: Gpu, detail: Profile['detail'], n = 96): Promise<Profile> {
  const [a, b] = [randomMatrix(n, n, 1), randomMatrix(n, n, 2)];
  const [x, y, out, flipped] = [put(gpu, a), put(gpu, b), poisoned(gpu, n, n), poisoned(gpu, n, n)];
  const profile = createProfile(gpu, detail);
  gpu.profile = profile;
  enter(gpu, 3, 'agop');
  await scoped(gpu, { op: 'outer', rows: n }, () =>
    runBatch(gpu, (batch) => {
      batch.scope({ op: 'inner', flops: 7 }, () => gemm(batch, { a: x, b: y, out }));
      transpose(batch, out, flipped);
    }),
  );
  gpu.profile = null;
  expectClose('product under a profile', await read(gpu, out), productNT(a, b), 1e-6);
  release(gpu, x, y, out, flipped);
  return profile;
}

const chain = (scope: Profile['current']): string[] => (scope ? [...chain(scope.parent), scope.op] : []);

describe('compilation', () => {
  it('is counted by itself, once a shader, and is in no pass and no phase', async () => {
    const gpu = opened();
    // Takes a while to compile and none to run; the number keeps the driver from knowing it.
    const lines = Array.from({ length: 60 }, (_, i) => `v = fract(v * ${i + 2}.5 + f32(UNKNOWN)); v = v + sin(v);`);
    const source = `@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3u) {
        var v = f32(id.x);
        ${lines.join('\n')}
        out[id.x] = v;
      }`;
    const kernel = defineKernel({
      name: 'slow to compile',
      source,
      bindings: { out: readWrite('array<f32>') },
      constants: { UNKNOWN: 'u32' },
    });
    const constants = { UNKNOWN: Date.now() % 2 ** 20 };
    const out = poisoned(gpu, 32, 32);
    const profile = createProfile(gpu);
    gpu.profile = profile;
    const clock = createClock(gpu);
    const before = gpu.compiling.seconds;
    const run = () =>
      clock.phase('solve', () =>
        runBatch(gpu, (batch) => batch.dispatch(kernel, { bindings: { out }, constants, grid: [32] })),
      );
    const started = performance.now();
    await run();
    const wall = (performance.now() - started) / 1000;
    const took = gpu.compiling.seconds - before;
    await run();
    expect(gpu.compiling.seconds - before).toBe(took);
    const { solve, total, compilation } = await clock.times();
    expect(compilation).toBe(took);
    expect(took).toBeGreaterThan(0.5 * wall);
    expect([solve, total]).toEqual([total, solve]);
    expect(solve).toBeLessThan(wall - took + 0.5 * wall);
    const [first, second] = profile.passes.map(({ start, end }) => (end - start) / 1e9);
    expect(first).toBeLessThan(0.5 * took);
    expect(second).toBeLessThan(0.5 * took);
    release(gpu, out);
  });
});

describe('a profile', () => {
  it('times every dispatch, in order, with its scopes, place and bytes', async () => {
    const profile = await profiled(opened(), 'dispatch');
    expect(profile.clock).toBe(opened().features.has('timestamp-query') ? 'gpu' : 'wall');
    expect(profile.passes.map(({ scope }) => chain(scope))).toEqual([['outer', 'inner', 'gemm'], ['outer']]);
    expect(profile.scopes.map(({ op }) => op)).toEqual(['outer', 'inner', 'gemm']);
    expect(profile.scopes[2]).toMatchObject({ flops: 2 * 96 ** 3, bytes: 3 * 4 * 96 ** 2 });
    for (const [i, pass] of profile.passes.entries()) {
      expect(pass).toMatchObject({ layer: 3, phase: 'agop' });
      expect(pass.end).toBeGreaterThan(pass.start);
      if (i > 0) expect(pass.start).toBeGreaterThanOrEqual(profile.passes[i - 1].end);
    }
    expect(profile.passes[1]).toMatchObject({ kernel: 'transpose', bytes: 2 * 4 * 96 ** 2 });
  });

  it('times a submit as one with detail submit', async () => {
    const { passes } = await profiled(opened(), 'submit');
    expect(passes).toHaveLength(1);
    expect(passes[0].kernel).toBe('2 dispatches');
    expect(passes[0].scope?.op).toBe('outer');
    expect(passes[0].end).toBeGreaterThan(passes[0].start);
  });

  it('takes wall time where the adapter has no timestamps, and says so', async () => {
    const blind: Gpu = { ...opened(), features: new Set<string>() };
    const before = performance.now() * 1e6;
    for (const detail of ['dispatch', 'submit'] as const) {
      const { clock, passes } = await profiled(blind, detail);
      expect(clock).toBe('wall');
      expect(passes).toHaveLength(detail === 'dispatch' ? 2 : 1);
      expect(passes[0].start).toBeGreaterThan(before);
      expect(passes.every(({ start, end }) => end > start)).toBe(true);
    }
  });

  it('agrees with the clock on the wall within the time of a submit', async () => {
    const gpu = opened();
    const n = 512;
    const [x, out] = [put(gpu, randomMatrix(n, n, 1)), poisoned(gpu, n, n)];
    // Enough of it that the way to the device and back is a small part of its time.
    const products = gpu.adapter.type === 'hardware' ? 1000 : 1;
    const work = () =>
      runBatch(gpu, (batch) => {
        for (let i = 0; i < products; i++) gemm(batch, { a: x, b: x, out });
      });
    await work();
    gpu.profile = createProfile(gpu, 'submit');
    const started = performance.now();
    await work();
    const wall = performance.now() - started;
    const [{ start, end }] = gpu.profile.passes;
    release(gpu, x, out);
    expect((end - start) / 1e6).toBeLessThanOrEqual(wall);
    // Timestamps in other units, or of the submission alone, would be far off.
    expect((end - start) / 1e6).toBeGreaterThan(wall / 10);
  });

  it('takes more passes than a query set holds', async () => {
    const gpu = opened();
    const [x, out] = [put(gpu, randomMatrix(4, 4, 1)), poisoned(gpu, 4, 4)];
    gpu.profile = createProfile(gpu);
    await runBatch(gpu, (batch) => {
      for (let i = 0; i < 2050; i++) transpose(batch, x, out);
    });
    const { passes } = gpu.profile;
    release(gpu, x, out);
    expect(passes).toHaveLength(2050);
    expect(passes.every(({ start, end }, i) => end >= start && (i === 0 || start >= passes[i - 1].end))).toBe(true);
  });

  it('closes its scopes when the work fails', async () => {
    const gpu = opened();
    gpu.profile = createProfile(gpu);
    const fail = () => Promise.reject(new Error('no'));
    await expect(scoped(gpu, { op: 'outer' }, fail)).rejects.toThrow('no');
    expect(gpu.profile.current).toBeNull();
    expect(gpu.profile.place).toEqual(NOWHERE);
  });
});

it('without a profile scopes only run what is in them', async () => {
  const gpu = opened();
  expect(await scoped(gpu, { op: 'outer' }, async () => 5)).toBe(5);
  enter(gpu, 1, 'kernel');
  expect(gpu.profile).toBeNull();
});
