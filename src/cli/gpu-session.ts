import type { AdapterChoice, Gpu } from '../runtime/gpu.js';

/**
 * Opens an adapter, hands it to `work` and closes it whatever happens: a process that ends with a live device crashes.
 * @param signal when aborted, work is not begun.
 */
export async function withGpu<T>(
  adapter: AdapterChoice | undefined,
  signal: AbortSignal,
  work: (gpu: Gpu) => Promise<T>,
): Promise<T> {
  const { openGpu } = await import('../runtime/gpu.js');
  signal.throwIfAborted();
  const gpu = await openGpu({ adapter: adapter ?? 'auto' });
  try {
    signal.throwIfAborted();
    const result = await work(gpu);
    // Files are written after this: an interrupted command leaves none.
    signal.throwIfAborted();
    return result;
  } finally {
    await gpu.close();
  }
}
