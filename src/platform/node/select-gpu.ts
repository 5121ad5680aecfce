/**
 * Selects one adapter of several for Dawn, which knows names only: by variables that Vulkan's loader and Mesa's device-select
 * layer read when the instance is made.
 */

import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { adapterChoice, adapterKind, driverEnv, userSetVulkan } from '../../../scripts/adapter-env.mjs';
import { inputError, RfmError } from '../../errors.js';
import { type AdapterChoice, describeAdapter, summarizeAdapter } from '../../runtime/adapter.js';
import { allottedGpu } from './allotted-gpu.js';
import { preloadLoader } from './driver.js';
import {
  describeGpu,
  type Machine,
  makerOf,
  pciAddress,
  type SelectableGpu,
  selectableGpus,
  thisMachine,
} from './gpus.js';

/** The adapter that is to be opened. */
export interface GpuChoice {
  readonly gpu: SelectableGpu;
  /** Who asks for it: `--gpu 1`, `CUDA_VISIBLE_DEVICES=1`. */
  readonly source: string;
  /** Whether anything else is an error; else it is worth a warning. */
  readonly explicit: boolean;
}

/** What the selection is made from. */
export interface GpuRequest {
  /** The value of `--gpu`; without it that of DEEP_RFM_GPU counts, and then what a scheduler set. */
  gpu?: string | undefined;
  adapter?: AdapterChoice;
  /** Receives warnings. */
  note?: (line: string) => void;
}

/** Mesa's variables. The layer looks at the first before DRI_PRIME. */
const LAYER = ['MESA_VK_DEVICE_SELECT', 'DRI_PRIME', 'MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE'] as const;

const EXPECTED = 'expected a number that `deep-rfm doctor` gives an adapter, or a PCI address';

/**
 * A value of `--gpu`, checked: a number, or a PCI address as `0000:65:00.0`.
 * @throws input error where it is neither.
 */
export function gpuName(flag: string, value: string): string {
  if (/^\d{1,4}$/.test(value)) return String(Number(value));
  const address = pciAddress(value);
  if (address !== null) return address;
  throw inputError(
    `${flag} ${JSON.stringify(value).slice(0, 60)}: ${EXPECTED}; use for example ${flag} pci-0000:65:00.0`,
  );
}

/**
 * Which adapter is asked for, by `--gpu`, by DEEP_RFM_GPU or by a scheduler; null where none is.
 * @throws noAdapter where `--gpu` or DEEP_RFM_GPU names none that is there; input error where DEEP_RFM_GPU is no name of one.
 */
export function gpuChoice(
  { gpu, adapter, note = () => {} }: GpuRequest,
  machine: Machine = thisMachine(),
): GpuChoice | null {
  const { env } = machine;
  const [source, name] =
    gpu !== undefined
      ? [`--gpu ${gpu}`, gpuName('--gpu', gpu)]
      : env.DEEP_RFM_GPU
        ? [`DEEP_RFM_GPU=${env.DEEP_RFM_GPU}`, gpuName('DEEP_RFM_GPU', env.DEEP_RFM_GPU)]
        : [null, null];
  const gpus = selectableGpus(machine);
  if (name !== null) {
    const found = gpus.find(({ number, pci }) => String(number) === name || pci === name);
    if (found) return { gpu: found, source, explicit: true };
    if (machine.platform !== 'linux') {
      throw new RfmError('noAdapter', `${source}: adapters can be selected on Linux only`, 'leave it out');
    }
    const there = gpus.map(describeGpu).join('; ') || 'none';
    throw new RfmError('noAdapter', `${source}: no such adapter, found ${there}`, '`deep-rfm doctor` tells more');
  }
  if (adapter === 'software' || !['auto', 'hardware'].includes(adapterChoice(env))) return null;
  // Who selects by Mesa's variables has chosen.
  if (machine.platform !== 'linux' || LAYER.some((variable) => env[variable])) return null;
  if (userSetVulkan(env) && !gpus.some(({ kind }) => kind === 'hardware')) return null;
  const allotted = allottedGpu(env, gpus);
  if (allotted?.remark)
    note(`warning: ${allotted.remark}${allotted.gpu ? '' : '; the adapter is the first that is found'}`);
  return allotted?.gpu ? { gpu: allotted.gpu, source: allotted.source, explicit: false } : null;
}

/** Other GPUs that the same drivers show, and Dawn cannot tell apart from this one. */
const beside = (gpu: SelectableGpu, gpus: readonly SelectableGpu[]): SelectableGpu[] =>
  gpus.filter((other) => other.pci !== null && other !== gpu && other.driver.icds?.join() === gpu.driver.icds?.join());

/** The variables that select an adapter; undefined: not set. */
export function selectionEnv(
  { gpu, explicit }: GpuChoice,
  gpus: readonly SelectableGpu[],
  env: NodeJS.ProcessEnv,
): Record<string, string | undefined> {
  // With one GPU there is nothing to select, and what setup found for it holds.
  const only = gpus.filter(({ kind }) => kind === 'hardware').length === 1;
  if (gpu.kind === 'hardware' && !explicit && only) return {};
  const set: Record<string, string | undefined> = driverEnv(gpu.driver, env);
  if (!gpu.driver.libraryDir) delete set.LD_LIBRARY_PATH;
  for (const name of LAYER) set[name] = undefined;
  if (gpu.pci !== null && beside(gpu, gpus).length > 0) {
    set.DRI_PRIME = `pci-${gpu.pci.replace(/[:.]/g, '_')}`;
    set.MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE = '1';
  }
  return set;
}

