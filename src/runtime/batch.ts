import { RfmError } from '../errors.js';
import { divide, type Grid, type RowWork } from './division.js';
import type { Gpu } from './gpu.js';
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
import { createLoans, type Loans } from './loans.js';
import type { Matrix, View } from './matrix.js';
import { placedProgram, placeOf } from './placed-kernel.js';
import type { Work } from './profile.js';
import { type Binding, type Copy, type Dispatch, labelOf, start } from './submission.js';
import { scopedSync } from './timing.js';

/** Work recorded on the host; nothing runs before `submit`. */
export interface Batch extends Loans {
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

const resourceOf = (binding: Binding): GPUBuffer | GPUTexture => ('buffer' in binding ? binding.buffer : binding);

/** A call of any kernel; that it fits its kernel was checked where it was written. */
interface AnyCall {
  readonly bindings: Readonly<Record<string, Binding>>;
  readonly params: Readonly<Record<string, number | boolean>>;
  readonly constants: Readonly<Record<string, number | boolean>>;
  readonly grid: Grid;
  readonly work?: Pick<RowWork, 'flops' | 'measured'>;
}

/** What a batch has recorded; what is copied comes before the next dispatch, or at the end. */
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

/**
 * A batch of work to record and hand over.
 * @throws internal error, at a dispatch, where a matrix was released, or the kernel states no first row for its work.
 */
export function createBatch(gpu: Gpu): Batch {
  const recording: Recording = { dispatches: [], copies: NO_COPIES };
  const { end, ...loans } = createLoans(gpu);
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
        await start(gpu, recording.dispatches, recording.copies);
        await gpu.sent.last;
        return (performance.now() - started) / 1000;
      }),
    send: () =>
      handOver(async () => {
        const before = gpu.sent.last;
        if (recording.dispatches.length > 0) await start(gpu, recording.dispatches, recording.copies);
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
