import { RfmError } from '../errors.js';
import { GPUBufferUsage, IMMEDIATE_BYTES } from './constants.js';
import { divide, type Grid, type Part, type RowWork } from './division.js';
import type { Gpu, Pipeline } from './gpu.js';
import {
  type BindingDeclaration,
  type Bindings,
  bindingNames,
  type Constants,
  type Kernel,
  type Parameters,
  type ParameterValues,
  type Program,
  parameterWords,
  programOf,
  type StorageBinding,
} from './kernel.js';
import { allocate, type Matrix, type View } from './matrix.js';
import { pipelinesOf } from './pipeline.js';
import { placedProgram, placeOf } from './placed-kernel.js';
import { textureBytes } from './pool.js';
import type { Profile, Work } from './profile.js';
import { type PassLabel, type PassTimes, scopedSync, timePasses } from './timing.js';

/** Work recorded on the host; nothing runs before `submit`. */
export interface Batch {
  readonly gpu: Gpu;
  /**
   * Records one dispatch of `kernel`, with everything it declares by name.
   * A dispatch of more workgroups along a dimension than the adapter allows at once runs in several parts, and so does one
   * that would keep the device for long (division.ts).
   * @throws internal error where a matrix was released.
   */
  dispatch<B extends Bindings, P extends Parameters, C extends Constants>(
    kernel: Kernel<B, P, C>,
    call: Call<B, P, C>,
  ): void;
  /**
   * Names what `record` dispatches, for profiles: the operation, and what it counts. Scopes nest; the outermost
   * one groups, those inside it give detail.
   */
  scope(work: Work, record: () => void): void;
  /** A matrix that lives until this batch has been submitted. */
  temporary(rows: number, cols: number): Matrix;
  /**
   * The same, but one matrix for all calls with this shape and role: for what is read by the next dispatch alone, since
   * dispatches run in the order they were recorded in.
   */
  scratch(rows: number, cols: number, role: string): Matrix;
  /**
   * A texture of at least width × height texels of four float32. Dispatches run in the order they were recorded
   * in, so `reuse` may pass it on as soon as the last one that needs its content is recorded.
   */
  texture(width: number, height: number): GPUTexture;
  reuse(texture: GPUTexture): void;
  /** A storage buffer of at least `bytes`, the same one at every call: for what the next dispatch or copy takes in. */
  staging(bytes: number): GPUBuffer;
  /** Copies width × height texels of four float32, row by row, from the start of a buffer into a texture. */
  copyToTexture(source: GPUBuffer, texture: GPUTexture, width: number, height: number): void;
  /** Runs what was recorded and waits for it. Returns wall time in seconds; `gpu.profile` tells the GPU's own. */
  submit(): Promise<number>;
  /**
   * Hands over what was recorded and waits only for what was sent before it, so that the host records while the
   * device works; reading a matrix waits for all of it. Temporaries are free at once: the device runs batches in order,
   * and so nothing that a later batch writes into them comes early.
   */
  send(): Promise<void>;
  /** Forgets what was recorded, and gives temporaries back. */
  discard(): void;
}

export type Binding = View | GPUBuffer | GPUTexture;

/** What can be bound where. A view is no matrix: a kernel that minds no offset would read from the wrong place. */
type Bound<D extends BindingDeclaration> =
  D extends StorageBinding<infer Of> ? GPUBuffer | (Of extends 'view' ? View : Matrix) : GPUTexture;

/** Present where there is something to say. */
type Given<Key extends string, Values> = keyof Values extends never
  ? { readonly [K in Key]?: Values }
  : { readonly [K in Key]: Values };

/** What a dispatch names: everything that its kernel declares, and nothing else. */
export type Call<B extends Bindings, P extends Parameters, C extends Constants> = {
  readonly bindings: { readonly [K in keyof B]: Bound<B[K]> };
  /** Workgroups along each dimension. */
  readonly grid: Grid;
  /**
   * Of a kernel that declares `firstRow`: the operations of a row of workgroups, at most, and, of a product, those of the
   * whole dispatch; see `RowWork`.
   */
  readonly work?: Pick<RowWork, 'flops' | 'measured'>;
} & Given<'params', ParameterValues<P>> &
  Given<'constants', { readonly [K in keyof C]: C[K] extends 'bool' ? boolean : number }>;