/** What selections of this process changed, with the values of before. */
const before = new Map<string, string | undefined>();

function assign(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}

/** Takes back what the last selection set. */
function unselect(): void {
  for (const [name, value] of before) assign(name, value);
  before.clear();
}

/**
 * Sets what selects the adapter that is asked for, before an instance is made. Where nothing is asked for, what an earlier
 * selection of this process set is taken back.
 * @returns what is to be opened, for `checkGpu`; null where it is left to Dawn.
 * @throws noAdapter where `--gpu` or DEEP_RFM_GPU asks for what cannot be selected.
 */
export async function selectGpu(request: GpuRequest): Promise<GpuChoice | null> {
  // A worker thread has a copy of the environment that no driver reads: what the main thread selected holds.
  if (isMainThread) unselect();
  const machine = thisMachine();
  const choice = gpuChoice(request, machine);
  if (choice === null) return null;
  const gpus = selectableGpus(machine);
  const set = selectionEnv(choice, gpus, process.env);
  const names = Object.keys(set).filter((name) => process.env[name] !== set[name]);
  const problem =
    names.some((name) => name !== 'LD_LIBRARY_PATH' && name !== 'DEEP_RFM_DRIVER') && !isMainThread
      ? 'a worker thread cannot select an adapter; open one in the main thread first, or set the variables of docs/adapters.md'
      : set.DRI_PRIME === undefined
        ? null
        : await layerProblem(choice.gpu, { ...process.env, ...set });
  if (problem !== null) {
    const others = beside(choice.gpu, gpus).length;
    if (choice.explicit) throw new RfmError('noAdapter', `${choice.source}: ${problem}`);
    request.note?.(`warning: ${choice.source}: the GPU could not be selected among ${others + 1}: ${problem}`);
    return null;
  }
  for (const name of names) {
    before.set(name, process.env[name]);
    assign(name, set[name]);
  }
  // The dynamic linker has read LD_LIBRARY_PATH by now.
  if (choice.gpu.driver.libraryDir) preloadLoader(choice.gpu.driver.libraryDir);
  return choice;
}

/** Makes an instance and asks for an adapter, for what the layer says about that. */
const ASK = 'const { create } = await import(process.argv[1]); const gpu = create([]); await gpu.requestAdapter();';

/** Milliseconds; a driver that has to wake eight GPUs takes seconds. */
const PATIENCE = 60_000;

/** Why Mesa's layer does not select the GPU with these variables; null where it does. The layer tells it to a child. */
export function layerProblem({ pci }: SelectableGpu, env: NodeJS.ProcessEnv): Promise<string | null> {
  const webgpu = pathToFileURL(createRequire(import.meta.url).resolve('webgpu')).href;
  const args = ['--input-type=module', '-e', ASK, webgpu];
  const options = { env: { ...env, DRI_PRIME_DEBUG: '1' }, timeout: PATIENCE, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(process.execPath, args, options, (_error, _stdout, words) => resolve(whyNot(words, pci ?? '')));
  });
}

/**
 * What the layer's words mean, where the GPU at this address was asked for.
 * Mesa 22.3 has the layer and selects any GPU but the one that is named, and says nothing: so only one that says what it
 * selects is trusted.
 */
export function whyNot(words: string, pci: string): string | null {
  const listed = [...words.matchAll(/^ {2}GPU (\d+): .* ([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/gm)];
  const selected = /device_select_find_dri_prime_tag_default selected (\d+)/.exec(words)?.[1];
  if (!/^selectable devices:/m.test(words)) {
    return (
      "equal GPUs are told apart by Mesa's device-select layer for Vulkan, which is not there or too old to be relied on; " +
      'install mesa-vulkan-drivers 25 or newer, or let the process open one GPU only (ConstrainDevices in Slurm, a container)'
    );
  }
  const address = listed.find(([, number]) => number === selected)?.[2];
  if (address === pci) return null;
  const shown = [...new Set(listed.map(([, , at]) => at))].join(', ') || 'none with an address';
  return `Vulkan shows GPUs at ${shown}, and not this one; \`deep-rfm doctor\` tells more`;
}

/**
 * Whether Dawn's adapter is the one that was to be selected, as far as it tells: by driver, and by maker.
 * @throws noAdapter where it is another one and was asked for by `--gpu` or DEEP_RFM_GPU.
 * @returns its PCI address; null for a software adapter, and where it is not known.
 */
export function checkGpu(choice: GpuChoice | null, info: GPUAdapterInfo, note: (line: string) => void): string | null {
  if (choice === null) {
    const gpus = selectableGpus().filter(({ kind }) => kind === 'hardware');
    return gpus.length === 1 && fits(gpus[0], info) ? gpus[0].pci : null;
  }
  if (fits(choice.gpu, info)) return choice.gpu.pci;
  const problem = `${choice.source}: this is ${describeGpu(choice.gpu)}, and Dawn opened ${describeAdapter(summarizeAdapter(info))}`;
  if (choice.explicit) throw new RfmError('noAdapter', problem, '`deep-rfm doctor` tells which adapters work');
  note(`warning: ${problem}`);
  return null;
}

/** Whether what Dawn says of an adapter could be said of this one: driver and maker, which equal GPUs share. */
export function fits(
  { kind, id }: SelectableGpu,
  info: Pick<GPUAdapterInfo, 'vendor' | 'architecture' | 'description'>,
): boolean {
  const maker = id === null ? '' : makerOf(id);
  return kind === adapterKind(info) && (maker === '' || info.vendor === '' || maker === info.vendor);
}
