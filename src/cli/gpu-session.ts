import type { AdapterChoice } from '../runtime/adapter.js';
import type { Gpu } from '../runtime/gpu.js';
import { leaveDevice } from './interrupt.js';
import { observer } from './observer.js';
import { VERSION, webgpuVersion } from './version.js';

export interface GpuFlags {
  adapter?: AdapterChoice;
  /** One adapter of several: `--gpu`. */
  gpu?: string;
  /** Opens the device with float16, where the adapter has it. */
  mixedPrecision?: boolean;
  /** Whether the command will dispatch what it dispatched the last time, which is then compiled from the start. */
  compileAhead?: boolean;
  /** false: --no-tune. */
  tune?: boolean;
  /** Receives remarks about the tuning, about a GPU that could not be selected, and that shaders are compiled. */
  note?: (line: string) => void;
  /**
   * Shows, twice a second while shaders are compiled, for how many seconds they have been so far, from the third second on.
   * Where it shows nothing (false), `note` hears of it once.
   */
  compiling?: (seconds: number) => boolean;
}

const COMPILING = 'compiling shaders; where the driver keeps them, the next run finds them';

/** Seconds of compilation in which nothing has to be said. */
const SILENCE = 2;
/** Milliseconds between two looks. */
const LOOK = 500;

/** Says that shaders are compiled, until the function that it returns is called. */
function watchCompilation({ compiling }: Gpu, { compiling: tell, note }: GpuFlags): () => void {
  let said = false;
  const watch = setInterval(() => {
    if (compiling.since === null) return;
    const seconds = compiling.seconds + (performance.now() - compiling.since) / 1000;
    if (seconds < SILENCE) return;
    if (tell?.(seconds) || said) return;
    said = true;
    note?.(COMPILING);
  }, LOOK);
  return () => clearInterval(watch);
}

/**
 * Opens an adapter, hands it to `work` and closes it whatever happens: a process that ends by itself with a live device
 * crashes. After a signal it is left, since to close it waits for the step it works on: see interrupt.ts.
 * The variants of its operations are those measured on it earlier, or now where that is quick, unless `flags.tune` is
 * false.
 * @param signal when aborted, work is not begun.
 */
export async function withGpu<T>(flags: GpuFlags, signal: AbortSignal, work: (gpu: Gpu) => Promise<T>): Promise<T> {
  const { openGpu } = await import('../platform/node/gpu.js');
  signal.throwIfAborted();
  const gpu = await openGpu({
    adapter: flags.adapter ?? 'auto',
    mixedPrecision: flags.mixedPrecision ?? false,
    gpu: flags.gpu,
    ...(flags.note && { note: flags.note }),
  });
  const unwatch = watchCompilation(gpu, flags);
  try {
    signal.throwIfAborted();
    if (flags.tune !== false) await tune(gpu, flags.note ?? (() => {}));
    observer()?.opened(gpu);
    // In a profile nothing else happens beside what is timed.
    const folder = process.env.DEEP_RFM_COMPILED;
    const keepPrograms = flags.compileAhead && folder && !observer() ? await compileKnown(gpu, folder) : null;
    const result = await work(gpu);
    await keepPrograms?.();
    // Files are written after this: an interrupted command leaves none.
    signal.throwIfAborted();
    return result;
  } finally {
    unwatch();
    if (!leaveDevice(signal)) await gpu.close();
  }
}

/** Begins to compile what this command dispatched the last time, and keeps in the end what it dispatched now. */
async function compileKnown(gpu: Gpu, folder: string): Promise<() => Promise<void>> {
  const [{ readPrograms, writePrograms }, { makePipelines }, { writeFileAtomic }] = await Promise.all([
    import('../platform/node/program-files.js'),
    import('../runtime/compile-ahead.js'),
    import('../report/atomic.js'),
  ]);
  const command = /^[a-z]+$/.exec(process.argv[2] ?? '')?.[0] ?? 'other';
  const known = await readPrograms(gpu, folder, command);
  makePipelines(gpu, known);
  return () => writePrograms(gpu, { folder, command, known }, writeFileAtomic);
}

async function tune(gpu: Gpu, note: (line: string) => void): Promise<void> {
  const [{ applyTuning }, { OPERATIONS }, { writeFileAtomic }] = await Promise.all([
    import('../platform/node/tuning-files.js'),
    import('../ops/operations.js'),
    import('../report/atomic.js'),
  ]);
  const identity = { adapter: gpu.adapter, version: VERSION, webgpu: webgpuVersion() };
  const { notes } = await applyTuning(gpu, identity, OPERATIONS, { write: writeFileAtomic });
  for (const line of notes) note(line);
}
