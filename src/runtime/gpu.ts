import { mkdirSync } from 'node:fs';
import { create, globals } from 'webgpu';
import { RfmError } from '../errors.js';
import type { AdapterSummary } from '../rfm/types.js';
import { hurry, waitIdly } from './idle.js';
import type { Pipeline } from './pipeline.js';
import { createPool, type Pool } from './pool.js';
import { MATRIX_FEATURE, shapesOf } from './subgroup-matrix.js';
import type { Profile } from './timing.js';

Object.assign(globalThis, globals);

export type AdapterChoice = 'auto' | 'hardware' | 'software';

/** An open device with what the operations need to know of it. */
export interface Gpu {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  readonly limits: GPUSupportedLimits;
  readonly features: ReadonlySet<string>;
  /** Lanes of a subgroup where every subgroup has the same number of them, else 0. */
  readonly lanes: number;
  readonly pool: Pool;
  readonly pipelines: Map<string, Promise<Pipeline>>;
  /** Operation → variant to use for it, where it is not the built-in default; see `variantOf` and `applyTuning`. */
  readonly choices: Map<string, string>;
  /** Bytes of the largest piece that rows and square matrices are cut into; see `gridOf`. */
  tileBytes: number;
  /** Floating-point operations a second of products, measured as they run; what one dispatch may do depends on it: see division.ts. */
  readonly rate: { flops: number };
  /** Seconds that the device and the work waited for shaders to be compiled; see `start` in batch.ts. */
  readonly compiling: { seconds: number };
  /** Settles when the device has done what it was sent so far; null when it has. */
  readonly sent: { last: Promise<void> | null };
  /** Collects the times of dispatches while it is set. */
  profile: Profile | null;
  /** Runs GPU calls and rejects with the first error they caused: out of memory, validation, device lost. */
  guard<T>(what: string, calls: () => T | Promise<T>): Promise<T>;
  /** Releases everything. The process may end after it. Safe to call twice. */
  close(): Promise<void>;
}

/** 4096 × 4096 numbers: products of such tiles reach full speed, and half of the smallest binding limit is left. */
export const DEFAULT_TILE_BYTES = 64 * 2 ** 20;

/** Before anything was measured: that of a slow integrated GPU. */
const FIRST_RATE = 5e10;

/** Dawn's switches with which shader-f16 shows on NVIDIA's driver, and subgroup matrices anywhere. */
export const MIXED_TOGGLES = ['vulkan_enable_f16_on_nvidia', 'allow_unsafe_apis'];

/** Numbers are uploaded to shaders through immediates: this many bytes are available on every backend. */
export const IMMEDIATE_BYTES = 64;

/**
 * Dawn ends the process when an instance is collected while one of its devices lives, so every
 * instance stays referenced here until its device is gone.
 */
const liveInstances = new Set<GPU>();

/** `toggles` are Dawn's names of switches to turn on. */
export function createInstance(toggles: readonly string[] = []): GPU {
  makeShaderCache();
  const flags = ['disable-dawn-features=timestamp_quantization'];
  if (toggles.length > 0) flags.push(`enable-dawn-features=${toggles.join(',')}`);
  const instance = create(flags) as GPU;
  liveInstances.add(instance);
  return instance;
}

/** Mesa makes the last folder of the path at most, and goes on without a cache if that fails; so may we. */
function makeShaderCache(): void {
  const dir = process.env.MESA_SHADER_CACHE_DIR;
  try {
    if (dir) mkdirSync(dir, { recursive: true });
  } catch {}
}

export function releaseInstance(instance: GPU): void {
  liveInstances.delete(instance);
}

/** Software adapters run shaders on the CPU. Dawn marks lavapipe as a fallback adapter; names cover the others. */
export function summarizeAdapter(info: GPUAdapterInfo): AdapterSummary {
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  const software =
    info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader|software|microsoft basic render/i.test(text);
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    type: software ? 'software' : 'hardware',
  };
}

/** One line for people; a software adapter is named as such. */
export function describeAdapter(adapter: AdapterSummary): string {
  const name = [adapter.device, adapter.description].filter(Boolean).join(', ') || adapter.vendor || 'unnamed';
  return adapter.type === 'software' ? `${name} (software, runs on the CPU)` : name;
}

const NO_ADAPTER_HELP = process.env.DEEP_RFM_BUNDLE
  ? 'README.txt says which Vulkan driver the machine must have; `./deep-rfm doctor` tells more'
  : 'run `npm run setup` to install a software one, or a Vulkan driver for your GPU; `deep-rfm doctor` tells more';

/**
 * Opens the best adapter: hardware first, a software one if it is all there is.
 * Every limit the adapter offers is requested, and the features the kernels can use; with `mixedPrecision` float16 and
 * subgroup matrices, too, if the adapter has them.
 */
export async function openGpu(options: { adapter?: AdapterChoice; mixedPrecision?: boolean } = {}): Promise<Gpu> {
  const choice = options.adapter ?? 'auto';
  const mixed = options.mixedPrecision ?? false;
  const instance = createInstance(mixed ? MIXED_TOGGLES : []);
  try {
    const adapter = await requestAdapter(instance, choice);
    return await openDevice(instance, adapter, mixed ? mixedFeatures(adapter) : []);
  } catch (error) {
    releaseInstance(instance);
    throw error;
  }
}

