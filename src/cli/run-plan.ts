/** `run --plan`: what a run will hold on the device, how it will be computed, and for how long; nothing is run. */

import { inputError } from '../errors.js';
import { formatBytes, formatNumber, formatSeconds } from '../report/format.js';
import type { Rates } from '../rfm/estimate.js';
import type { DeviceLimits, PlanPhase, RunPlan } from '../rfm/plan.js';
import type { Gpu } from '../runtime/gpu.js';
import { withGpu } from './gpu-session.js';
import { optionsOf, type PlanRequest, type RunFlags } from './run-request.js';
import { type Terminal, tableLines } from './terminal.js';

/** A device that need not be here. */
interface KnownDevice {
  description: string;
  limits: DeviceLimits;
  /** Floating-point operations a second of products, as WebGPU kernels reach them; an assumption. */
  flops: number;
}

/** Largest storage binding of NVIDIA's Vulkan driver under Dawn; buffers may be nearly twice as large. */
const NVIDIA_BINDING = 2 ** 31 - 4;
const NVIDIA_BUFFER = 2 ** 32 - 4;

/** Recorded limits, and what is taken for granted of the device's memory: the driver and the display keep a tenth. */
export const KNOWN_DEVICES: Readonly<Record<string, KnownDevice>> = {
  h100: {
    description: 'NVIDIA H100, 80 GB',
    limits: nvidia(72e9),
    flops: 20e12,
  },
  'laptop-8gb': {
    description: 'a laptop GPU with 8 GB',
    limits: nvidia(7.2e9),
    flops: 4e12,
  },
};

/** Weights of cosine features that one core of a server draws in a second. */
const HOST_WEIGHTS = 2e7;

/** Seconds from a command to its result: layers of 1,000 rows took 90 ms on an H100, of which the device worked for 15 to 20. */
const HOST_TRIP = 4.5e-4;

function nvidia(memoryBytes: number): DeviceLimits {
  return {
    bindingBytes: NVIDIA_BINDING,
    bufferBytes: NVIDIA_BUFFER,
    tileBytes: 2 ** 26,
    memoryBytes,
    textureSide: null,
  };
}

/** Limits and rates of a device that need not be here, with the bounds that the flags set. */
export function deviceOf(
  name: string,
  { memoryLimit, tile }: Pick<RunFlags, 'memoryLimit' | 'tile'>,
): { description: string; limits: DeviceLimits; rates: Rates } {
  const { description, limits, flops } = KNOWN_DEVICES[name];
  const memoryBytes = memoryLimit ?? limits.memoryBytes;
  return {
    description,
    limits: { ...limits, memoryBytes, ...(tile !== undefined && { tileBytes: tile }) },
    rates: { product: flops, distance: flops, cholesky: flops / 2, weight: HOST_WEIGHTS, trip: HOST_TRIP },
  };
}

/** @throws input error for a name that is not known. */
export function knownDevice(flag: string): (value: string) => string {
  return (value) => {
    if (value in KNOWN_DEVICES) return value;
    const names = Object.keys(KNOWN_DEVICES).join(' or ');
    throw inputError(`${flag} ${value}: expected ${names}; for the adapter of this machine use --plan alone`);
  };
}

const METHODS: Readonly<Record<RunPlan['solve']['method'], string>> = {
  cholesky: 'Cholesky, the factor on the device',
  'cholesky-host': 'Cholesky, the factor in host memory and its tiles on the device while they are used',
  'conjugate-gradients': 'preconditioned conjugate gradients, the kernel matrix computed anew in every iteration',
};

/** How a run is computed, on one line. */
export function planLine(plan: RunPlan): string {
  const tiles = plan.grid.starts.length - 1;
  const landmarks = plan.solve.method === 'conjugate-gradients' ? ` (${plan.solve.landmarks} landmarks)` : '';
  return [
    tiles === 1 ? 'one tile' : `tiles of ${plan.grid.starts[1]} rows`,
    `${METHODS[plan.solve.method]}${landmarks}`,
    plan.keepDistances ? 'distances kept' : 'distances computed where they are needed',
    ...(plan.parkRows ? ['rows in host memory during the square root'] : []),
  ].join('; ');
}

