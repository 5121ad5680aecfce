import { RfmError, say, the } from '../errors.js';
import { type AdapterSummary, summarizeAdapter } from './adapter.js';
import { IMMEDIATE_BYTES } from './constants.js';
import type { Program } from './kernel.js';
import type { Platform } from './platform.js';
import { createPool, type Pool } from './pool.js';
import type { Profile } from './profile.js';

/** A compiled kernel and the layout of its bindings. */
export interface Pipeline {
  readonly program: Program;
  readonly compute: GPUComputePipeline;
  readonly bindings: GPUBindGroupLayout;
  /** By what they bind; see `bindGroups`. */
  readonly groups: Map<string, GPUBindGroup>;
  /** Whether the driver has compiled it: some leave that to the first dispatch. */
  warm: boolean;
}

/**
 * Compiles kernels on a second device, a core that else would wait, while the first device compiles or computes. It is for
 * drivers that keep what they compile where other devices of the process find it, as lavapipe does, in its shader cache.
 */
export interface Compiler {
  /** By text: settles when the kernel is compiled, whichever device does it; it never fails. */
  readonly claimed: Map<string, Promise<void>>;
  /** Compiles these, in this order, but for those that somebody has compiled or begun to. */
  compile(programs: readonly Program[]): void;
  /** Ends after the kernel that is being compiled. */
  close(): Promise<void>;
}

/** An open device with what the operations need to know of it. `await using` closes it. */
export interface Gpu extends AsyncDisposable {
  readonly platform: Platform;
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  readonly limits: GPUSupportedLimits;
  readonly features: ReadonlySet<string>;
  /** Lanes of a subgroup where every subgroup has the same number of them, else 0. */
  readonly lanes: number;
  readonly pool: Pool;
  readonly pipelines: Map<string, Promise<Pipeline>>;
  /** Compiles kernels on a second device; null where that would not help. */
  readonly compiler: Compiler | null;
  /** Operation → variant to use for it, where it is not the built-in default; see `variantOf` and `applyTuning`. */
  readonly choices: Map<string, string>;
  /** Bytes of the largest piece that rows and square matrices are cut into; see `gridOf`. */
  tileBytes: number;
  /** Floating-point operations a second of products, measured as they run; what one dispatch may do depends on it: see division.ts. */
  readonly rate: { flops: number };
  /**
   * Seconds that the device and the work waited for shaders to be compiled, and since when they do now, by
   * `performance.now()`; see `start` in submission.ts.
   */
  readonly compiling: { seconds: number; since: number | null };
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

/** The same device with other members; whatever else is read where it is, such as a profile that is attached later. */
export const withMembers = (gpu: Gpu, members: Partial<Gpu>): Gpu =>
  Object.create(
    gpu,
    Object.fromEntries(
      Object.entries(members).map(([name, value]) => [name, { value, enumerable: true, writable: true }]),
    ),
  );

export interface DeviceOptions {
  /** Features to ask for where the adapter has them. */
  optional?: readonly GPUFeatureName[];
  /** PCI address of the adapter, where it is known. */
  pci?: string | null;
  /** See `Gpu`; closed with the device. */
  compiler?: Compiler | null;
  /** Waited for before the device goes. */
  beforeClose?: () => Promise<void>;
  /** Called when the device is gone. */
  onClose?: () => void;
}

/**
 * Opens a device on an adapter with every limit it offers and, where it has them, the `optional` features; the platform's
 * `openGpu` is the usual way here.
 * @throws noAdapter where shaders cannot be passed their numbers.
 */
export async function openDevice(
  platform: Platform,
  adapter: GPUAdapter,
  { optional = [], pci = null, compiler = null, beforeClose, onClose }: DeviceOptions = {},
): Promise<Gpu> {
  const device = await adapter.requestDevice(deviceDescriptor(adapter, optional));
  const summary = { ...summarizeAdapter(adapter.info), ...(pci !== null && { pci }) };
  const watch = watchDevice(device, platform);
  let closed = false;
  async function close(): Promise<void> {
    if (closed) return;
    closed = true;
    await beforeClose?.();
    await compiler?.close();
    await watch.destroy();
    onClose?.();
  }

  const info = adapter.info;
  const lanes =
    device.features.has('subgroups') && info.subgroupMinSize === info.subgroupMaxSize ? (info.subgroupMinSize ?? 0) : 0;
  return {
    platform,
    device,
    adapter: summary,
    limits: device.limits,
    features: device.features as ReadonlySet<string>,
    lanes,
    pool: createPool(device),
    pipelines: new Map(),
    compiler,
    choices: new Map(),
    tileBytes: DEFAULT_TILE_BYTES,
    rate: { flops: FIRST_RATE },
    compiling: { seconds: 0, since: null },
    sent: { last: null },
    profile: null,
    guard: (what, calls) =>
      // A GPU computes without the core that the event loop keeps busy, and a nap would only be noticed late.
      summary.type === 'software' ? platform.waitIdly(() => watch.checked(what, calls)) : watch.checked(what, calls),
    close,
    // A browser without the symbol has no `await using` that would look for it.
    [Symbol.asyncDispose ?? Symbol('asyncDispose')]: close,
  } as Gpu;
}

/** @throws noAdapter where shaders cannot be passed their numbers. */
export function deviceDescriptor(adapter: GPUAdapter, optional: readonly GPUFeatureName[] = []): GPUDeviceDescriptor {
  const wanted: GPUFeatureName[] = ['timestamp-query', 'subgroups', ...optional];
  return {
    requiredFeatures: wanted.filter((name) => adapter.features.has(name)),
    requiredLimits: limitsToRequest(adapter),
  };
}

function limitsToRequest(adapter: GPUAdapter): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = (adapter.limits as unknown as Record<string, unknown>)[name];
    if (typeof value === 'number') limits[name] = value;
  }
  const { maxImmediateSize: immediates = 0 } = limits;
  if (immediates < IMMEDIATE_BYTES) {
    throw new RfmError(
      'noAdapter',
      `the adapter passes ${immediates} bytes of immediates to a shader, expected ${IMMEDIATE_BYTES}; use a newer browser or driver, in Chromium --enable-unsafe-webgpu`,
    );
  }
  return { ...limits, maxImmediateSize: IMMEDIATE_BYTES };
}

