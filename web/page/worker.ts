/** The page's worker: device and method are here, so that the page itself never waits for them. */

import { RfmError } from '../../src/errors.js';
import { openGpu } from '../../src/platform/browser/gpu.js';
import { planOf, sizeOf } from '../../src/rfm/deep-rfm.js';
import { estimateLayers, measureRates, type Rates, totalOf } from '../../src/rfm/estimate.js';
import { type AdapterSummary, describeAdapter } from '../../src/runtime/adapter.js';
import type { Gpu } from '../../src/runtime/gpu.js';
import { embedded, fromFiles, inWords, type Source } from './dropped.js';
import type { FromWorker, Settings, ToWorker } from './protocol.js';
import { type Control, digitThrough, type FinishedRun, optionsOf, runOn } from './run.js';

/** Of package.json; scripts/web.mjs puts it here. */
declare const VERSION: string;

/** What is used of a worker's global scope; the types of pages and of workers exclude each other. */
interface WorkerScope {
  postMessage(message: FromWorker, transfer: Transferable[]): void;
  addEventListener(type: 'message', listen: (event: MessageEvent<ToWorker>) => void): void;
}
const scope = self as unknown as WorkerScope;
const say = (message: FromWorker, transfer: Transferable[] = []): void => scope.postMessage(message, transfer);

const known: {
  gpu: Gpu | null;
  source: Source | null;
  rates: Rates | null;
  finished: FinishedRun[];
} = {
  ...{ gpu: null, source: null, rates: null },
  finished: [],
};

/** What the page asks of a run, from the moment that it is asked for: before it begins, an estimate may go on. */
interface Wish {
  paused: boolean;
  steps: number;
  waited: number;
  wake: () => void;
  abort: AbortController;
}

const newWish = (): Wish => ({ paused: false, steps: 0, waited: 0, wake: () => {}, abort: new AbortController() });

/** Of the run that was asked for last. */
let wish = newWish();

function device(): Gpu {
  if (!known.gpu) throw new RfmError('noAdapter', 'no device is open; load the page again');
  return known.gpu;
}

async function renew(): Promise<Gpu> {
  await known.gpu?.close();
  known.gpu = await openGpu();
  return known.gpu;
}

/** What a task makes of the device; of one that was lost since, begun again on a new one. */
async function onDevice(task: (gpu: Gpu) => Promise<void>): Promise<void> {
  try {
    await task(device());
  } catch (error) {
    if (!(error instanceof RfmError && error.kind === 'deviceLost')) throw error;
    await task(await renew());
  }
}

const controlOf = (wish: Wish): Control => ({
  signal: wish.abort.signal,
  waited: () => wish.waited,
  async next(layer) {
    if (wish.paused && wish.steps > 0) wish.steps--;
    if (!wish.paused || wish.steps > 0) return;
    say({ type: 'paused', layer });
    const since = performance.now();
    await new Promise<void>((resolve) => {
      wish.wake = resolve;
    });
    wish.waited += performance.now() - since;
    wish.abort.signal.throwIfAborted();
    say({ type: 'resumed', paused: wish.paused && wish.steps === 0 });
  },
});

const MIB = 2 ** 20;

/** Rows of what rates are measured on: the estimate is there in a second or two, and is rather too high. */
const PROBE = { software: 256, hardware: 1024 } as const;

/** Browsers tell little of an adapter: what they tell, all of it. */
function adapterText(adapter: AdapterSummary): string {
  const told = [adapter.vendor, adapter.architecture].filter((part) => part !== '').join(' ');
  return adapter.device || adapter.description
    ? describeAdapter(adapter)
    : `${told || 'unnamed'}${adapter.type === 'software' ? ' (software, runs on the CPU)' : ''}`;
}

