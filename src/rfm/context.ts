import { finish } from '../runtime/batch.js';
import type { Gpu } from '../runtime/gpu.js';
import type { LayerPlan } from './plan.js';
import type { LayerMetrics } from './types.js';

export type Phase = keyof Omit<LayerMetrics['seconds'], 'total' | 'compilation'>;

/** Called as each phase begins; may throw to stop. */
export type OnPhase = (phase: Phase) => void;

/**
 * Times phases of one layer. A phase ends when the device has done what it was sent in it; the host goes on before that,
 * and records the next phase meanwhile. `times` waits for the last one. What shaders take to be compiled is counted by
 * itself, and in no phase: it depends on what the driver has kept of earlier runs.
 */
export function createClock(gpu: Gpu, onPhase: OnPhase = () => {}) {
  const seconds = { kernel: 0, solve: 0, agop: 0, sqrt: 0, features: 0, metrics: 0, total: 0, compilation: 0 };
  let ended = Promise.resolve(0);
  return {
    async phase<T>(name: Phase, work: () => Promise<T>): Promise<T> {
      onPhase(name);
      const started = performance.now();
      const compiled = gpu.compiling.seconds;
      const result = await work();
      const compilation = gpu.compiling.seconds - compiled;
      seconds.compilation += compilation;
      ended = Promise.all([ended, gpu.sent.last]).then(([before]) => {
        const now = performance.now();
        const elapsed = Math.max(0, (now - Math.max(before, started)) / 1000 - compilation);
        seconds[name] += elapsed;
        seconds.total += elapsed;
        return now;
      });
      // A failure on the device is reported by whoever waits for it next.
      ended.catch(() => {});
      return result;
    },
    async times(): Promise<typeof seconds> {
      await finish(gpu);
      await ended;
      return seconds;
    },
  };
}
export type Clock = ReturnType<typeof createClock>;

/** Where a layer is computed, and how. */
export interface LayerContext {
  gpu: Gpu;
  plan: LayerPlan;
  clock: Clock;
}