const PHASES: Readonly<Record<PlanPhase, string>> = {
  rows: 'rows',
  solve: 'kernel and solve',
  predict: 'predictions',
  agop: 'AGOP',
  sqrt: 'square root',
  features: 'features',
};

/** Prints the plan for this machine's adapter, or for the device of --plan-for. */
export async function printPlan(
  request: PlanRequest,
  flags: RunFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  if (flags.planFor !== undefined) {
    const { description, limits, rates } = deviceOf(flags.planFor, flags);
    await show(request, limits, rates, `${description} (recorded limits, assumed rates)`, terminal);
    return;
  }
  const { describeAdapter, limitsOf, measureRates } = await import('./method.js');
  await withGpu({ ...flags, note: terminal.note }, signal, async (gpu: Gpu) => {
    if (flags.tile !== undefined) gpu.tileBytes = flags.tile;
    const rates = await measureRates(gpu, request.config.n);
    await show(request, limitsOf(gpu, flags.memoryLimit ?? null), rates, describeAdapter(gpu.adapter), terminal);
  });
}

async function show(
  request: PlanRequest,
  limits: DeviceLimits,
  rates: Rates,
  device: string,
  terminal: Terminal,
): Promise<void> {
  const { estimateLayers, PLAN_PHASES, planRun, sizeOf, totalOf } = await import('./method.js');
  const { config, d, classes } = request;
  const size = sizeOf(optionsOf(config), { n: config.n, testN: config.testN, d, outputs: classes });
  const plan = planRun(size, limits);
  const layers = estimateLayers(size, config.depth, plan, rates);
  const seconds = totalOf(layers, config.depth).total;
  const memory = limits.memoryBytes === null ? 'unknown, not bounded' : formatBytes(limits.memoryBytes);
  terminal.print(`device    ${device}`);
  terminal.print(
    `memory    ${formatBytes(plan.peakBytes)} at the peak, of ${memory}; bindings up to ${formatBytes(limits.bindingBytes)}`,
  );
  terminal.print(`method    ${planLine(plan)}`);
  const gram = plan.gram ? 'in Gram space where little cancels, else from Jacobians' : 'from Jacobians';
  const samples = size.agopSamples === null ? 'all rows' : `${size.agopSamples} of ${size.n} rows`;
  terminal.print(`AGOP      ${size.agop === 'gram' ? 'in Gram space' : gram}; ${samples}`);
  terminal.print('');
  const phaseNames = PLAN_PHASES.map((phase) => PHASES[phase]);
  const cells = (bytes: number, phases: readonly PlanPhase[]): string[] =>
    PLAN_PHASES.map((phase) => (phases.includes(phase) ? formatBytes(bytes) : '–'));
  const rows = plan.items.map(({ name, bytes, phases }) => [name, ...cells(bytes, phases)]);
  const sums = ['sum', ...PLAN_PHASES.map((phase) => formatBytes(plan.phases[phase]))];
  for (const line of tableLines(['held on the device', ...phaseNames], [...rows, sums])) terminal.print(line);
  terminal.print('');
  layers.forEach(({ features, operations, seconds: phases, trips, total }, i) => {
    const which = i === 0 ? 'layer 1' : config.depth === 2 ? 'layer 2' : `layers 2 to ${config.depth}, each`;
    const parts = [...Object.entries(phases), ['round trips', trips] as const].map(
      ([phase, value]) => `${phase} ${formatSeconds(value)}`,
    );
    terminal.print(
      `${which}: ${features} features, ${formatNumber(operations / 1e9)} billion operations, about ${formatSeconds(total)} (${parts.join(', ')})`,
    );
  });
  if (config.depth > 1) terminal.print(`all ${config.depth} layers: about ${formatSeconds(seconds)}`);
  terminal.document({
    schema: 'deep-rfm/plan/1',
    device,
    limits,
    size,
    solve: plan.solve,
    agop: { gram: plan.gram, samples: size.agopSamples ?? size.n },
    tiles: { rows: plan.grid.starts[1], count: plan.grid.starts.length - 1, bytes: plan.tileBytes },
    keepDistances: plan.keepDistances,
    parkRows: plan.parkRows,
    items: plan.items,
    phases: plan.phases,
    memory: { predictedBytes: plan.peakBytes, limitBytes: limits.memoryBytes },
    rates,
    layers,
    seconds,
  });
}
