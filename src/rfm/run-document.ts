/** What metrics.json holds, whoever ran the layers. */

import type { RunPlan } from './plan.js';
import { nc1Decay } from './theory.js';
import { type RunMetrics, SCHEMA } from './types.js';

/** A run as it was found. */
export interface FoundRun extends Omit<RunMetrics, 'schema' | 'nc1Decay' | 'memory'> {
  plan: Pick<RunPlan, 'peakBytes'>;
  /** Most bytes that were held on the device. */
  peakBytes: number;
}

/** The document of a run. */
export function runDocument({ plan, peakBytes, ...found }: FoundRun): RunMetrics {
  const { version, config, made, adapter, classCounts, layers, deviceLosses, seconds } = found;
  return {
    schema: SCHEMA,
    ...{ version, config, ...(made && { made }), adapter, classCounts, layers },
    nc1Decay: nc1Decay(layers.map(({ nc1 }) => nc1.agop)),
    memory: { predictedBytes: plan.peakBytes, peakBytes },
    ...{ deviceLosses, seconds },
  };
}

/** The text of metrics.json: indented, every number with all its digits, NaN and infinities as null. */
export const metricsJson = (metrics: RunMetrics): string => `${JSON.stringify(metrics, null, 2)}\n`;
