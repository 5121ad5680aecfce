import copySource from '../shaders/bench/bench_copy.wgsl';
import fmaSource from '../shaders/bench/bench_fma.wgsl';
import { type Batch, ceilDiv, runBatch } from '../src/runtime/batch.js';
import type { Gpu } from '../src/runtime/gpu.js';
import { defineKernel, read, readWrite } from '../src/runtime/kernel.js';
import { allocate, release, upload } from '../src/runtime/matrix.js';
import { createProfile } from '../src/runtime/timing.js';

/** What this adapter can do at best: rates of kernels that do nothing else. */
export interface Ceilings {
  /** 10⁹ floating-point operations a second from registers. */
  gflops: number;
  /** 10⁹ bytes a second read and written by a copy. */
  gbps: number;
  measured: Record<string, number>;
}

const fmaKernel = defineKernel({
  name: 'bench_fma',
  source: fmaSource,
  bindings: { factors: read('array<vec4f>'), out: readWrite('array<vec4f>') },
  params: { iterations: 'u32' },
  constants: { FORM: 'u32', CHAINS: 'u32' },
});

const copyKernel = defineKernel({
  name: 'bench_copy',
  source: copySource,
  bindings: { source: read('array<vec4f>'), out: readWrite('array<vec4f>') },
  params: { count: 'u32' },
});

/** Forms of the shader, with the operations of one step of one chain: four lanes of a vec4, or a dot product of four. */
const FORMS = [
  { name: 'fma', form: 0, flops: 8 },
  { name: 'product and sum', form: 1, flops: 8 },
  { name: 'dot', form: 2, flops: 7 },
] as const;
const CHAINS = [2, 8] as const;
/** As in the shader. */
const [STEPS, WORKGROUP] = [16, 64];

/** Copied: beyond the caches of a CPU, and a small part of a GPU's memory. */
const COPY_BYTES = 64 * 2 ** 20;

/** A measurement takes about this long, so that clocks have risen and launches do not count. */
const MILLISECONDS = 40;
const SAMPLES = 5;

/** Milliseconds of a batch, on the device where it has timestamps. */
async function timed(gpu: Gpu, record: (batch: Batch) => void): Promise<number> {
  const profile = createProfile(gpu, 'submit');
  await runBatch({ ...gpu, profile }, record);
  return profile.passes.reduce((sum, { start, end }) => sum + (end - start) / 1e6, 0);
}

async function fastest(gpu: Gpu, record: (batch: Batch) => void): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < SAMPLES; i++) best = Math.min(best, await timed(gpu, record));
  return best;
}

async function fmaRate(gpu: Gpu, form: number, chains: number, stepFlops: number): Promise<number> {
  const groups = 2048;
  const factors = upload(gpu, 2, 4, [0.5, 0.25, 0.125, 0.75, 0.5, 1, 0.25, 0.125]);
  const out = allocate(gpu, groups, 4 * WORKGROUP);
  try {
    const record = (iterations: number) => (batch: Batch) =>
      batch.dispatch(fmaKernel, {
        bindings: { factors, out },
        params: { iterations },
        constants: { FORM: form, CHAINS: chains },
        grid: [groups],
      });
    const flops = (iterations: number) => groups * WORKGROUP * chains * STEPS * iterations * stepFlops;
    await timed(gpu, record(1));
    let iterations = 1;
    let milliseconds = await timed(gpu, record(iterations));
    while (milliseconds < MILLISECONDS && iterations < 2 ** 20) {
      iterations = Math.min(2 ** 20, iterations * Math.max(2, Math.min(16, Math.ceil(MILLISECONDS / milliseconds))));
      milliseconds = await timed(gpu, record(iterations));
    }
    return flops(iterations) / (await fastest(gpu, record(iterations))) / 1e6;
  } finally {
    release(gpu, factors, out);
  }
}

async function copyRates(gpu: Gpu): Promise<Record<string, number>> {
  const limit = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  const count = Math.floor(Math.min(COPY_BYTES, limit) / 16);
  const rows = 1024;
  const [source, out] = [allocate(gpu, rows, (4 * count) / rows), allocate(gpu, rows, (4 * count) / rows)];
  const moved = 2 * 16 * count;
  try {
    const record = (batch: Batch) =>
      batch.dispatch(copyKernel, {
        bindings: { source, out },
        params: { count },
        grid: [ceilDiv(count, WORKGROUP * 16)],
      });
    await timed(gpu, record);
    const byKernel = moved / (await fastest(gpu, record)) / 1e6;
    // A software adapter loads lane by lane in kernels; its own copy of a buffer shows what the memory can do.
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < SAMPLES; i++) {
      const encoder = gpu.device.createCommandEncoder();
      encoder.copyBufferToBuffer(source.buffer, 0, out.buffer, 0, 16 * count);
      const commands = encoder.finish();
      const started = performance.now();
      await gpu.guard('copying a buffer', async () => {
        gpu.device.queue.submit([commands]);
        await gpu.device.queue.onSubmittedWorkDone();
      });
      best = Math.min(best, performance.now() - started);
    }
    return { 'copy by a kernel': byKernel, 'copy of a buffer': moved / best / 1e6 };
  } finally {
    release(gpu, source, out);
    gpu.pool.trim();
  }
}

/** Measures both ceilings, about two seconds. */
export async function measureCeilings(gpu: Gpu): Promise<Ceilings> {
  const rates: Record<string, number> = {};
  for (const { name, form, flops } of FORMS) {
    for (const chains of CHAINS) rates[`${name}, ${chains} chains`] = await fmaRate(gpu, form, chains, flops);
  }
  const gflops = Math.max(...Object.values(rates));
  const copies = await copyRates(gpu);
  return { gflops, gbps: Math.max(...Object.values(copies)), measured: { ...rates, ...copies } };
}