interface DeviceWatch {
  /** See `Gpu.guard`. */
  checked<T>(what: string, calls: () => T | Promise<T>): Promise<T>;
  /** Destroys the device; what was lost by that is no error. */
  destroy(): Promise<void>;
}

/** Collects what a device says of itself: errors come later than the calls that made them, and in three ways. */
function watchDevice(device: GPUDevice, platform: Platform): DeviceWatch {
  let gone: RfmError | null = null;
  let firstError: RfmError | null = null;
  const lostPromise = device.lost.then((info) => {
    gone ??= new RfmError('deviceLost', `the GPU device was lost: ${oneLine(info.message || info.reason)}`);
  });
  device.addEventListener('uncapturederror', (event) => {
    // Dawn would print it; it is reported by the next guarded call instead, so that it stops the work.
    event.preventDefault();
    firstError ??= gpuError('an unguarded call', event.error);
  });

  async function checked<T>(what: string, calls: () => T | Promise<T>): Promise<T> {
    if (gone) throw gone;
    for (const filter of ['validation', 'out-of-memory', 'internal'] as const) device.pushErrorScope(filter);
    let result: T | undefined;
    let thrown: unknown;
    try {
      result = await calls();
    } catch (error) {
      thrown = error;
    }
    // The scopes answer within a few turns of the event loop, which would be naps of a millisecond each.
    platform.hurry();
    const errors = await Promise.all([device.popErrorScope(), device.popErrorScope(), device.popErrorScope()]).catch(
      () => [],
    );
    // A lost device makes calls fail in many ways; the loss is the cause to report.
    await Promise.race([lostPromise, platform.nextTurn()]);
    if (gone) throw gone;
    const error = errors.find((e) => e !== null);
    if (error) throw gpuError(what, error);
    if (firstError) throw firstError;
    if (thrown !== undefined) throw thrown;
    return result as T;
  }

  return {
    checked,
    async destroy() {
      gone ??= new RfmError('input', 'the device was closed; open another one for what is still to be done');
      device.destroy();
      await lostPromise;
    },
  };
}

function gpuError(what: string, error: GPUError): RfmError {
  const message = oneLine(error.message);
  // The class is no global where Dawn's bindings are in use.
  if (error.constructor.name === 'GPUOutOfMemoryError') {
    return new RfmError(
      'doesNotFit',
      `${what}: the device is out of memory (${message})`,
      say`use a smaller ${the.n} or ${the.width}`,
    );
  }
  return new RfmError('internal', `${what}: ${message}`);
}

const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, '; ');