/** a / b, rounded up to a whole number. */
export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);

interface Copy {
  source: GPUBuffer;
  texture: GPUTexture;
  width: number;
  height: number;
}

interface Dispatch extends Part {
  program: Program;
  bindings: readonly (GPUBuffer | GPUTexture)[];
  /** What is copied before it. */
  copies: readonly Copy[];
  /** null unless a profile is attached. */
  label: PassLabel | null;
}

const isTexture = (binding: GPUBuffer | GPUTexture): binding is GPUTexture => 'createView' in binding;

const resourceOf = (binding: Binding): GPUBuffer | GPUTexture => ('buffer' in binding ? binding.buffer : binding);

/** Bytes of the matrices a dispatch touches; a block counts with its own rows and columns. */
const bytesOf = (bindings: readonly Binding[]): number =>
  bindings.reduce((sum, b) => {
    if ('buffer' in b) return sum + 4 * b.rows * (b.cols + b.padding);
    return sum + (isTexture(b) ? textureBytes(b) : b.size);
  }, 0);

function labelOf(profile: Profile, kernel: string, bindings: readonly Binding[], share: Part['share']): PassLabel {
  return { kernel, scope: profile.current, bytes: bytesOf(bindings), share, ...profile.place };
}

/** A call of any kernel; that it fits its kernel was checked where it was written. */
interface AnyCall {
  readonly bindings: Readonly<Record<string, Binding>>;
  readonly params: Readonly<Record<string, number | boolean>>;
  readonly constants: Readonly<Record<string, number | boolean>>;
  readonly grid: Grid;
  readonly work?: Pick<RowWork, 'flops' | 'measured'>;
}

/** What a batch has recorded; what is copied comes before the next dispatch. */
interface Recording {
  readonly dispatches: Dispatch[];
  copies: readonly Copy[];
}

const NO_COPIES: readonly Copy[] = [];

/** What a dispatch is made of once it has left its names behind. */
interface Recorded {
  readonly program: Program;
  readonly bindings: readonly Binding[];
  readonly words: ArrayLike<number>;
  readonly grid: Grid;
  readonly work: RowWork | undefined;
}

function withoutNames(kernel: Kernel, { bindings, params, constants, grid, work }: AnyCall): Recorded {
  const { words, first } = parameterWords(kernel, params);
  if (work && !first) throw new RfmError('internal', `${kernel.name} states its work but declares no firstRow`);
  return {
    program: programOf(kernel, constants),
    bindings: bindingNames(kernel).map((name) => bindings[name]),
    words,
    grid,
    work:
      work && first
        ? { flops: work.flops, measured: work.measured ?? 0, first: first.word, step: first.step }
        : undefined,
  };
}

function record(gpu: Gpu, recording: Recording, { program, bindings, words, grid, work }: Recorded): void {
  const [x, y = 1, z = 1] = grid;
  if (x === 0 || y === 0 || z === 0) return;
  const resources = bindings.map(resourceOf);
  if (resources.some(gpu.pool.isReleased)) {
    throw new RfmError('internal', `${program.name} is to read or write a matrix that was released`);
  }
  for (const part of divide(gpu, words, grid, work)) {
    const { params, measured, share, place } = part;
    // Written out: spread, it is a fifth of the time that a dispatch takes the host.
    recording.dispatches.push({
      params,
      grid: part.grid,
      measured,
      share,
      place,
      program: place ? placedProgram(program) : program,
      bindings: place ? [...resources, placeOf(gpu, place)] : resources,
      copies: recording.copies,
      label: gpu.profile && labelOf(gpu.profile, program.name, bindings, share),
    });
    recording.copies = NO_COPIES;
  }
}

type Lent = Pick<Batch, 'temporary' | 'scratch' | 'texture' | 'reuse' | 'staging'>;

