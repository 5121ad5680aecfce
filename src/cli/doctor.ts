import type { Command } from 'commander';
import { SETUP, systemIcds } from '../../scripts/adapter-env.mjs';
import { RfmError } from '../errors.js';
import type { SelectableGpu } from '../platform/node/gpus.js';
import type { GpuChoice } from '../platform/node/select-gpu.js';
import { formatBytes, formatSeconds } from '../report/format.js';
import { type AdapterSummary, describeAdapter, summarizeAdapter } from '../runtime/adapter.js';
import type { Check } from './doctor-check.js';
import type { OptionalFeature, OptionalFeatures } from './doctor-features.js';
import { type CommonFlags, commonOptions, gpuOption } from './flags.js';
import { messageOf } from './messages.js';
import { scientific, type Terminal, terminalFor } from './terminal.js';
import { VERSION, webgpuVersion } from './version.js';

/** Limits that decide what fits. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
] as const;

interface AdapterReport extends AdapterSummary {
  /** What `--gpu` calls it; null where it cannot be selected. */
  gpu: number | null;
  limits: Record<(typeof LIMITS)[number], number>;
  subgroups: { min: number; max: number } | null;
  features: string[];
  optional: OptionalFeatures;
  check: Check;
}

interface DoctorReport {
  schema: 'deep-rfm/doctor/1';
  ok: boolean;
  versions: { deepRfm: string; node: string; webgpu: string; platform: string };
  drivers: { variables: Record<string, string | null>; found: string[] };
  adapters: AdapterReport[];
  /** Which of them a command takes that is given no `--gpu`, and who says so; null: the first that Dawn finds. */
  selected: { gpu: number; source: string } | null;
  advice: string[];
}

const VARIABLES = [
  'VK_DRIVER_FILES',
  'VK_ICD_FILENAMES',
  'LD_LIBRARY_PATH',
  'DEEP_RFM_ADAPTER',
  'DEEP_RFM_GPU',
  'CUDA_VISIBLE_DEVICES',
  'SLURM_STEP_GPUS',
  'SLURM_JOB_GPUS',
  'DRI_PRIME',
  'MESA_VK_DEVICE_SELECT',
];

interface DoctorFlags extends CommonFlags {
  gpu?: string;
}

/** `deep-rfm doctor`: which adapters there are, and whether a kernel computes the right thing on each. */
export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .summary('list the adapters and run a kernel on each')
    .description(
      'Lists every adapter, hardware and software, with its number for --gpu, its PCI address where it has one and its ' +
        "limits, and multiplies two matrices on each with the program's own kernel. Exit code 3 if none computes the " +
        'right result.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ deep-rfm doctor\n  $ deep-rfm doctor --json\n  $ deep-rfm doctor --gpu pci-0000:65:00.0\n' +
        '  $ DEEP_RFM_ADAPTER=lavapipe deep-rfm doctor',
    )
    .addOption(gpuOption());
  for (const option of commonOptions()) command.addOption(option);
  command.action(async (flags: DoctorFlags) => {
    const terminal = terminalFor(flags);
    const report = await examine(flags, terminal);
    for (const line of lines(report)) terminal.print(line);
    terminal.document(report);
    if (report.ok) return;
    const [why] = report.advice;
    throw new RfmError(
      'noAdapter',
      report.adapters.length === 0 ? `no adapter found; ${why}` : `no adapter works; ${why}`,
    );
  });
}

async function examine({ gpu }: DoctorFlags, terminal: Terminal): Promise<DoctorReport> {
  const { adapters, selected, advice } = await examineAdapters(gpu, terminal);
  const ok = adapters.some(({ check }) => check.works);
  const drivers = {
    variables: Object.fromEntries(VARIABLES.map((name) => [name, process.env[name] ?? null])),
    found: process.platform === 'linux' ? systemIcds() : [],
  };
  return {
    schema: 'deep-rfm/doctor/1',
    ok,
    versions: {
      deepRfm: VERSION,
      node: process.version,
      webgpu: webgpuVersion(),
      platform: `${process.platform} ${process.arch}`,
    },
    drivers,
    adapters,
    selected,
    advice: [...advise(adapters, drivers.found), ...advice],
  };
}

