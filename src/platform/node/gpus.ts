/**
 * The adapters of this machine, as they can be told apart below Vulkan: GPUs by PCI address, software adapters by driver.
 * Dawn selects by name alone, which equal GPUs share.
 */

import { accessSync, closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  adapterChoice,
  carriedSwiftshader,
  type Driver,
  installedSwiftshader,
  isLavapipeIcd,
  isSoftwareIcd,
  systemIcds,
  userSetVulkan,
  withoutDriver,
} from '../../../scripts/adapter-env.mjs';

/** An adapter that can be selected. */
export interface SelectableGpu {
  /** What `--gpu N` calls it: GPUs in the order of their PCI addresses, then software adapters. */
  number: number;
  kind: 'hardware' | 'lavapipe' | 'swiftshader';
  /** Address of a GPU, `0000:65:00.0`; null for a software adapter. */
  pci: string | null;
  /** Of a GPU, four hexadecimal digits each as in `10de:2330`: its maker and its model. */
  id: string | null;
  /** N of /dev/nvidiaN, which Slurm counts by. */
  minor: number | null;
  /** NVIDIA's name of it, `GPU-…`. */
  uuid: string | null;
  /** Place among all GPUs of the machine, those that this process may not open counted in. */
  place: number;
  /** Manifests of its Vulkan drivers. */
  driver: Driver;
}

/** Makers of GPUs by PCI id: how their drivers' manifests are named, and what Dawn calls them. */
const MAKERS: Readonly<Record<string, { icd: RegExp; dawn: string }>> = {
  '10de': { icd: /nvidia|nouveau/i, dawn: 'nvidia' },
  '1002': { icd: /radeon|amd/i, dawn: 'amd' },
  '8086': { icd: /intel/i, dawn: 'intel' },
  '1af4': { icd: /virtio|gfxstream/i, dawn: '' },
};

/** What Dawn calls the maker of a GPU with this `id`; '' where that is not known. */
export const makerOf = (id: string): string => MAKERS[id.slice(0, 4)]?.dawn ?? '';

/** Classes of PCI devices: displays, and processing accelerators, as AMD's Instinct from MI300 on. */
const CLASSES = /^0x(03|12)/;

/** Where the system tells of its devices; other folders in tests. */
export interface Machine {
  env: NodeJS.ProcessEnv;
  platform: NodeJS.Platform;
  /** Folder that /sys, /proc and /dev are taken from. */
  root: string;
  /** Manifests of the drivers that are installed. */
  icds: readonly string[];
  /** SwiftShader, where it is there. */
  swiftshader: Driver | null;
}

/** This machine. */
export function thisMachine(env: NodeJS.ProcessEnv = process.env): Machine {
  const linux = process.platform === 'linux';
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES } = withoutDriver(env);
  const mine = userSetVulkan(env) ? (VK_DRIVER_FILES || VK_ICD_FILENAMES || '').split(':').filter(Boolean) : null;
  return {
    env,
    platform: process.platform,
    root: '/',
    icds: mine ?? (linux ? [...systemIcds(env), ...selectedIcds(env)] : []),
    swiftshader: linux && mine === null ? (carriedSwiftshader(env) ?? installedSwiftshader()) : null,
  };
}

/** Manifests that setup or a bundle found for a driver that has none among the system's, as NVIDIA's in containers. */
function selectedIcds(env: NodeJS.ProcessEnv): string[] {
  const known = systemIcds(env);
  const selected = env.DEEP_RFM_DRIVER ? ((JSON.parse(env.DEEP_RFM_DRIVER) as Driver).icds ?? []) : [];
  return selected.filter((icd) => !known.includes(icd) && !isSoftwareIcd(icd));
}

const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
};

const namesIn = (folder: string): string[] => {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
};