/** What a batch lends until it is handed over. */
function createLoans({ pool }: Gpu, allocateMatrix: (rows: number, cols: number) => Matrix): Lent & { end(): void } {
  const buffers: GPUBuffer[] = [];
  const textures: GPUTexture[] = [];
  const idle: GPUTexture[] = [];
  const stages: GPUBuffer[] = [];
  const scratch = new Map<string, Matrix>();
  const temporary = (rows: number, cols: number): Matrix => {
    const matrix = allocateMatrix(rows, cols);
    buffers.push(matrix.buffer);
    return matrix;
  };
  return {
    temporary,
    scratch(rows, cols, role) {
      const key = `${rows} × ${cols} ${role}`;
      const matrix = scratch.get(key) ?? temporary(rows, cols);
      scratch.set(key, matrix);
      return matrix;
    },
    texture(width, height) {
      const fits = idle.findIndex((t) => t.width >= width && t.height >= height);
      if (fits >= 0) return idle.splice(fits, 1)[0];
      const texture = pool.takeTexture(width, height);
      textures.push(texture);
      return texture;
    },
    reuse: (texture) => void idle.push(texture),
    staging(bytes) {
      const last = stages.at(-1);
      if (last && last.size >= bytes) return last;
      const stage = pool.take(bytes);
      stages.push(stage);
      return stage;
    },
    end() {
      for (const buffer of [...buffers, ...stages]) pool.give(buffer);
      for (const texture of textures) pool.giveTexture(texture);
      scratch.clear();
      for (const list of [buffers, textures, idle, stages]) list.length = 0;
    },
  };
}

/**
 * A batch of work to record and hand over.
 * @throws internal error, at a dispatch, where a matrix was released, or the kernel states no first row for its work.
 */
export function createBatch(gpu: Gpu): Batch {
  const recording: Recording = { dispatches: [], copies: NO_COPIES };
  const { end, ...loans } = createLoans(gpu, (rows, cols) => allocate(gpu, rows, cols));
  const discard = (): void => {
    end();
    recording.dispatches.length = 0;
    recording.copies = NO_COPIES;
  };
  const handOver = async <T>(start: () => Promise<T>): Promise<T> => {
    try {
      return await gpu.guard('running on the GPU', start);
    } finally {
      discard();
    }
  };
  return {
    gpu,
    ...loans,
    discard,
    dispatch: (kernel, call) =>
      record(gpu, recording, withoutNames(kernel as unknown as Kernel, call as unknown as AnyCall)),
    scope: (work, record) => scopedSync(gpu, work, record),
    copyToTexture(source, texture, width, height) {
      recording.copies = [...recording.copies, { source, texture, width, height }];
    },
    submit: () =>
      handOver(async () => {
        const started = performance.now();
        if (recording.dispatches.length === 0) return 0;
        await start(gpu, recording.dispatches);
        await gpu.sent.last;
        return (performance.now() - started) / 1000;
      }),
    send: () =>
      handOver(async () => {
        const before = gpu.sent.last;
        if (recording.dispatches.length > 0) await start(gpu, recording.dispatches);
        await before;
      }),
  };
}

/** A batch with what `record` dispatches; where that fails, nothing stays allocated. */
function recordedBatch(gpu: Gpu, record: (batch: Batch) => void): Batch {
  const batch = createBatch(gpu);
  try {
    record(batch);
  } catch (error) {
    batch.discard();
    throw error;
  }
  return batch;
}

/** Records with `record`, submits, and returns the seconds it took. */
export const runBatch = async (gpu: Gpu, record: (batch: Batch) => void): Promise<number> =>
  recordedBatch(gpu, record).submit();

/** The same without waiting for it: see `Batch.send`. */
export const sendBatch = async (gpu: Gpu, record: (batch: Batch) => void): Promise<void> =>
  recordedBatch(gpu, record).send();

/** Waits for all that was sent. */
export async function finish(gpu: Gpu): Promise<void> {
  if (gpu.sent.last) await gpu.guard('running on the GPU', () => gpu.sent.last);
}