async function open(): Promise<void> {
  const gpu = await renew();
  const { limits, adapter, lanes } = gpu;
  const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`;
  say({
    type: 'opened',
    adapter: adapterText(adapter),
    software: adapter.type === 'software',
    limits: [
      ['largest buffer', mib(limits.maxBufferSize)],
      ['largest binding', mib(limits.maxStorageBufferBindingSize)],
      ['invocations in a workgroup', String(limits.maxComputeInvocationsPerWorkgroup)],
      ['workgroup memory', `${limits.maxComputeWorkgroupStorageSize / 1024} KiB`],
      ['lanes of a subgroup', lanes > 0 ? String(lanes) : 'not used'],
    ],
  });
}

function sourceOf(): Source {
  if (!known.source) throw new RfmError('input', 'no data were chosen');
  return known.source;
}

async function estimate(gpu: Gpu, id: number, settings: Settings): Promise<void> {
  const options = optionsOf(settings);
  const data = sourceOf().load(settings.n, settings.testN);
  const plan = planOf(gpu, data, options);
  say({ type: 'estimated', id, bytes: plan.peakBytes, seconds: null });
  known.rates ??= await measureRates(gpu, settings.n, PROBE[gpu.adapter.type]);
  const size = sizeOf(options, {
    ...{ n: data.train.rows, testN: data.test?.rows ?? 0 },
    ...{ d: data.train.cols, outputs: data.classes },
  });
  const { total } = totalOf(estimateLayers(size, settings.depth, plan, known.rates), settings.depth);
  say({
    type: 'estimated',
    id,
    bytes: plan.peakBytes,
    seconds: total,
  });
}

async function run(runs: readonly Settings[], control: Control): Promise<void> {
  known.finished = [];
  try {
    for (const [index, settings] of runs.entries()) {
      control.signal.throwIfAborted();
      const { info, load } = sourceOf();
      say({ type: 'started', run: index, settings });
      const task = {
        run: index,
        settings,
        dataset: info.name,
        data: load(settings.n, settings.testN),
        version: VERSION,
      };
      known.finished[index] = await runOn({ current: device, renew }, { ...task, say, control });
    }
    say({ type: 'ended', stopped: false });
  } catch (error) {
    if (!control.signal.aborted) throw error;
    say({ type: 'ended', stopped: true });
  }
}

async function digit(gpu: Gpu, pixels: Float32Array): Promise<void> {
  for (const [index, finished] of known.finished.entries()) {
    say({ type: 'digit', shown: await digitThrough(gpu, index, finished, pixels) });
  }
}

async function data(source: Promise<Source>): Promise<void> {
  known.source = await source;
  say({ type: 'data', info: known.source.info });
}

const refused = (message: string): FromWorker => ({ type: 'refused', message });

/** What takes time goes one after another; the rest acts at once on what goes on. */
let queue: Promise<void> = Promise.resolve();

function enqueue(task: () => Promise<void>, failed: (message: string) => FromWorker): void {
  queue = queue.then(task).catch((error: unknown) => {
    say(failed(inWords(error instanceof Error ? error.message : String(error))));
  });
}

const failureOf =
  (task: 'open' | 'run' | 'digit') =>
  (message: string): FromWorker => ({ type: 'failed', task, message });

function act(message: ToWorker): void {
  switch (message.type) {
    case 'open':
      enqueue(open, failureOf('open'));
      break;
    case 'embedded':
      enqueue(() => data(embedded()), refused);
      break;
    case 'files':
      enqueue(() => data(fromFiles(message.files)), refused);
      break;
    case 'estimate': {
      const { id, settings } = message;
      enqueue(
        () => onDevice((gpu) => estimate(gpu, id, settings)),
        (text) => ({ type: 'not-estimated', id, message: text }),
      );
      break;
    }
    case 'run': {
      wish = newWish();
      const control = controlOf(wish);
      enqueue(() => run(message.runs, control), failureOf('run'));
      break;
    }
    case 'digit':
      enqueue(() => onDevice((gpu) => digit(gpu, message.pixels)), failureOf('digit'));
      break;
    case 'pause':
      Object.assign(wish, { paused: true, steps: 0 });
      break;
    case 'continue':
      Object.assign(wish, { paused: false, steps: 0 });
      wish.wake();
      break;
    case 'step':
      Object.assign(wish, { paused: true, steps: wish.steps + 1 });
      wish.wake();
      break;
    case 'stop':
      wish.abort.abort();
      wish.wake();
      break;
    case 'lose-device':
      known.gpu?.device.destroy();
  }
}

scope.addEventListener('message', (event) => act(event.data));
