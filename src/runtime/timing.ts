import { GPUBufferUsage, GPUMapMode } from './constants.js';
import type { Share } from './division.js';
import type { Gpu } from './gpu.js';

/** A named piece of work with what it counts: what a scope is opened with. */
export interface Work {
  /** Name of the operation, such as 'gemm'. */
  readonly op: string;
  /** Floating-point operations, a multiply-add being two; those that the result needs, not those a kernel repeats. */
  readonly flops?: number;
  /** Bytes that must move: each operand and result once. */
  readonly bytes?: number;
  /** Rows of data it handles, where a rate in rows per second means something (AGOP). */
  readonly rows?: number;
}

/** A scope as it was recorded. */
export interface Scope extends Work {
  /** The scope it lies in; null for one that a caller opened first: that one counts as the group. */
  readonly parent: Scope | null;
}

/** Where in the method a pass belongs. */
export interface Place {
  readonly layer: number | null;
  readonly phase: string | null;
}

/** One timed stretch of work: a dispatch, or with `detail: 'submit'` all dispatches of a submit. */
export interface Pass extends Place {
  /** Name of the kernel; of a submit, the number of its dispatches. */
  readonly kernel: string;
  /** Innermost scope. */
  readonly scope: Scope | null;
  /** Nanoseconds on the clock of the profile, whose zero means nothing. */
  readonly start: number;
  readonly end: number;
  /** Bytes of the matrices bound to it. */
  readonly bytes: number;
  /** Of a dispatch that states its work: what was expected of it. */
  readonly share?: Share | null;
}

/**
 * Collects times while it is attached to a Gpu (`gpu.profile = createProfile(gpu)`). Without one nothing is
 * collected and nothing is slower.
 */
export interface Profile {
  /**
   * 'dispatch' gives each dispatch a compute pass with timestamps of its own; 'submit' times the passes of a submit
   * as they run without a profile.
   */
  readonly detail: 'dispatch' | 'submit';
  /**
   * 'gpu': timestamps of the device. 'wall': the adapter has none; each dispatch (or submit) is waited for and
   * timed on the host, its way to the device and back included.
   */
  readonly clock: 'gpu' | 'wall';
  readonly passes: Pass[];
  /** Every scope that was opened, in order. */
  readonly scopes: Scope[];
  /** Where passes recorded from now on belong. */
  place: Place;
  /** Innermost open scope. */
  readonly current: Scope | null;
  open(work: Work): void;
  close(): void;
}

export const NOWHERE: Place = { layer: null, phase: null };

export function createProfile(gpu: Gpu, detail: Profile['detail'] = 'dispatch'): Profile {
  const scopes: Scope[] = [];
  let current: Scope | null = null;
  return {
    detail,
    clock: gpu.features.has('timestamp-query') ? 'gpu' : 'wall',
    passes: [],
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

/**
 * Floating-point operations and bytes of scopes: what a scope itself reports, else the sum of those inside it.
 * null where nothing reports any.
 */
export function countWork(scopes: readonly Scope[]): { flops: number | null; bytes: number | null } {
  const count = (key: 'flops' | 'bytes'): number | null => {
    let [sum, any] = [0, false];
    for (const scope of scopes) {
      const value = scope[key];
      if (value === undefined || covered(scope, key)) continue;
      [sum, any] = [sum + value, true];
    }
    return any ? sum : null;
  };
  return { flops: count('flops'), bytes: count('bytes') };
}

/** Whether a scope around this one reports the quantity. */
const covered = ({ parent }: Scope, key: 'flops' | 'bytes'): boolean =>
  parent !== null && (parent[key] !== undefined || covered(parent, key));

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
