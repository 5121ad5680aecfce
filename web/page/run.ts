/** A run in the worker: layer by layer, with pauses, on a device that may be lost. */

import { RfmError } from '../../src/errors.js';
import { classOrder } from '../../src/ops/host-rows.js';
import { kernelOf } from '../../src/ops/kernels/kernels.js';
import { type DeepRfmData, type DeepRfmState, deepRfm, planOf } from '../../src/rfm/deep-rfm.js';
import type { DeepRfmOptions } from '../../src/rfm/options.js';
import { metricsJson, runDocument } from '../../src/rfm/run-document.js';
import { throughLayers } from '../../src/rfm/through-layers.js';
import type { GramPicture, RunConfig, RunMetrics } from '../../src/rfm/types.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { gramPixels } from './gram-pixels.js';
import { nearestClass, type Plane, placeIn, planeOf, projected } from './project.js';
import type { DigitShown, FromWorker, Settings } from './protocol.js';

/** As `run` has them where nothing else is asked for. */
const DEFAULTS = { bandwidth: 2, ridge: 1e-3, gamma: 0.1, agop: 'auto', agopSamples: 0, solver: 'auto' } as const;

/** What the page asks of a run while it goes on. */
export interface Control {
  signal: AbortSignal;
  /** Settles when the next layer may begin. */
  next(layer: number): Promise<void>;
  /** Milliseconds that `next` has waited. */
  waited(): number;
}

/** The device, opened again where it was lost. */
export interface Devices {
  current(): Gpu;
  renew(): Promise<Gpu>;
}

/** A finished run, through whose layers a drawn digit can go. */
export interface FinishedRun {
  data: DeepRfmData;
  options: DeepRfmOptions;
  roots: Float32Array[];
  planes: Plane[];
}

/** What the method is told. */
export const optionsOf = ({ depth, kernel, activation, width, seed }: Settings): DeepRfmOptions => ({
  kernel: kernelOf({ kernel, bandwidth: DEFAULTS.bandwidth }),
  ...{ ridge: DEFAULTS.ridge, gamma: DEFAULTS.gamma, depth, activation, width, seed },
  gramLayers: Array.from({ length: depth }, (_, i) => i + 1),
});

const configOf = (settings: Settings, dataset: string, { train, test }: DeepRfmData): RunConfig => {
  const { depth, kernel, activation, width, seed } = settings;
  const { bandwidth, ridge, gamma, agop, agopSamples, solver } = DEFAULTS;
  return {
    ...{
      dataset,
      n: train.rows,
      testN: test?.rows ?? 0,
      depth,
      kernel,
      bandwidth,
      ridge,
      activation,
      width,
      gamma,
      seed,
    },
    ...{ agop, agopSamples, solver, gramLayers: Array.from({ length: depth }, (_, i) => i + 1) },
  };
};

/** What is the same for all layers of a run. */
interface Task {
  run: number;
  settings: Settings;
  dataset: string;
  data: DeepRfmData;
  version: string;
  say(message: FromWorker, transfer?: Transferable[]): void;
  control: Control;
}

/**
 * Computes all layers, each told as it comes. A device that is lost is opened again, and the layer begun again, once a layer.
 * @throws RfmError as deepRfm; the reason of the signal where it is stopped.
 */
export async function runOn(devices: Devices, task: Task): Promise<FinishedRun> {
  const { run, settings, data, say } = task;
  const options = optionsOf(settings);
  const { order } = classOrder(data.train.labels);
  const labels = Int32Array.from(order, (i) => data.train.labels[i]!);
  const finished: FinishedRun = { data, options, roots: [], planes: [] };
  const started = performance.now();
  const waitedBefore = task.control.waited();
  let state: DeepRfmState | null = null;
  let peakBytes = 0;
  let lostIn = -1;
  for (let deviceLosses = 0; ; deviceLosses++) {
    const gpu = devices.current();
    const { bytes } = gpu.pool;
    bytes.peak = bytes.live + bytes.pooled;
    const plan = planOf(gpu, data, options);
    const kept = (next: DeepRfmState, gram: GramPicture | null): Promise<void> => {
      state = next;
      return shown(task, finished, labels, next, gram);
    };
    try {
      const { layers, classCounts } = await deepRfm(gpu, data, options, {
        plan,
        resume: state,
        progress: {
          signal: task.control.signal,
          onPhase: (layer, phase) => say({ type: 'phase', run, layer, phase }),
          onRoot: (layer, root) => {
            if (data.train.cols === 784) finished.roots[layer - 1] = root;
          },
          save: kept,
        },
      });
      peakBytes = Math.max(peakBytes, gpu.pool.bytes.peak);
      const waited = task.control.waited() - waitedBefore;
      const metrics: RunMetrics = runDocument({
        ...{ version: task.version, config: configOf(settings, task.dataset, data), adapter: gpu.adapter },
        ...{ classCounts, layers, deviceLosses, plan, peakBytes },
        seconds: (performance.now() - started - waited) / 1000,
      });
      say({ type: 'done', run, json: metricsJson(metrics), metrics });
      return finished;
    } catch (error) {
      if (!(error instanceof RfmError && error.kind === 'deviceLost')) throw error;
      peakBytes = Math.max(peakBytes, gpu.pool.bytes.peak);
      const layer = ((state as DeepRfmState | null)?.layers.length ?? 0) + 1;
      if (layer === lostIn) throw error;
      lostIn = layer;
      say({ type: 'lost', run, layer });
      await devices.renew();
    }
  }
}

/** Tells of a layer, and waits until the next may begin. */
async function shown(
  { run, say, control, data }: Task,
  finished: FinishedRun,
  labels: Int32Array,
  { layers, train }: DeepRfmState,
  gram: GramPicture | null,
): Promise<void> {
  const plane = planeOf(train.x, labels, train.cols, data.classes);
  finished.planes[layers.length - 1] = plane;
  const picture = gram && gramPixels(gram);
  const projection = projected(plane, train.x, labels);
  const layer = { run, metrics: layers.at(-1)!, gram: picture, projection };
  say({ type: 'layer', layer }, [projection.rows.buffer, ...(picture ? [picture.pixels.buffer] : [])]);
  await control.next(layers.length);
}

/** Takes a drawn digit, 784 pixels from 0 to 1, through the layers of a run. */
export async function digitThrough(
  gpu: Gpu,
  run: number,
  finished: FinishedRun,
  pixels: Float32Array,
): Promise<DigitShown> {
  const { data, options, roots, planes } = finished;
  const row = { x: pixels, labels: Int32Array.of(0), rows: 1, cols: pixels.length };
  const stages = (await throughLayers(gpu, data.train, row, roots, options)).slice(1);
  return {
    run,
    places: stages.map(({ x }, i) => placeIn(planes[i]!, x)),
    nearest: stages.map(({ x }, i) => nearestClass(planes[i]!, x)),
  };
}
