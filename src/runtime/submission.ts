import type { Part } from './division.js';
import type { Gpu, Pipeline } from './gpu.js';
import type { Program } from './kernel.js';
import type { View } from './matrix.js';
import { pipelinesOf, setImmediates, warmUp } from './pipeline.js';
import { textureBytes } from './pool.js';
import type { Profile } from './profile.js';
import { type PassLabel, type PassTimes, timePasses } from './timing.js';

export type Binding = View | GPUBuffer | GPUTexture;

export interface Copy {
  source: GPUBuffer;
  texture: GPUTexture;
  width: number;
  height: number;
}

export interface Dispatch extends Part {
  program: Program;
  bindings: readonly (GPUBuffer | GPUTexture)[];
  /** What is copied before it. */
  copies: readonly Copy[];
  /** null unless a profile is attached. */
  label: PassLabel | null;
}

export const isTexture = (binding: GPUBuffer | GPUTexture): binding is GPUTexture => 'createView' in binding;

/** Bytes of the matrices a dispatch touches; a block counts with its own rows and columns. */
const bytesOf = (bindings: readonly Binding[]): number =>
  bindings.reduce((sum, b) => {
    if ('buffer' in b) return sum + 4 * b.rows * (b.cols + b.padding);
    return sum + (isTexture(b) ? textureBytes(b) : b.size);
  }, 0);

export function labelOf(
  profile: Profile,
  kernel: string,
  bindings: readonly Binding[],
  share: Part['share'],
): PassLabel {
  return { kernel, scope: profile.current, bytes: bytesOf(bindings), share, ...profile.place };
}

/** Numbers of buffers and textures, for keys. */
const numbers = new WeakMap<GPUBuffer | GPUTexture, number>();
let numbered = 0;

function numberOf(resource: GPUBuffer | GPUTexture): number {
  const known = numbers.get(resource);
  if (known !== undefined) return known;
  numbered++;
  numbers.set(resource, numbered);
  return numbered;
}

/** Bind groups that are kept for a kernel: as many as a layer makes. What they bind may have been destroyed since. */
const KEPT_GROUPS = 256;

/** One bind group a dispatch; dispatches of a kernel that bind the same share one, those of later batches, too. */
function bindGroups(gpu: Gpu, recorded: readonly Dispatch[], pipelines: readonly Pipeline[]): GPUBindGroup[] {
  return recorded.map(({ bindings }, i) => {
    const { groups, bindings: layout } = pipelines[i];
    const key = bindings.map(numberOf).join(' ');
    const kept = groups.get(key);
    if (kept) return kept;
    const group = gpu.device.createBindGroup({
      layout,
      entries: bindings.map((resource, binding) => ({
        binding,
        resource: isTexture(resource) ? resource.createView() : { buffer: resource },
      })),
    });
    if (groups.size >= KEPT_GROUPS) groups.clear();
    groups.set(key, group);
    return group;
  });
}

/** Tells when the device is idle, as far as it has been told so. */
function idleSince(gpu: Gpu): () => number {
  let since = gpu.sent.last === null ? performance.now() : Number.POSITIVE_INFINITY;
  const idle = (): void => {
    since = performance.now();
  };
  gpu.sent.last?.then(idle, idle);
  return () => since;
}

/**
 * Has the driver compile kernels that it meets for the first time, before the real dispatches, within whose timestamps it
 * would else be. It is timed from when the device has nothing else to do, which `since` tells: what is compiled beside other
 * work costs nothing. Kernels that a second device compiles are waited for, and then found; see compile-ahead.ts.
 */
async function warm(
  gpu: Gpu,
  recorded: readonly Dispatch[],
  pipelines: readonly Pipeline[],
  groups: readonly GPUBindGroup[],
  since: () => number,
): Promise<void> {
  const cold = new Map<Pipeline, { code: string; group: GPUBindGroup }>();
  pipelines.forEach((pipeline, i) => {
    if (!pipeline.warm) cold.set(pipeline, { code: recorded[i].program.code, group: groups[i] });
  });
  if (cold.size === 0) return;
  await gpu.sent.last;
  gpu.compiling.since = performance.now();
  try {
    await compileCold(gpu, cold);
  } finally {
    gpu.compiling.since = null;
  }
  for (const pipeline of cold.keys()) pipeline.warm = true;
  gpu.compiling.seconds += Math.max(0, performance.now() - since()) / 1000;
}

/** Kernels by their pipelines, on this device or, where the second one has begun, on that. */
async function compileCold(
  gpu: Gpu,
  cold: ReadonlyMap<Pipeline, { code: string; group: GPUBindGroup }>,
): Promise<void> {
  const claimed = gpu.compiler?.claimed ?? new Map<string, Promise<void>>();
  const entries = [...cold].map(([pipeline, { code, group }]) => ({ code, entry: [pipeline, group] as const }));
  const others = entries.filter(({ code }) => claimed.has(code));
  const own = entries.filter(({ code }) => !claimed.has(code));
  const done = warmUp(
    gpu.device,
    own.map(({ entry }) => entry),
  );
  const settled = done.catch(() => {});
  for (const { code } of own) claimed.set(code, settled);
  await done;
  await Promise.all(others.map(({ code }) => claimed.get(code)));
  await warmUp(
    gpu.device,
    others.map(({ entry }) => entry),
  );
}

