import { OPERATIONS } from '../src/ops/operations.js';
import { type Spread, spreadOf } from '../src/report/bench-document.js';
import { finish } from '../src/runtime/batch.js';
import { raiseClock } from '../src/runtime/clock.js';
import type { Gpu } from '../src/runtime/gpu.js';
import { countWork } from '../src/runtime/profile.js';
import { createProfile } from '../src/runtime/timing.js';
import type { BenchCase, Prepared } from './case.js';

export interface Measurement {
  clock: 'gpu' | 'wall';
  milliseconds: Spread;
  wallMilliseconds: Spread;
  /** Counted by the scopes of a run. */
  counted: { flops: number | null; bytes: number | null };
}

export interface Repetition {
  /** Samples asked for; null: the case's own number, fewer where they take long. */
  repeats: number | null;
  signal: AbortSignal;
}

/** Without --repeats, sampling ends after this many milliseconds with at least `FEWEST` samples, or after the longer time with one. */
const LONG = 15_000;
const TOO_LONG = 60_000;
const FEWEST = 3;

/** A run shorter than this is repeated once more before it is timed. */
const SHORT = 50;

/** Times a prepared case on a Gpu whose variant is chosen. */
export async function measureCase(
  gpu: Gpu,
  { severalSubmits, repeats }: BenchCase,
  prepared: Prepared,
  how: Repetition,
): Promise<Measurement> {
  const once = async (on: Gpu): Promise<number> => {
    how.signal.throwIfAborted();
    await prepared.reset?.(gpu);
    const started = performance.now();
    await prepared.run(on);
    await finish(on);
    return performance.now() - started;
  };
  if (prepared.warmUp) await prepared.warmUp(gpu);
  else if ((await once(gpu)) < SHORT) await once(gpu);
  const hardware = gpu.adapter.type === 'hardware';
  let counted: Measurement['counted'] | null = null;
  if (hardware) {
    const profile = createProfile(gpu, 'submit');
    await once({ ...gpu, profile });
    counted = countWork(profile.scopes);
    const busy = OPERATIONS[0].prepare(gpu, 1024);
    await raiseClock(gpu, busy.record);
    busy.release();
  }

  const [device, wall]: [number[], number[]] = [[], []];
  let clock: Measurement['clock'] = 'wall';
  let total = 0;
  for (let i = 0; i < (how.repeats ?? repeats); i++) {
    const profile = createProfile(gpu, 'submit');
    // Timestamps cost more than what they time where many small batches run on a GPU, and are not used there.
    wall.push(await once({ ...gpu, profile: hardware && severalSubmits ? null : profile }));
    device.push(profile.passes.reduce((sum, { start, end }) => sum + (end - start) / 1e6, 0));
    counted ??= countWork(profile.scopes);
    clock = severalSubmits || profile.clock === 'wall' ? 'wall' : 'gpu';
    total += wall[i];
    if (how.repeats === null && ((total > LONG && wall.length >= FEWEST) || total > TOO_LONG)) break;
  }
  counted ??= { flops: null, bytes: null };
  const wallMilliseconds = spreadOf(wall);
  return { clock, milliseconds: clock === 'gpu' ? spreadOf(device) : wallMilliseconds, wallMilliseconds, counted };
}

/** Kernels longer than this have no excuse for a difference between the clocks. */
const COMPARABLE = 20;
const DIFFERENCE = 0.3;

/** A remark where the device's clock and the one on the wall tell different stories. */
export function clockRemark({ clock, milliseconds, wallMilliseconds }: Measurement): string | null {
  if (clock === 'wall' || wallMilliseconds.median < COMPARABLE) return null;
  const share = milliseconds.median / wallMilliseconds.median;
  if (Math.abs(1 - share) <= DIFFERENCE) return null;
  return `timestamps say ${milliseconds.median.toPrecision(3)} ms, the clock on the wall ${wallMilliseconds.median.toPrecision(3)} ms`;
}
