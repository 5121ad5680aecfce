import { constants } from 'node:os';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { adapterChoice, launchEnv } from '../../../scripts/adapter-env.mjs';
import { RfmError } from '../../errors.js';

/** glibc's dlopen keeps what was loaded with it, also where Node finds no addon in it. */
const RTLD_NODELETE = 0x1000;

/**
 * Selects the driver for a program that was not started by the command line's launcher, which has done the same before: the
 * variables that Vulkan's loader and drivers read, where they are not set. `openGpu` calls it. A program whose worker threads
 * open devices calls it before it starts them: their `process.env` is a copy, and what they set reaches no driver.
 * @throws `RfmError` of kind 'noAdapter' where DEEP_RFM_ADAPTER asks for a driver that is not installed, or that a worker
 * thread cannot select.
 */
export function selectDriver(): void {
  const { set, problem } = launchEnv();
  if (problem) throw new RfmError('noAdapter', problem);
  const { LD_LIBRARY_PATH: libraries, ...variables } = set;
  // What the main thread selected lies in the copy that a worker thread has.
  const selected = process.env.VK_DRIVER_FILES === variables.VK_DRIVER_FILES;
  if (!isMainThread && variables.VK_DRIVER_FILES && !selected && adapterChoice() !== 'auto') {
    throw new RfmError(
      'noAdapter',
      `DEEP_RFM_ADAPTER=${adapterChoice()}: a worker thread cannot select a driver; call selectDriver() before you start it`,
    );
  }
  for (const [name, value] of Object.entries(variables)) process.env[name] ??= value;
  // The dynamic linker has read LD_LIBRARY_PATH by now, so a loader that lies beside its driver is loaded here.
  const [folder] = libraries?.split(':') ?? [];
  if (folder) preloadLoader(folder);
}

/** Loads the Vulkan loader that lies in this folder, for Dawn to find it loaded. */
export function preloadLoader(folder: string): void {
  try {
    process.dlopen({ exports: {} }, join(folder, 'libvulkan.so.1'), constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch {
    // "Module did not self-register", as it is no addon; if it was not loaded, Dawn finds no adapter and says so.
  }
}