/** What kernels of mixed precision use. Subgroup matrices where they come as the one shape that has a kernel. */
function mixedFeatures(adapter: GPUAdapter): GPUFeatureName[] {
  const fits = shapesOf(adapter).some(
    ({ component, result, m, n, k }) => component === 'f16' && result === 'f32' && m === 16 && n === 16 && k === 16,
  );
  return fits ? ['shader-f16', MATRIX_FEATURE] : ['shader-f16'];
}

async function requestAdapter(instance: GPU, choice: AdapterChoice): Promise<GPUAdapter> {
  const seen: string[] = [];
  for (const powerPreference of ['high-performance', 'low-power'] as const) {
    const adapter = await instance.requestAdapter({ powerPreference });
    if (!adapter) continue;
    const summary = summarizeAdapter(adapter.info);
    if (choice === 'auto' || choice === summary.type) return adapter;
    seen.push(describeAdapter(summary));
  }
  if (choice === 'software') {
    const adapter = await instance.requestAdapter({ forceFallbackAdapter: true });
    if (adapter) return adapter;
  }
  if (seen.length === 0) throw new RfmError('noAdapter', `no GPU adapter found; ${NO_ADAPTER_HELP}`);
  throw new RfmError(
    'noAdapter',
    `--adapter ${choice}: found only ${[...new Set(seen)].join('; ')}; use --adapter auto to accept it`,
  );
}

/**
 * Opens a device on an adapter with every limit it offers. The instance is released when the device
 * is closed; `openGpu` is the usual way here.
 */
export async function openDevice(
  instance: GPU,
  adapter: GPUAdapter,
  optional: readonly GPUFeatureName[] = [],
): Promise<Gpu> {
  const wanted: GPUFeatureName[] = ['timestamp-query', 'subgroups', ...optional];
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = (adapter.limits as unknown as Record<string, unknown>)[name];
    if (typeof value === 'number') requiredLimits[name] = value;
  }
  requiredLimits.maxImmediateSize = IMMEDIATE_BYTES;
  const device = await adapter.requestDevice({
    requiredFeatures: wanted.filter((name) => adapter.features.has(name)),
    requiredLimits,
  });

  let closing = false;
  let lost: RfmError | null = null;
  let firstError: RfmError | null = null;
  const lostPromise = device.lost.then((info) => {
    if (!closing) lost = new RfmError('deviceLost', `the GPU device was lost: ${oneLine(info.message || info.reason)}`);
  });
  device.addEventListener('uncapturederror', (event) => {
    // Dawn would print it; it is reported by the next guarded call instead, so that it stops the work.
    event.preventDefault();
    firstError ??= gpuError('an unguarded call', event.error);
  });

  const summary = summarizeAdapter(adapter.info);

  function guard<T>(what: string, calls: () => T | Promise<T>): Promise<T> {
    // A GPU computes without the core that the event loop keeps busy, and a nap would only be noticed late.
    return summary.type === 'software' ? waitIdly(() => checked(what, calls)) : checked(what, calls);
  }

  async function checked<T>(what: string, calls: () => T | Promise<T>): Promise<T> {
    if (lost) throw lost;
    for (const filter of ['validation', 'out-of-memory', 'internal'] as const) device.pushErrorScope(filter);
    let result: T | undefined;
    let thrown: unknown;
    try {
      result = await calls();
    } catch (error) {
      thrown = error;
    }
    // The scopes answer within a few turns of the event loop, which would be naps of a millisecond each.
    hurry();
    const errors = await Promise.all([device.popErrorScope(), device.popErrorScope(), device.popErrorScope()]).catch(
      () => [],
    );
    // A lost device makes calls fail in many ways; the loss is the cause to report.
    await Promise.race([lostPromise, new Promise((resolve) => setImmediate(resolve))]);
    if (lost) throw lost;
    const error = errors.find((e) => e !== null);
    if (error) throw gpuError(what, error);
    if (firstError) throw firstError;
    if (thrown !== undefined) throw thrown;
    return result as T;
  }

  const info = adapter.info;
  const lanes =
    device.features.has('subgroups') && info.subgroupMinSize === info.subgroupMaxSize ? (info.subgroupMinSize ?? 0) : 0;
  return {
    device,
    adapter: summary,
    limits: device.limits,
    features: device.features as ReadonlySet<string>,
    lanes,
    pool: createPool(device),
    pipelines: new Map(),
    choices: new Map(),
    tileBytes: DEFAULT_TILE_BYTES,
    rate: { flops: FIRST_RATE },
    compiling: { seconds: 0 },
    sent: { last: null },
    profile: null,
    guard,
    async close() {
      if (closing) return;
      closing = true;
      device.destroy();
      await lostPromise;
      releaseInstance(instance);
    },
  };
}

function gpuError(what: string, error: GPUError): RfmError {
  const message = oneLine(error.message);
  if (error instanceof GPUOutOfMemoryError) {
    return new RfmError(
      'doesNotFit',
      `${what}: the device is out of memory (${message}); use a smaller --n or --width`,
    );
  }
  return new RfmError('internal', `${what}: ${message}`);
}

const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, '; ');
