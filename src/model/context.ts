/** Where and how a model predicts. */

import { limitsOf } from '../rfm/plan.js';
import type { AdapterSummary } from '../runtime/adapter.js';
import type { Gpu } from '../runtime/gpu.js';
import { withMembers } from '../runtime/gpu.js';
import type { Model } from './files.js';
import type { MachineSize, PredictionPlan } from './plan.js';
import { planPrediction } from './plan.js';

export interface PredictionOptions {
  /** Bytes of device memory not to go beyond. Default: what is known of the device's memory. */
  memoryLimit?: number | null;
  /** Told of each layer that all rows have passed. */
  onLayer?: (layer: number) => void;
  signal?: AbortSignal;
}

/** Plans a prediction and holds the device's memory to it while `work` runs. */
export async function withPlan<T>(
  gpu: Gpu,
  machine: MachineSize,
  count: number,
  { memoryLimit = null }: PredictionOptions,
  work: (plan: PredictionPlan) => Promise<T>,
): Promise<T> {
  const plan = planPrediction(machine, count, limitsOf(gpu, memoryLimit));
  gpu.pool.limit({ soft: plan.bytes, hard: memoryLimit ?? Number.POSITIVE_INFINITY });
  try {
    return await work(plan);
  } finally {
    gpu.pool.limit({ soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY });
  }
}

/** What the results of a device depend on. */
export const sameDevice = (
  a: { adapter: AdapterSummary; lanes: number },
  b: { adapter: AdapterSummary; lanes: number },
): boolean => deviceKey(a) === deviceKey(b);

const deviceKey = ({ adapter, lanes }: { adapter: AdapterSummary; lanes: number }): string =>
  JSON.stringify([adapter.vendor, adapter.architecture, adapter.device, adapter.description, adapter.type, lanes]);

/** The device with the variants of operations that the model was made with, where it is the same one. */
export const asMadeOn = (gpu: Gpu, { document }: Model): Gpu =>
  sameDevice(gpu, document) ? withMembers(gpu, { choices: new Map(document.choices) }) : gpu;