/** Whether this process may open a device file: a container lacks those of others, and Slurm's cgroup refuses them. */
function mayOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    return true;
  } catch (error) {
    // A device that is busy or asleep is there all the same.
    return !['ENOENT', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}

/** What NVIDIA's kernel module says of a GPU; null where another module or none drives it. */
function nvidiaFacts(root: string, pci: string): { minor: number; uuid: string | null } | null {
  const text = textOf(join(root, 'proc/driver/nvidia/gpus', pci, 'information'));
  const minor = /^Device Minor:\s*(\d+)/m.exec(text)?.[1];
  return minor === undefined ? null : { minor: Number(minor), uuid: /^GPU UUID:\s*(GPU-\S+)/m.exec(text)?.[1] ?? null };
}

/** A GPU of the machine before it is known whether it can be selected. */
interface FoundGpu extends Omit<SelectableGpu, 'number'> {
  /** Device file that computing needs; null where no kernel module has made one. */
  file: string | null;
}

function pciGpus({ root, icds }: Machine): FoundGpu[] {
  const devices = join(root, 'sys/bus/pci/devices');
  const found: FoundGpu[] = [];
  for (const pci of namesIn(devices)) {
    const folder = join(devices, pci);
    if (!CLASSES.test(textOf(join(folder, 'class')))) continue;
    const digits = (name: string): string => textOf(join(folder, name)).replace(/^0x/, '');
    const maker = digits('vendor');
    const drivers = icds.filter((icd) => MAKERS[maker]?.icd.test(basename(icd)));
    // The console of a server's controller, for one, has no Vulkan driver.
    if (drivers.length === 0) continue;
    const nvidia = nvidiaFacts(root, pci);
    const node = namesIn(join(folder, 'drm')).find((name) => name.startsWith('renderD'));
    const file = nvidia
      ? join(root, `dev/nvidia${nvidia.minor}`)
      : node === undefined
        ? null
        : join(root, 'dev/dri', node);
    found.push({
      kind: 'hardware',
      pci,
      id: `${maker}:${digits('device')}`,
      minor: nvidia?.minor ?? null,
      uuid: nvidia?.uuid ?? null,
      place: found.length,
      driver: { icds: drivers },
      file,
    });
  }
  return found;
}

/**
 * The adapters that can be selected here, numbered: GPUs that this process may open, in the order of their PCI addresses,
 * then lavapipe and SwiftShader. Of systems other than Linux nothing is known. DEEP_RFM_ADAPTER leaves only its own, with
 * the numbers they have without it.
 */
export function selectableGpus(machine: Machine = thisMachine()): SelectableGpu[] {
  const { env, platform, icds, swiftshader } = machine;
  if (platform !== 'linux') return [];
  const gpus: Omit<SelectableGpu, 'number'>[] = pciGpus(machine)
    .filter(({ file }) => file !== null && mayOpen(file))
    .map(({ file, ...gpu }) => gpu);
  const software = (kind: 'lavapipe' | 'swiftshader', driver: Driver): void => {
    gpus.push({ kind, pci: null, id: null, minor: null, uuid: null, place: gpus.length, driver });
  };
  const lavapipe = icds.filter(isLavapipeIcd);
  if (lavapipe.length > 0) software('lavapipe', { icds: lavapipe });
  const theirs = icds.filter((icd) => isSoftwareIcd(icd) && !isLavapipeIcd(icd));
  if (swiftshader) software('swiftshader', swiftshader);
  else if (theirs.length > 0) software('swiftshader', { icds: theirs });
  const choice = adapterChoice(env);
  return gpus.map((gpu, number) => ({ ...gpu, number })).filter(({ kind }) => choice === 'auto' || choice === kind);
}

/** One adapter for people: `GPU 1 at 0000:65:00.0 (10de:2330)`, `adapter 0, lavapipe`. */
export const describeGpu = ({ number, kind, pci, id }: SelectableGpu): string =>
  kind === 'hardware'
    ? `GPU ${number} at ${pci} (${id})`
    : `adapter ${number}, ${kind === 'lavapipe' ? 'lavapipe' : 'SwiftShader'}`;

const ADDRESS = /^(?:pci-)?(?:([0-9a-f]{1,8})[:_])?([0-9a-f]{1,2})[:_]([0-9a-f]{1,2})[._]([0-7])$/i;

/** `pci-0000_65_00_0`, `pci-0000:65:00.0` or `65:00.0` as `0000:65:00.0`; null where it is no PCI address. */
export function pciAddress(text: string): string | null {
  const [whole, domain = '0', bus, device, part] = ADDRESS.exec(text) ?? [];
  if (whole === undefined) return null;
  // NVIDIA's tools write the domain with eight digits, the system with four.
  const wide = Number.parseInt(domain, 16).toString(16).padStart(4, '0');
  return `${wide}:${bus.padStart(2, '0')}:${device.padStart(2, '0')}.${part}`.toLowerCase();
}
