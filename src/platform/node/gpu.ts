import { accessSync, constants, mkdirSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { join } from 'node:path';
import { SETUP } from '../../../scripts/adapter-env.mjs';
import { RfmError } from '../../errors.js';
import { isLavapipe } from '../../runtime/adapter.js';
import { createCompiler } from '../../runtime/compile-ahead.js';
import { type Compiler, deviceDescriptor, type Gpu, openDevice } from '../../runtime/gpu.js';
import { mixedFeatures, type OpenOptions, requestAdapter } from '../request-adapter.js';
import { selectDriver } from './driver.js';
import { checkGpu, selectGpu } from './select-gpu.js';
import { nodePlatform } from './system.js';

/** Dawn's switches with which shader-f16 shows on NVIDIA's driver, and subgroup matrices anywhere. */
export const MIXED_TOGGLES = ['vulkan_enable_f16_on_nvidia', 'allow_unsafe_apis'];

/**
 * Dawn ends the process when an instance is collected while one of its devices lives, so every
 * instance stays referenced here until its device is gone.
 */
const liveInstances = new Set<GPU>();

/**
 * `toggles` are Dawn's names of switches to turn on.
 * @throws noAdapter where Dawn's bindings are not installed or do not load, or a driver that was asked for is not there.
 */
export async function createInstance(toggles: readonly string[] = []): Promise<GPU> {
  selectDriver();
  makeShaderCache();
  const { create } = await import('webgpu').catch((error: Error) => {
    throw new RfmError('noAdapter', `the package webgpu does not load: ${error.message}; install it with npm`);
  });
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

/** Whether Mesa will keep what it compiles: as far as its folder, or the one in which it makes its own, can be written to. */
function hasShaderCache(): boolean {
  const { MESA_SHADER_CACHE_DISABLE: disabled = '', MESA_SHADER_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  if (/^(1|true|yes)$/i.test(disabled)) return false;
  const dir = MESA_SHADER_CACHE_DIR ?? XDG_CACHE_HOME ?? join(homedir(), '.cache');
  try {
    mkdirSync(dir, { recursive: true });
    accessSync(dir, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export function releaseInstance(instance: GPU): void {
  liveInstances.delete(instance);
}

/** A device on an adapter of this instance, which is released when the device is closed; `pci` is its address, where known. */
export const openAdapter = (
  instance: GPU,
  adapter: GPUAdapter,
  optional: readonly GPUFeatureName[] = [],
  pci: string | null = null,
): Promise<Gpu> =>
  openDevice(nodePlatform, adapter, {
    optional,
    pci,
    compiler: compilerFor(instance, adapter, optional),
    // Closed in the turn of the event loop in which it was opened, a device ends one process in six when that ends.
    beforeClose: () => new Promise((resolve) => setImmediate(resolve)),
    onClose: () => releaseInstance(instance),
  });

/**
 * lavapipe compiles on one core, and what one device has compiled the others of the process find in Mesa's shader cache:
 * without a cache a kernel would be compiled twice. Other drivers compile in threads of their own, or for each device anew.
 */
function compilerFor(instance: GPU, { info }: GPUAdapter, optional: readonly GPUFeatureName[]): Compiler | null {
  if (!isLavapipe(info) || availableParallelism() === 1 || !hasShaderCache()) return null;
  return createCompiler(async () => {
    const adapter = await instance.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter || adapter.info.device !== info.device) throw new RfmError('noAdapter', 'no second device');
    return adapter.requestDevice(deviceDescriptor(adapter, optional));
  });
}

const noAdapterHelp = (): string =>
  process.env.DEEP_RFM_BUNDLE
    ? 'README.txt says which Vulkan driver the machine must have; `./deep-rfm doctor` tells more'
    : `run \`${SETUP}\` to install a software one, or a Vulkan driver for your GPU; \`deep-rfm doctor\` tells more`;

/** What a program in Node asks for when it opens a device. */
export interface NodeOpenOptions extends OpenOptions {
  /**
   * One adapter of several, on Linux: the number that `deep-rfm doctor` gives it, or a PCI address, as `--gpu` takes them.
   * Without it DEEP_RFM_GPU counts, and then CUDA_VISIBLE_DEVICES, SLURM_STEP_GPUS or SLURM_JOB_GPUS.
   */
  gpu?: string | undefined;
  /** Receives a warning where what a scheduler allotted could not be selected. Default: nobody. */
  note?: (line: string) => void;
}

/**
 * Opens the best adapter: hardware first, a software one if it is all there is. Every limit it offers is requested, and the
 * features the kernels can use. Close it at the end, by `await using` or `close()`: a process that ends by itself with an
 * open device crashes.
 *
 * On Linux DEEP_RFM_ADAPTER (auto, hardware, lavapipe, swiftshader) selects the driver, as on the command line, and `gpu` or
 * DEEP_RFM_GPU one adapter of several.
 *
 * The main thread and worker threads can each open devices and compute at the same time; a device and its matrices stay in
 * their thread. Close the device before the thread ends or is terminated: Dawn ends the process where an instance is
 * collected while its device lives. Where DEEP_RFM_ADAPTER is set, call `selectDriver` before you start the workers.
 * @throws `RfmError` of kind 'noAdapter' where there is none of the type asked for.
 */
export async function openGpu(options: NodeOpenOptions = {}): Promise<Gpu> {
  const { adapter: type = 'auto', mixedPrecision = false, gpu, note = () => {} } = options;
  const choice = await selectGpu({ gpu, adapter: type, note });
  const instance = await createInstance(mixedPrecision ? MIXED_TOGGLES : []);
  try {
    const adapter = await requestAdapter(instance, type, noAdapterHelp());
    const pci = checkGpu(choice, adapter.info, note);
    return await openAdapter(instance, adapter, mixedPrecision ? mixedFeatures(adapter) : [], pci);
  } catch (error) {
    releaseInstance(instance);
    throw error;
  }
}
