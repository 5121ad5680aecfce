/**
 * What the host takes for a layer, apart from any device: a run on the adapter keeps what each readback returned, and the
 * same run is then played on Dawn's null backend, which executes no shader, with those answers. Decisions that the host takes
 * from what it reads are so the same, and the time is all the host's.
 */

import { RfmError } from '../src/errors.js';
import { nodePlatform } from '../src/platform/node/system.js';
import { type HostCost, spreadOf } from '../src/report/bench-document.js';
import { deepRfm } from '../src/rfm/deep-rfm.js';
import { GPUBufferUsage } from '../src/runtime/constants.js';
import { type Gpu, openDevice, withMembers } from '../src/runtime/gpu.js';
import { OUTPUTS, type Rows, rowsFor } from './layer-one.js';

const FEATURES = 784;

/** Layers whose shapes and kernels are new are left out. */
const FIRST_LAYER = 3;

/** What of a run is asked for. */
interface Run {
  rows: Rows;
  n: number;
  depth: number;
  width: number;
}

/** NC1 of the features, and what `onLayer` was given, for each layer. */
async function play(gpu: Gpu, { rows, n, depth, width }: Run, onLayer: () => void): Promise<number[]> {
  const train = { x: rows.x, labels: rows.labels, rows: n, cols: FEATURES };
  const { layers } = await deepRfm(
    gpu,
    { train, test: null, classes: OUTPUTS },
    { depth, width },
    { progress: { onLayer } },
  );
  return layers.map(({ nc1 }) => nc1.features);
}

/** Replaces a method of an object by one that first tells of its arguments, until the function that it returns is called. */
function watch<T extends object, K extends keyof T & string>(
  object: T,
  name: K,
  tell: (args: Parameters<Extract<T[K], (...args: never[]) => unknown>>) => void,
): () => void {
  const method = object[name] as unknown as (...args: unknown[]) => unknown;
  const replacement = (...args: unknown[]): unknown => {
    tell(args as never);
    return method.apply(object, args);
  };
  Object.defineProperty(object, name, { value: replacement, configurable: true, writable: true });
  return () => Object.defineProperty(object, name, { value: method, configurable: true, writable: true });
}

/** Lets `answer` have, and replace, what the device's buffers return when they are mapped to be read. */
function watchReadbacks(device: GPUDevice, answer: (found: ArrayBuffer) => ArrayBuffer): () => void {
  const createBuffer = device.createBuffer.bind(device);
  const replacement = (descriptor: GPUBufferDescriptor): GPUBuffer => {
    const buffer = createBuffer(descriptor);
    if (descriptor.usage & GPUBufferUsage.MAP_READ) {
      const mapped = buffer.getMappedRange.bind(buffer);
      Object.defineProperty(buffer, 'getMappedRange', { value: (...range: number[]) => answer(mapped(...range)) });
    }
    return buffer;
  };
  Object.defineProperty(device, 'createBuffer', { value: replacement, configurable: true, writable: true });
  return () =>
    Object.defineProperty(device, 'createBuffer', { value: createBuffer, configurable: true, writable: true });
}

type Counts = HostCost['perLayer'];

const NO_COUNTS: Counts = { dispatches: 0, submits: 0, readbacks: 0, readbackBytes: 0, bindGroups: 0, writtenBytes: 0 };

/** Counts calls of the device into `counts`. */
function countCalls(device: GPUDevice, counts: Counts): () => void {
  const restore = [
    watch(device.queue, 'submit', () => void counts.submits++),
    watch(device, 'createBindGroup', () => void counts.bindGroups++),
    watch(device.queue, 'writeBuffer', ([, , data, , size]) => {
      counts.writtenBytes += size ?? data.byteLength;
    }),
  ];
  const createCommandEncoder = device.createCommandEncoder.bind(device);
  const replacement = (): GPUCommandEncoder => {
    const encoder = createCommandEncoder();
    const begin = encoder.beginComputePass.bind(encoder);
    Object.defineProperty(encoder, 'beginComputePass', {
      value: (descriptor?: GPUComputePassDescriptor): GPUComputePassEncoder => {
        const pass = begin(descriptor);
        watch(pass, 'dispatchWorkgroups', () => void counts.dispatches++);
        return pass;
      },
    });
    return encoder;
  };
  Object.defineProperty(device, 'createCommandEncoder', { value: replacement, configurable: true, writable: true });
  restore.push(() =>
    Object.defineProperty(device, 'createCommandEncoder', {
      value: createCommandEncoder,
      configurable: true,
      writable: true,
    }),
  );
  return () => {
    for (const each of restore) each();
  };
}

