/** Which GPU a scheduler gave to this process. Vulkan looks at none of the variables that say so. */

import { pciAddress, type SelectableGpu } from './gpus.js';

/** What the environment says: one adapter, or why none can be told by it. */
export interface Allotted {
  /** The variable and its value. */
  source: string;
  /** null where the choice cannot be made. */
  gpu: SelectableGpu | null;
  /** What is to be said about it; null: nothing. */
  remark: string | null;
}

/** In this order: CUDA's is each process's own, Slurm's that of the step, then of the job. */
const VARIABLES = ['CUDA_VISIBLE_DEVICES', 'SLURM_STEP_GPUS', 'SLURM_JOB_GPUS'] as const;

/** What stands for no GPU at all: CUDA's -1, and the word that Slurm sets. */
const NONE = new Set(['', '-1', 'NoDevFiles', 'none', 'void']);

/**
 * The adapter that CUDA_VISIBLE_DEVICES, SLURM_STEP_GPUS or SLURM_JOB_GPUS gives to this process, the first of a list; null
 * where none of them is set, or where there is no GPU that they could be about.
 * @param gpus the adapters that can be selected.
 */
export function allottedGpu(env: NodeJS.ProcessEnv, gpus: readonly SelectableGpu[]): Allotted | null {
  const variable = VARIABLES.find((name) => env[name] !== undefined);
  if (variable === undefined) return null;
  const value = (env[variable] ?? '').trim();
  const source = `${variable}=${value}`;
  const hardware = gpus.filter(({ kind }) => kind === 'hardware');
  const [first, ...others] = value.split(',').map((token) => token.trim());
  if (NONE.has(first)) return withoutGpu(source, gpus);
  if (hardware.length === 0) {
    return { source, gpu: null, remark: `${source} names a GPU, and no GPU with a Vulkan driver is there` };
  }
  if (/^MIG-/i.test(first)) {
    return { source, gpu: null, remark: `${source} names a part of a GPU, which Vulkan cannot select` };
  }
  const { gpu, doubt } = named(variable, first, hardware, env);
  if (gpu === null) {
    const there = hardware.map(({ number, pci }) => `${number} (${pci})`).join(', ');
    return { source, gpu, remark: `${source}: found no such GPU, only ${there}` };
  }
  const one = others.length > 0 ? `${source} names ${others.length + 1} GPUs, and one run uses one: the first` : null;
  return { source, gpu, remark: [one, doubt].filter(Boolean).join('; ') || null };
}

/** No GPU was allotted: a software adapter, since those that are there belong to others. */
function withoutGpu(source: string, gpus: readonly SelectableGpu[]): Allotted | null {
  if (!gpus.some(({ kind }) => kind === 'hardware')) return null;
  const software = gpus.find(({ kind }) => kind !== 'hardware') ?? null;
  return {
    source,
    gpu: software,
    remark: `${source} allots no GPU${software ? ', so that a software adapter computes' : ', and no software adapter is there'}`,
  };
}

/** The GPU that one entry of the variable means. */
function named(
  variable: (typeof VARIABLES)[number],
  token: string,
  hardware: readonly SelectableGpu[],
  env: NodeJS.ProcessEnv,
): { gpu: SelectableGpu | null; doubt: string | null } {
  const found = (gpu: SelectableGpu | undefined, doubt: string | null = null) => ({ gpu: gpu ?? null, doubt });
  const address = pciAddress(token);
  if (address !== null) return found(hardware.find(({ pci }) => pci === address));
  if (/^GPU-/i.test(token)) {
    // A beginning that only one GPU has will do for CUDA.
    const alike = hardware.filter(({ uuid }) => uuid?.toLowerCase().startsWith(token.toLowerCase()));
    return found(alike.length === 1 ? alike[0] : undefined);
  }
  const index = /^(\d+)(?:-\d+)?$/.exec(token)?.[1];
  if (index === undefined) return found(undefined);
  const at = Number(index);
  if (variable !== 'CUDA_VISIBLE_DEVICES') {
    // Slurm counts device files of the machine, whether this process may open them or not.
    const files = hardware.some(({ minor }) => minor !== null);
    return found(hardware.find(({ minor, place }) => (files ? minor === at : place === at)));
  }
  // CUDA counts what this process may open.
  const nvidia = hardware.filter(({ id }) => id?.startsWith('10de'));
  const counted = nvidia.length > 0 ? nvidia : hardware;
  const differ = new Set(counted.map(({ id }) => id)).size > 1 && env.CUDA_DEVICE_ORDER !== 'PCI_BUS_ID';
  return found(
    counted[at],
    differ
      ? `the GPUs differ, and ${token} is counted by PCI address, as CUDA does with CUDA_DEVICE_ORDER=PCI_BUS_ID`
      : null,
  );
}