/**
 * Gives the device its work, what is to be copied at the end with it, and returns as soon as it has it; `gpu.sent.last` settles
 * when it is done.
 */
export async function start(gpu: Gpu, recorded: readonly Dispatch[], last: readonly Copy[] = []): Promise<void> {
  const since = idleSince(gpu);
  const pipelines = await pipelinesOf(
    gpu,
    recorded.map(({ program }) => program),
  );
  const groups = bindGroups(gpu, recorded, pipelines);
  await warm(gpu, recorded, pipelines, groups, since);
  /** Dispatches from … to − 1 in one pass, or more where there is something to copy between them. */
  const encode = (encoder: GPUCommandEncoder, from: number, to: number, times?: PassTimes): void => {
    const starts = recorded.flatMap(({ copies }, i) =>
      i === from || (i > from && i < to && copies.length > 0) ? [i] : [],
    );
    starts.forEach((start, segment) => {
      copyAll(encoder, recorded[start].copies);
      const end = starts[segment + 1] ?? to;
      const timestampWrites = times && {
        querySet: times.querySet,
        ...(segment === 0 && { beginningOfPassWriteIndex: times.begin }),
        ...(end === to && { endOfPassWriteIndex: times.end }),
      };
      const timed = segment === 0 || end === to;
      const pass = encoder.beginComputePass(timestampWrites && timed ? { timestampWrites } : {});
      for (let i = start; i < end; i++) {
        if (i === start || pipelines[i] !== pipelines[i - 1]) pass.setPipeline(pipelines[i].compute);
        if (i === start || groups[i] !== groups[i - 1]) pass.setBindGroup(0, groups[i]);
        setImmediates(pass, recorded[i].params);
        const [x, y, z] = recorded[i].grid;
        pass.dispatchWorkgroups(x, y, z);
      }
      pass.end();
    });
  };
  const { profile } = gpu;
  const all = recorded.length;
  if (profile) {
    profile.calls.submits += submissions(recorded).length;
    const single = profile.detail === 'dispatch';
    const bytes = recorded.reduce((sum, { label }) => sum + (label?.bytes ?? 0), 0);
    const labels = single
      ? recorded.map((d) => d.label ?? labelOf(profile, d.program.name, d.bindings, d.share))
      : [{ kernel: `${all} dispatches`, scope: profile.current, bytes, ...profile.place }];
    const timed = timePasses(gpu, profile, labels, (encoder, i, times) =>
      single ? encode(encoder, i, i + 1, times) : encode(encoder, 0, all, times),
    );
    follow(gpu, timed);
    // Dispatches timed on the host are submitted one by one.
    if (profile.clock === 'wall' || last.length > 0) await timed;
    copyLast(gpu, last);
    return;
  }
  const measured = recorded.reduce((sum, dispatch) => sum + dispatch.measured, 0);
  // How long one takes that waits for others first says nothing about the device's rate.
  const alone = gpu.sent.last === null;
  let submitted = 0;
  for (const [from, to] of submissions(recorded)) {
    const encoder = gpu.device.createCommandEncoder();
    encode(encoder, from, to);
    gpu.device.queue.submit([encoder.finish()]);
    submitted ||= performance.now();
  }
  copyLast(gpu, last);
  const done = gpu.device.queue.onSubmittedWorkDone();
  follow(gpu, alone ? done.then(() => updateRate(gpu, measured, (performance.now() - submitted) / 1000)) : done);
}

function copyAll(encoder: GPUCommandEncoder, copies: readonly Copy[]): void {
  for (const { source, texture, width, height } of copies) {
    encoder.copyBufferToTexture({ buffer: source, bytesPerRow: width * 16 }, { texture }, [width, height]);
  }
}

/** What no dispatch of its batch waits for. */
function copyLast(gpu: Gpu, copies: readonly Copy[]): void {
  if (copies.length === 0) return;
  const encoder = gpu.device.createCommandEncoder();
  copyAll(encoder, copies);
  gpu.device.queue.submit([encoder.finish()]);
}

/** Lets `gpu.sent.last` settle after this, too. */
function follow({ sent }: Gpu, done: Promise<unknown>): void {
  const last: Promise<void> = Promise.all([sent.last, done])
    .then(() => {})
    .finally(() => {
      if (sent.last === last) sent.last = null;
    });
  // A failure is reported by whoever waits.
  last.catch(() => {});
  sent.last = last;
}

/** Seconds of expected work that are submitted at once: some drivers watch over a submission as a whole. */
const SUBMIT_SECONDS = 1;

/** The dispatches from … to − 1 of each submission. */
function submissions(recorded: readonly Dispatch[]): [from: number, to: number][] {
  const found: [number, number][] = [];
  let [from, seconds] = [0, 0];
  recorded.forEach(({ share }, i) => {
    const own = share?.seconds ?? 0;
    if (i > from && seconds + own > SUBMIT_SECONDS) {
      found.push([from, i]);
      [from, seconds] = [i, 0];
    }
    seconds += own;
  });
  return [...found, [from, recorded.length]];
}

/** Batches of fewer operations say more about the time between host and device. */
const TELLING_FLOPS = 1e9;

/** The rate follows what batches reached, other work in them included: rather too low than too high. */
function updateRate(gpu: Gpu, flops: number, seconds: number): void {
  if (flops >= TELLING_FLOPS) gpu.rate.flops = (gpu.rate.flops + flops / seconds) / 2;
}