/** A run on the adapter: what it read, what it called per layer, and its NC1. */
async function record(gpu: Gpu, run: Run): Promise<{ answers: ArrayBuffer[]; perLayer: Counts; nc1: number[] }> {
  const answers: ArrayBuffer[] = [];
  const counts = { ...NO_COUNTS };
  let layer = 0;
  let before = { ...NO_COUNTS };
  // Readback buffers of earlier runs would not be seen.
  gpu.pool.trim();
  const restore = [
    countCalls(gpu.device, counts),
    watchReadbacks(gpu.device, (found) => {
      counts.readbacks++;
      counts.readbackBytes += found.byteLength;
      answers.push(found.slice(0));
      return found;
    }),
  ];
  try {
    const nc1 = await play(gpu, run, () => {
      layer++;
      if (layer === FIRST_LAYER - 1) before = { ...counts };
    });
    const layers = run.depth - FIRST_LAYER + 1;
    const perLayer = Object.fromEntries(
      Object.entries(counts).map(([name, count]) => [name, (count - before[name as keyof Counts]) / layers]),
    ) as Counts;
    return { answers, perLayer, nc1 };
  } finally {
    for (const each of restore) each();
  }
}

/** The same run on the null backend: milliseconds of each layer from `FIRST_LAYER` on. */
async function replay(real: Gpu, instance: GPU, run: Run, answers: readonly ArrayBuffer[], nc1: readonly number[]) {
  const adapter = await instance.requestAdapter();
  if (!adapter) throw new RfmError('noAdapter', 'the package webgpu offers no null backend');
  const opened = await openDevice(nodePlatform, adapter);
  try {
    const gpu = withMembers(opened, { lanes: real.lanes, adapter: real.adapter, choices: real.choices });
    let next = 0;
    watchReadbacks(gpu.device, () => {
      if (next === answers.length) throw new RfmError('internal', `bench host: a readback more than ${next}`);
      return answers[next++].slice(0);
    });
    const milliseconds: number[] = [];
    let last = performance.now();
    const found = await play(gpu, run, () => {
      const now = performance.now();
      milliseconds.push(now - last);
      last = now;
    });
    if (next !== answers.length || found.some((value, i) => !Object.is(value, nc1[i]))) {
      throw new RfmError('internal', 'bench host: the run played on the null backend is not the one that was recorded');
    }
    return milliseconds.slice(FIRST_LAYER - 1);
  } finally {
    await opened.close();
  }
}

/** Runs played; the first ones compile the host's own code. */
const [WARM_UPS, REPLAYS] = [2, 5];

/** Deep RFM on MNIST, layers of width 512 (`quick`: of 64), without test rows. */
export async function hostCost(
  gpu: Gpu,
  { n, quick, dataDir, signal }: { n: number; quick: boolean; dataDir: string | undefined; signal: AbortSignal },
): Promise<HostCost> {
  const rows = rowsFor(n, FEATURES, dataDir);
  const run = { rows, n, depth: quick ? 4 : 7, width: quick ? 64 : 512 };
  const { answers, perLayer, nc1 } = await record(gpu, run);
  const { create } = await import('webgpu');
  const instance = create(['backend=null']) as GPU;
  const samples: number[] = [];
  for (let i = 0; i < WARM_UPS + REPLAYS; i++) {
    signal.throwIfAborted();
    const milliseconds = await replay(gpu, instance, run, answers, nc1);
    if (i >= WARM_UPS) samples.push(...milliseconds);
  }
  return { shape: `n=${n} d=${run.width}`, data: rows.data, milliseconds: spreadOf(samples), perLayer };
}