/** Dawn has no list of adapters: each way of asking is tried, and the same answer counts once. */
const REQUESTS: GPURequestAdapterOptions[] = [
  { powerPreference: 'high-performance' },
  { powerPreference: 'low-power' },
  {},
  { forceFallbackAdapter: true },
];

type Examined = Pick<DoctorReport, 'adapters' | 'selected' | 'advice'>;

/**
 * One adapter by `--gpu`, or all: those that Dawn shows here, and by a process each those that must be selected before Dawn
 * begins.
 */
async function examineAdapters(gpu: string | undefined, terminal: Terminal): Promise<Examined> {
  const [{ gpuChoice, selectGpu, fits }, { describeGpu, selectableGpus }] = await Promise.all([
    import('../platform/node/select-gpu.js'),
    import('../platform/node/gpus.js'),
  ]);
  if (gpu !== undefined) {
    const choice = await selectGpu({ gpu });
    const adapters = await shownAdapters(REQUESTS.slice(0, 1), terminal);
    const named = adapters.map((adapter) => withGpu(adapter, choice && fits(choice.gpu, adapter) ? choice.gpu : null));
    return { adapters: named, selected: choice && { gpu: choice.gpu.number, source: choice.source }, advice: [] };
  }
  const advice: string[] = [];
  const gpus = selectableGpus();
  let choice: GpuChoice | null = null;
  try {
    choice = gpuChoice({ note: (line) => advice.push(line) });
  } catch (error) {
    // A wrong DEEP_RFM_GPU stops other commands; this one says what would be right.
    advice.push(messageOf(error as RfmError));
  }
  const found = new Map<number, AdapterReport>();
  const others: AdapterReport[] = [];
  for (const adapter of await shownAdapters(REQUESTS, terminal)) {
    const meant = gpus.filter((one) => fits(one, adapter));
    if (meant.length === 0) others.push(withGpu(adapter, null));
    // Of several that it could be, each is examined by itself.
    if (meant.length === 1) found.set(meant[0].number, withGpu(adapter, meant[0]));
  }
  for (const one of gpus.filter(({ number }) => !found.has(number))) {
    terminal.note(`checking ${describeGpu(one)}`);
    const answer = await askAnother(one.number);
    if (typeof answer === 'string') advice.push(`${describeGpu(one)}: ${answer}`);
    else found.set(one.number, answer);
  }
  const adapters = [...gpus.flatMap(({ number }) => found.get(number) ?? []), ...others];
  return { adapters, selected: choice && { gpu: choice.gpu.number, source: choice.source }, advice };
}

const withGpu = (adapter: AdapterReport, gpu: SelectableGpu | null): AdapterReport => ({
  ...adapter,
  gpu: gpu?.number ?? null,
  ...(gpu?.pci && { pci: gpu.pci }),
});

/** What `doctor --gpu` says in a process of its own: the adapter, or why there is none. */
async function askAnother(number: number): Promise<AdapterReport | string> {
  const { askProgram } = await import('../platform/node/ask-program.js');
  const { document, words } = await askProgram(['doctor', '--gpu', String(number), '--json', '--quiet']);
  const [adapter] = (document as DoctorReport | null)?.adapters ?? [];
  return adapter ?? (words.replace(/^deep-rfm: /, '') || 'its examination ended without a word');
}

/** The adapters that Dawn shows as it is set up now. */
async function shownAdapters(requests: GPURequestAdapterOptions[], terminal: Terminal): Promise<AdapterReport[]> {
  const [{ createInstance, releaseInstance }, { checkAdapter }, { optionalFeatures }] = await Promise.all([
    import('../platform/node/gpu.js'),
    import('./doctor-check.js'),
    import('./doctor-features.js'),
  ]);
  const instance = await createInstance();
  const reports = new Map<string, AdapterReport>();
  try {
    for (const request of requests) {
      const adapter = await instance.requestAdapter(request);
      if (adapter === null) continue;
      const summary = summarizeAdapter(adapter.info);
      const key = JSON.stringify(summary);
      if (reports.has(key)) continue;
      terminal.note(`checking ${describeAdapter(summary)}`);
      const { subgroupMinSize: min, subgroupMaxSize: max } = adapter.info;
      const limits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])) as AdapterReport['limits'];
      reports.set(key, {
        gpu: null,
        ...summary,
        limits,
        subgroups: min && max ? { min, max } : null,
        features: [...(adapter.features as ReadonlySet<string>)].sort(),
        check: await checkAdapter(instance, adapter),
        optional: await optionalFeatures(request),
      });
    }
    return [...reports.values()];
  } finally {
    releaseInstance(instance);
  }
}

