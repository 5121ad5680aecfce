import { describe, expect, it } from 'vitest';
import { RfmError } from '../../src/errors.js';
import { transpose } from '../../src/ops/elementwise/transpose.js';
import { syrk } from '../../src/ops/gemm/gemm.js';
import { type Batch, ceilDiv, createBatch, finish, runBatch, sendBatch } from '../../src/runtime/batch.js';
import { GPUBufferUsage } from '../../src/runtime/constants.js';
import type { Grid } from '../../src/runtime/division.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { defineKernel, programOf, readWrite } from '../../src/runtime/kernel.js';
import { download, type Matrix, release, upload } from '../../src/runtime/matrix.js';
import { pipelineOf } from '../../src/runtime/pipeline.js';
import { createProfile } from '../../src/runtime/timing.js';
import { poisoned, put, read, useGpu } from '../support/gpu.js';
import { randomMatrix, transposed } from '../support/reference.js';

const gpu = useGpu();

/** out[i] = value + step · i. */
const stepped = (step: number, name = 'fill') =>
  defineKernel({
    name,
    source: `@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let at = id.x + grid.x * (id.y + grid.y * id.z);
  if (at < p.count) { out[at] = p.value + f32(at) * ${step}.0; }
}`,
    bindings: { out: readWrite('array<f32>') },
    params: { value: 'f32', count: 'u32' },
  });
const steps = [0, 1, 2, 3].map((step) => stepped(step));

interface Fill {
  value: number;
  count: number;
  grid: Grid;
}
const fill = (batch: Batch, step: number, out: Matrix | GPUBuffer, { value, count, grid }: Fill): void =>
  batch.dispatch(steps[step], { bindings: { out }, params: { value, count }, grid });

const broken = (number: number) =>
  defineKernel({
    name: 'broken',
    source: `@compute @workgroup_size(1) fn main() { let x: u32 = ${number}; }`,
    bindings: {},
  });

const failureOf = async (act: () => unknown): Promise<unknown> => {
  try {
    await act();
  } catch (error) {
    return error;
  }
  return undefined;
};

async function expectRfmError(act: () => unknown, kind: string): Promise<RfmError> {
  const failure = await failureOf(act);
  expect(failure).toBeInstanceOf(RfmError);
  expect((failure as RfmError).kind).toBe(kind);
  expect((failure as RfmError).message).not.toContain('\n');
  return failure as RfmError;
}

it('ceilDiv', () => {
  expect([ceilDiv(0, 4), ceilDiv(1, 4), ceilDiv(4, 4), ceilDiv(5, 4)]).toEqual([0, 1, 1, 2]);
});

describe('dispatch', () => {
  it('passes numbers to the shader and covers a grid of three dimensions', async () => {
    const out = poisoned(gpu(), 5, 24);
    const seconds = await runBatch(gpu(), (batch) => fill(batch, 2, out, { value: 0.5, count: 120, grid: [4, 5, 6] }));
    expect(seconds).toBeGreaterThan(0);
    const { data } = await read(gpu(), out);
    release(gpu(), out);
    expect([...data]).toEqual(Array.from({ length: 120 }, (_, i) => 0.5 + 2 * i));
  });

  it('runs in the order of recording', async () => {
    const out = poisoned(gpu(), 1, 8);
    await runBatch(gpu(), (batch) => {
      for (const value of [1, 2, 3]) fill(batch, 0, out, { value, count: 8, grid: [8] });
    });
    expect([...(await read(gpu(), out)).data]).toEqual(new Array(8).fill(3));
    release(gpu(), out);
  });

  it('does nothing for an empty grid or an empty batch', async () => {
    const out = upload(gpu(), 1, 4, [7, 7, 7, 7]);
    for (const grid of [[0], [1, 0], [1, 1, 0]] as const) {
      await runBatch(gpu(), (batch) => fill(batch, 0, out, { value: 0, count: 8, grid }));
    }
    expect(await runBatch(gpu(), () => {})).toBe(0);
    expect([...(await download(gpu(), out))]).toEqual([7, 7, 7, 7]);
    release(gpu(), out);
  });

  it('runs more workgroups than the adapter allows at once as if it allowed them', async () => {
    const most = gpu().limits.maxComputeWorkgroupsPerDimension;
    const count = 2 * (most + 3);
    const grids: [number, number?, number?][] = [
      [most + 3, 2],
      [2, most + 3],
      [2, 1, most + 3],
    ];
    for (const grid of grids) {
      const out = poisoned(gpu(), 1, count);
      await runBatch(gpu(), (batch) => fill(batch, 3, out, { value: 0.5, count, grid }));
      const { data } = await read(gpu(), out);
      expect(data.findIndex((value, i) => value !== 0.5 + 3 * i)).toBe(-1);
      release(gpu(), out);
    }
  });
});

