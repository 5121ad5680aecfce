import { GPUBufferUsage, GPUMapMode } from './constants.js';
import type { Gpu } from './gpu.js';
import { NOWHERE, type Pass, type Profile, type Scope, type Work } from './profile.js';

/**
 * A profile to attach to a device: `gpu.profile = createProfile(gpu)`. detail 'dispatch' times every dispatch, 'submit' all
 * dispatches of a submit together.
 */
export function createProfile(gpu: Gpu, detail: Profile['detail'] = 'dispatch'): Profile {
  const scopes: Scope[] = [];
  let current: Scope | null = null;
  return {
    detail,
    clock: gpu.features.has('timestamp-query') ? 'gpu' : 'wall',
    passes: [],
    calls: { submits: 0, readbacks: 0, readbackBytes: 0 },
    scopes,
    place: NOWHERE,
    get current() {
      return current;
    },
    open(work) {
      current = { ...work, parent: current };
      scopes.push(current);
    },
    close() {
      current = current?.parent ?? null;
    },
  };
}

/** Runs `record` inside a scope, for work that is recorded at once (`batch.scope`). */
export function scopedSync<T>(gpu: Gpu, work: Work, record: () => T): T {
  const { profile } = gpu;
  if (!profile) return record();
  profile.open(work);
  try {
    return record();
  } finally {
    profile.close();
  }
}

/** Runs `steps` inside a scope, for operations of several batches. Operations of one Gpu run one after the other. */
export async function scoped<T>(gpu: Gpu, work: Work, steps: () => Promise<T>): Promise<T> {
  const { profile } = gpu;
  if (!profile) return steps();
  profile.open(work);
  try {
    return await steps();
  } finally {
    profile.close();
  }
}

/** Says where in the method the passes from now on belong. */
export function enter(gpu: Gpu, layer: number | null, phase: string | null): void {
  if (gpu.profile) gpu.profile.place = { layer, phase };
}

/** What a pass is known by before it has run. */
export type PassLabel = Omit<Pass, 'start' | 'end'>;

/** Where the timestamps of a pass go. */
export interface PassTimes {
  querySet: GPUQuerySet;
  begin: number;
  end: number;
}

type Encode = (encoder: GPUCommandEncoder, index: number, times?: PassTimes) => void;

/** A query set holds at most 4096 timestamps, and a pass takes two. */
const PASSES_PER_SET = 2048;

/**
 * Runs passes with timestamps and adds them to the profile. `encode(encoder, i, times)` records pass i, which
 * begins and ends at `times`; pipelines and bind groups are ready by then.
 */
export async function timePasses(
  gpu: Gpu,
  profile: Profile,
  labels: readonly PassLabel[],
  encode: Encode,
): Promise<void> {
  const times = profile.clock === 'gpu' ? await gpuTimes(gpu, labels, encode) : await wallTimes(gpu, labels, encode);
  labels.forEach((label, i) => {
    const [start, end] = times[i];
    profile.passes.push({ ...label, start, end });
  });
}

async function gpuTimes(
  gpu: Gpu,
  labels: readonly PassLabel[],
  encode: Encode,
): Promise<[start: number, end: number][]> {
  const { device } = gpu;
  const encoder = device.createCommandEncoder();
  const sets: { queries: GPUQuerySet; resolved: GPUBuffer; staging: GPUBuffer; count: number }[] = [];
  try {
    for (let first = 0; first < labels.length; first += PASSES_PER_SET) {
      const passes = Math.min(PASSES_PER_SET, labels.length - first);
      const count = 2 * passes;
      const queries = device.createQuerySet({ type: 'timestamp', count });
      const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
      const resolved = device.createBuffer({ size: count * 8, usage });
      const staging = device.createBuffer({
        size: count * 8,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
      sets.push({ queries, resolved, staging, count });
      for (let i = 0; i < passes; i++) {
        encode(encoder, first + i, { querySet: queries, begin: 2 * i, end: 2 * i + 1 });
      }
    }
    for (const { queries, resolved, staging, count } of sets) {
      encoder.resolveQuerySet(queries, 0, count, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, count * 8);
    }
    device.queue.submit([encoder.finish()]);
    const times: [number, number][] = [];
    for (const { staging, count } of sets) {
      await staging.mapAsync(GPUMapMode.READ);
      const ticks = new BigUint64Array(staging.getMappedRange());
      // 2^53 ns are 104 days.
      for (let i = 0; i < count; i += 2) times.push([Number(ticks[i]), Number(ticks[i + 1])]);
      staging.unmap();
    }
    return times;
  } finally {
    for (const { queries, resolved, staging } of sets) {
      queries.destroy();
      resolved.destroy();
      staging.destroy();
    }
  }
}

async function wallTimes(
  gpu: Gpu,
  labels: readonly PassLabel[],
  encode: Encode,
): Promise<[start: number, end: number][]> {
  const times: [number, number][] = [];
  for (let i = 0; i < labels.length; i++) {
    const encoder = gpu.device.createCommandEncoder();
    encode(encoder, i);
    const commands = encoder.finish();
    const start = performance.now();
    gpu.device.queue.submit([commands]);
    await gpu.device.queue.onSubmittedWorkDone();
    times.push([start * 1e6, performance.now() * 1e6]);
  }
  return times;
}