/** What the user can do, the most useful first. */
function advise(adapters: readonly AdapterReport[], icds: readonly string[]): string[] {
  const working = adapters.filter(({ check }) => check.works);
  if (working.some(({ type }) => type === 'hardware')) return [];
  const driver =
    process.platform === 'linux'
      ? "for a GPU install its Vulkan driver (NVIDIA's, or mesa-vulkan-drivers)"
      : "for a GPU install its maker's driver";
  if (working.length > 0) return [`only a software adapter works: results are right, but slow; ${driver}`];
  const advice = [
    process.env.DEEP_RFM_BUNDLE
      ? `README.txt says what the machine must have; ${driver}`
      : `run \`${SETUP}\` to install a software adapter; ${driver}`,
  ];
  for (const name of ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES']) {
    if (process.env[name]) advice.push(`${name} is ${process.env[name]}: unset it unless it names your driver`);
  }
  if (process.platform === 'linux' && icds.length === 0) advice.push('no Vulkan driver is installed on this system');
  return advice;
}

/** The report for people. */
function lines({ versions, drivers, adapters, selected, advice, ok }: DoctorReport): string[] {
  const set = Object.entries(drivers.variables).filter(([, value]) => value !== null);
  return [
    `deep-rfm ${versions.deepRfm}, Node ${versions.node}, webgpu ${versions.webgpu}, ${versions.platform}`,
    ...set.map(([name, value]) => `${name}=${value}`),
    ...(process.platform === 'linux' ? [`Vulkan drivers installed: ${drivers.found.join(', ') || 'none'}`] : []),
    ...adapters.flatMap(adapterLines),
    '',
    ...(selected ? [`selected: --gpu ${selected.gpu}, by ${selected.source}`] : []),
    ...advice,
    ok ? 'verdict: deep-rfm works here' : 'verdict: deep-rfm cannot compute here',
  ];
}

function adapterLines(adapter: AdapterReport): string[] {
  const { gpu, pci, limits, subgroups, features, optional, check } = adapter;
  const size = subgroups === null ? 'unknown' : [...new Set([subgroups.min, subgroups.max])].join(' to ');
  const error = check.relativeError === null ? '' : `relative error ${scientific(check.relativeError)}, `;
  return [
    '',
    `${gpu === null ? 'adapter' : `--gpu ${gpu}`}: ${adapter.description || adapter.device || 'unnamed'} (${adapter.type})`,
    ...(pci === undefined ? [] : [`  PCI address ${pci}`]),
    `  vendor ${adapter.vendor || '–'}, architecture ${adapter.architecture || '–'}, device ${adapter.device || '–'}`,
    `  buffers up to ${formatBytes(limits.maxBufferSize)}, bindings up to ${formatBytes(limits.maxStorageBufferBindingSize)}`,
    `  workgroups: ${formatBytes(limits.maxComputeWorkgroupStorageSize)}, ${limits.maxComputeInvocationsPerWorkgroup} invocations, ` +
      `at most ${limits.maxComputeWorkgroupsPerDimension} a dimension; subgroups of ${size}`,
    `  features: ${features.join(', ') || 'none'}`,
    `  optional features: ${optionalLine(optional)}`,
    `  matrix product: ${error}${check.works ? 'works' : `fails: ${check.problem}`} (${formatSeconds(check.seconds)})`,
  ];
}

/** What opted-in mixed precision could use; see doctor-features.ts. */
function optionalLine({ shaderF16, subgroupMatrix }: OptionalFeatures): string {
  const state = ({ offered, works, problem }: OptionalFeature): string => {
    if (!offered) return problem ? `not known (${problem})` : 'absent';
    return works ? 'works' : `offered, but fails: ${problem}`;
  };
  const shapes = [...new Set(subgroupMatrix.shapes.map(({ component, result }) => `${component} to ${result}`))];
  const matrices = `${state(subgroupMatrix)}${shapes.length ? ` (${shapes.join(', ')})` : ''}`;
  return `shader-f16 ${state(shaderF16)}; subgroup matrices ${matrices}`;
}