describe('pipelines', () => {
  it('are compiled once per text, by whoever asks first', async () => {
    const [a, b, other] = [stepped(10), stepped(10, 'another name'), stepped(11)];
    const [first, second, third] = [a, b, other].map((kernel) => pipelineOf(gpu(), programOf(kernel)));
    expect(second).toBe(first);
    expect(third).not.toBe(first);
    expect((await first).compute).not.toBe((await third).compute);
    expect(pipelineOf(gpu(), programOf(a))).toBe(first);
  });
});

describe('errors on the device', () => {
  it('a shader that does not compile is an RfmError, each time it is tried', async () => {
    for (let attempt = 0; attempt < 3; attempt++) {
      const act = () => runBatch(gpu(), (batch) => batch.dispatch(broken(1.5), { bindings: {}, grid: [1] }));
      await expectRfmError(act, 'internal');
    }
  });

  it('so are buffers of the wrong kind', async () => {
    const out = poisoned(gpu(), 1, 4);
    const uniform = gpu().device.createBuffer({ size: 64, usage: GPUBufferUsage.UNIFORM });
    await expectRfmError(
      () => runBatch(gpu(), (batch) => fill(batch, 0, uniform, { value: 0, count: 4, grid: [4] })),
      'internal',
    );
    uniform.destroy();
    // The same matrix read and written in one dispatch.
    await expectRfmError(() => runBatch(gpu(), (batch) => transpose(batch, out, out)), 'internal');
    release(gpu(), out);
  });

  it('and the GPU works on after them', async () => {
    const a = randomMatrix(5, 7, 1);
    const [x, out] = [put(gpu(), a), poisoned(gpu(), 7, 5)];
    await runBatch(gpu(), (batch) => transpose(batch, x, out));
    expect(await read(gpu(), out)).toEqual(transposed(a));
    release(gpu(), x, out);
  });

  it('temporaries are given back after a failure, too', async () => {
    const before = gpu().pool.bytes.live;
    const batch = createBatch(gpu());
    batch.temporary(100, 100);
    batch.dispatch(broken(1.5), { bindings: {}, grid: [1] });
    expect(gpu().pool.bytes.live).toBeGreaterThan(before);
    await failureOf(() => batch.submit());
    expect(gpu().pool.bytes.live).toBe(before);
  });
});

describe('send', () => {
  it('runs batches in the order they were sent, which hand temporaries on', async () => {
    const values = Array.from({ length: 20 }, (_, i) => i + 1);
    const outs = values.map(() => poisoned(gpu(), 8, 8));
    for (const [i, value] of values.entries()) {
      await sendBatch(gpu(), (batch) => {
        const between = batch.temporary(8, 8);
        fill(batch, 1, between, { value, count: 64, grid: [64] });
        transpose(batch, between, outs[i]);
      });
    }
    for (const [i, value] of values.entries()) {
      const { data } = await read(gpu(), outs[i]);
      expect([...data]).toEqual(Array.from({ length: 64 }, (_, e) => value + 8 * (e % 8) + Math.floor(e / 8)));
    }
    release(gpu(), ...outs);
  });

  it('is waited for by a download, its times included, and by finish', async () => {
    const out = poisoned(gpu(), 1, 8);
    const profile = createProfile(gpu());
    const timed: Gpu = { ...gpu(), profile };
    for (let i = 0; i < 3; i++) {
      await sendBatch(timed, (batch) => {
        for (const value of [1, 2]) fill(batch, 0, out, { value, count: 8, grid: [8] });
      });
    }
    expect([...(await download(timed, out))]).toEqual(new Array(8).fill(2));
    expect(profile.passes).toHaveLength(6);
    expect(gpu().sent.last).toBe(null);
    await sendBatch(gpu(), (batch) => fill(batch, 0, out, { value: 0, count: 8, grid: [8] }));
    await finish(gpu());
    expect(gpu().sent.last).toBe(null);
    await sendBatch(gpu(), () => {});
    expect(gpu().sent.last).toBe(null);
    release(gpu(), out);
  });

  it('reports a failure and gives temporaries back', async () => {
    const before = gpu().pool.bytes.live;
    const act = () =>
      sendBatch(gpu(), (batch) => {
        batch.temporary(100, 100);
        batch.dispatch(broken(2.5), { bindings: {}, grid: [1] });
      });
    await expectRfmError(act, 'internal');
    expect(gpu().pool.bytes.live).toBe(before);
  });
});

describe('memory', () => {
  it('does not grow over 50 repetitions', async () => {
    const a = randomMatrix(37, 21, 1);
    const bytes: { live: number; pooled: number }[] = [];
    for (let repetition = 0; repetition < 50; repetition++) {
      const [x, gram] = [put(gpu(), a), poisoned(gpu(), 21, 21)];
      await runBatch(gpu(), (batch) => {
        const xT = batch.temporary(21, 37);
        transpose(batch, x, xT);
        syrk(batch, { a: xT, b: xT, out: gram });
      });
      await download(gpu(), gram);
      release(gpu(), x, gram);
      bytes.push({ ...gpu().pool.bytes });
    }
    expect(bytes[49].live).toBe(0);
    expect(bytes[49]).toEqual(bytes[0]);
  });
});
