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
  /** false: --no-tune. */
  tune?: boolean;
  /** Receives remarks about the tuning, and about a GPU that could not be selected. */
  note?: (line: string) => void;
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
  try {
    signal.throwIfAborted();
    if (flags.tune !== false) await tune(gpu, flags.note ?? (() => {}));
    observer()?.opened(gpu);
    const result = await work(gpu);
    // Files are written after this: an interrupted command leaves none.
    signal.throwIfAborted();
    return result;
  } finally {
    if (!leaveDevice(signal)) await gpu.close();
  }
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