/** One bind group a dispatch; dispatches of a kernel that bind the same share one. */
function bindGroups(gpu: Gpu, recorded: readonly Dispatch[], pipelines: readonly Pipeline[]): GPUBindGroup[] {
  const numbers = new Map<GPUBuffer | GPUTexture, number>();
  const numberOf = (resource: GPUBuffer | GPUTexture): number => {
    const number = numbers.get(resource) ?? numbers.size;
    numbers.set(resource, number);
    return number;
  };
  const made = new Map<Pipeline, Map<string, GPUBindGroup>>();
  return recorded.map(({ bindings }, i) => {
    const ofKernel = made.get(pipelines[i]) ?? new Map<string, GPUBindGroup>();
    made.set(pipelines[i], ofKernel);
    const key = bindings.map(numberOf).join(' ');
    const group =
      ofKernel.get(key) ??
      gpu.device.createBindGroup({
        layout: pipelines[i].bindings,
        entries: bindings.map((resource, binding) => ({
          binding,
          resource: isTexture(resource) ? resource.createView() : { buffer: resource },
        })),
      });
    ofKernel.set(key, group);
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
 * Has the driver compile pipelines that it meets for the first time. lavapipe leaves that to the first dispatch, within
 * its timestamps; one of no workgroups, with what the real one binds, does it before. It is timed from when the device
 * has nothing else to do, which `since` tells: what is compiled beside other work costs nothing.
 */
async function warm(
  gpu: Gpu,
  pipelines: readonly Pipeline[],
  groups: readonly GPUBindGroup[],
  since: () => number,
): Promise<void> {
  const cold = new Map<Pipeline, GPUBindGroup>();
  pipelines.forEach((pipeline, i) => {
    if (!pipeline.warm && !cold.has(pipeline)) cold.set(pipeline, groups[i]);
  });
  if (cold.size === 0) return;
  await gpu.sent.last;
  // Three zeros. Of a dispatch with a literal count of zero Dawn prints that it is unusual.
  const none = gpu.device.createBuffer({ size: 12, usage: GPUBufferUsage.INDIRECT });
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const [pipeline, group] of cold) {
    pass.setPipeline(pipeline.compute);
    pass.setBindGroup(0, group);
    setImmediates(pass, new Uint32Array(IMMEDIATE_BYTES / 4));
    pass.dispatchWorkgroupsIndirect(none, 0);
  }
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  await gpu.device.queue.onSubmittedWorkDone();
  none.destroy();
  for (const pipeline of cold.keys()) pipeline.warm = true;
  gpu.compiling.seconds += Math.max(0, performance.now() - since()) / 1000;
}

/** Gives the device its work, and returns as soon as it has it; `gpu.sent.last` settles when it is done. */
async function start(gpu: Gpu, recorded: readonly Dispatch[]): Promise<void> {
  const since = idleSince(gpu);
  const pipelines = await pipelinesOf(
    gpu,
    recorded.map(({ program }) => program),
  );
  const groups = bindGroups(gpu, recorded, pipelines);
  await warm(gpu, pipelines, groups, since);
  /** Dispatches from … to − 1 in one pass, or more where there is something to copy between them. */
  const encode = (encoder: GPUCommandEncoder, from: number, to: number, times?: PassTimes): void => {
    const starts = recorded.flatMap(({ copies }, i) =>
      i === from || (i > from && i < to && copies.length > 0) ? [i] : [],
    );
    starts.forEach((start, segment) => {
      for (const { source, texture, width, height } of recorded[start].copies) {
        encoder.copyBufferToTexture({ buffer: source, bytesPerRow: width * 16 }, { texture }, [width, height]);
      }
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
    if (profile.clock === 'wall') await timed;
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
  const done = gpu.device.queue.onSubmittedWorkDone();
  follow(gpu, alone ? done.then(() => updateRate(gpu, measured, (performance.now() - submitted) / 1000)) : done);
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

/** Newer than @webgpu/types: https://gpuweb.github.io/gpuweb/ "setImmediates". */
function setImmediates(pass: GPUComputePassEncoder, words: Uint32Array<ArrayBuffer>): void {
  (pass as unknown as { setImmediates(offset: number, data: Uint32Array): void }).setImmediates(0, words);
}
