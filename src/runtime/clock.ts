import { type Batch, runBatch } from './batch.js';
import type { Gpu } from './gpu.js';

/**
 * Milliseconds until the clock of an idle GPU has risen. An H100 computes at a sixth of it before: a product of 0.6 ms took
 * 3.6 ms where only two came before it, and whatever is measured first looks slow.
 */
const CLOCK_RISES = 300;
/** Recorded at once, so that the device is busy most of the time. */
const TIMES = 20;

/** Keeps a GPU busy until its clock has risen; does nothing on a software adapter. `record`: about a millisecond's work. */
export async function raiseClock(gpu: Gpu, record: (batch: Batch) => void): Promise<void> {
  if (gpu.adapter.type === 'software') return;
  const begun = performance.now();
  while (performance.now() - begun < CLOCK_RISES) {
    await runBatch(gpu, (batch) => {
      for (let i = 0; i < TIMES; i++) record(batch);
    });
  }
}
