import { join } from 'node:path';
import type { Command } from 'commander';
import { countClasses } from '../data/rows.js';
import { RfmError } from '../errors.js';
import { kernelOf } from '../ops/kernels/kernels.js';
import {
  ACTIVATION_NAMES,
  classesText,
  formatBytes,
  formatNumber,
  formatPercent,
  formatSeconds,
  missingClassesText,
} from '../report/format.js';
import type { GramFile } from '../report/page.js';
import type { DeepRfmResult } from '../rfm/deep-rfm.js';
import type { RunPlan } from '../rfm/plan.js';
import { type LayerMetrics, PREDICTIONS, type RunMetrics, SCHEMA } from '../rfm/types.js';
import type { Gpu } from '../runtime/gpu.js';
import {
  adapterOption,
  byteSize,
  commonOptions,
  featureOptions,
  integer,
  kernelOptions,
  layerList,
  oneOf,
  overwriteOption,
  path,
  SOLVERS,
  tuneOption,
  valued,
} from './flags.js';
import { withGpu } from './gpu-session.js';
import { setInterruptOutcome } from './interrupt.js';
import { messageOf } from './messages.js';
import { withOutput } from './output.js';
import { showFinished } from './resume.js';
import {
  adoptDevice,
  checkpointPath,
  checkpointWriter,
  closeCheckpoints,
  madeOf,
  openCheckpoints,
  type RunCheckpoint,
  readFinishedRun,
  readRunCheckpoint,
  removeCheckpoint,
} from './run-checkpoint.js';
import { KNOWN_DEVICES, knownDevice, planLine, printPlan } from './run-plan.js';
import { runProgress } from './run-progress.js';
import {
  optionsOf,
  RUN_DATASETS,
  type RunFlags,
  type RunRequest,
  readPlanRequest,
  readRunRequest,
} from './run-request.js';
import { scientific, type Terminal, tableLines, terminalFor } from './terminal.js';
import { VERSION } from './version.js';

const EXAMPLES = `
Examples:
  $ deep-rfm run
  $ deep-rfm run --dataset mnist --data-dir ~/data --n 2000 --depth 20
  $ deep-rfm run --dataset cifar10 --data-dir ~/data --activation cos --seed 1
  $ deep-rfm run --dataset npy --x X.npy --y labels.npy --out out
  $ deep-rfm run --n 5000 --resume
      begins, goes on, or says that all is done: repeat it until it is
  $ deep-rfm run --dataset cifar10 --data-dir ~/data --n 10000 --memory-limit 1GiB
  $ deep-rfm run --dataset cifar10 --data-dir ~/data --n 50000 --plan-for h100

Writes metrics.json, metrics.csv, nc1 and nc2 (SVG and PNG),
gram-layer-NN.png and report.html. Until then checkpoint/ in the output folder
holds the last whole layer; with the same flags and --resume an interrupted run
goes on from it. A finished run removes it.`;

/** `deep-rfm run`: Deep RFM on a dataset. */
export function addRun(program: Command, signal: AbortSignal): void {
  const rows = (flag: string, min: number) => integer(flag, { min, max: Number.MAX_SAFE_INTEGER, example: 1000 });
  const command = program
    .command('run')
    .summary('train a Deep RFM and measure neural collapse layer by layer')
    .description('Trains a Deep Recursive Feature Machine and measures neural collapse in every layer.')
    .addOption(
      valued(
        '--dataset <name>',
        `${RUN_DATASETS.join(', ')} (default: mnist-sample)`,
        oneOf('--dataset', RUN_DATASETS),
      ),
    )
    .addOption(
      valued('--data-dir <folder>', "folder with the dataset's files (default: $DEEP_RFM_DATA)", path('--data-dir')),
    )
    .addOption(valued('--x <file>', 'npy: training features, n × d (FILE.npy, or FILE.npz:NAME)', path('--x')))
    .addOption(valued('--y <file>', 'npy: training labels, n, or ±1 or one-hot targets, n × C', path('--y')))
    .addOption(valued('--test-x <file>', 'npy: test features', path('--test-x')))
    .addOption(valued('--test-y <file>', 'npy: test labels or targets', path('--test-y')))
    .addOption(valued('--n <rows>', 'training rows, from the first (default: 1000; npy: all)', rows('--n', 2)))
    .addOption(valued('--test-n <rows>', 'test rows, from the first (default: 1000; npy: all)', rows('--test-n', 0)))
    .addOption(
      valued(
        '--depth <layers>',
        'number of layers (default: 20)',
        integer('--depth', { min: 1, max: 1e6, example: 20 }),
      ),
    );
  for (const option of [...kernelOptions(), ...featureOptions()]) command.addOption(option);
  command
    .addOption(
      valued(
        '--agop-samples <rows>',
        'rows whose Jacobians the AGOP sums, evenly spaced; 0: all (default: 0)',
        rows('--agop-samples', 0),
      ),
    )
    .addOption(
      valued(
        '--gram-layers <list>',
        'layers whose Gram matrix is drawn, or none (default: 1,3,7,13,19)',
        layerList('--gram-layers'),
      ),
    )
    .addOption(
      valued(
        '--solver <name>',
        `${SOLVERS.slice(0, -1).join(', ')} or ${SOLVERS.at(-1)} (default: auto, the fastest that fits into memory)`,
        oneOf('--solver', SOLVERS),
      ),
    )
    .addOption(
      valued(
        '--memory-limit <size>',
        'device memory not to go beyond, such as 100MiB or 8GB (default: no limit; software: 80 % of the machine)',
        byteSize('--memory-limit', { min: 2 ** 20, example: '8GB' }),
      ),
    )
    .addOption(
      valued(
        '--tile <size>',
        'largest piece that matrices are cut into (default: 64MiB)',
        byteSize('--tile', { min: 2 ** 12, example: '64MiB' }),
      ),
    )
    .option('--plan', 'print what would be held in memory, how it would be computed and for how long; run nothing')
    .addOption(
      valued(
        '--plan-for <device>',
        `the same for a device that is not here: ${Object.keys(KNOWN_DEVICES).join(', ')}`,
        knownDevice('--plan-for'),
      ),
    )
    .addOption(adapterOption())
    .addOption(tuneOption())
    .addOption(valued('--out <folder>', 'where to write (default: results/<dataset>-n<N>-seed<S>)', path('--out')))
    .option('--save-predictions', "write predictions.npy, too: the last layer's outputs for the test rows")
    .addOption(overwriteOption())
    .option(
      '--resume',
      'go on from the checkpoint in --out; begin if there is none, do nothing if the run is finished',
    );
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (flags: RunFlags) => {
    const terminal = terminalFor(flags);
    if (flags.plan || flags.planFor !== undefined) {
      await printPlan(readPlanRequest(flags), flags, terminal, signal);
      return;
    }
    const request = readRunRequest(flags);
    const inputs = [
      { flag: '--x', path: flags.x },
      { flag: '--y', path: flags.y },
      { flag: '--test-x', path: flags.testX },
      { flag: '--test-y', path: flags.testY },
    ];
    const { out } = request;
    const { overwrite, resume } = flags;
    await withOutput({ dir: out, by: 'run', inputs, overwrite, note: terminal.note }, async () => {
      const finished = resume ? readFinishedRun(request, flags) : null;
      if (finished) return showFinished(out, 'run', finished, terminal);
      const checkpoint = resume ? readRunCheckpoint(request, flags) : null;
      if (resume && !checkpoint) terminal.note(`note: there is nothing to go on from in ${out} yet: beginning`);
      return run(request, flags, checkpoint, terminal, signal);
    });
  });
}

async function run(
  request: RunRequest,
  flags: RunFlags,
  resume: RunCheckpoint | null,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const { out } = request;
  let kept = 0;
  let whole = null as Computed | null;
  try {
    await openCheckpoints(out);
    const computed = await compute(request, flags, resume, terminal, signal, (layer, soFar) => {
      kept = layer;
      whole = soFar;
      setInterruptOutcome(`no results were written, ${keptIn(out, layer)}`);
    });
    const { metrics } = computed;
    const files = await writeResults(request, flags, computed);
    await removeCheckpoint(out);
    for (const line of summary(metrics)) terminal.print(line);
    terminal.print('');
    terminal.print(`wrote to ${out}: ${files.join(', ')}`);
    terminal.print(`report: ${join(out, 'report.html')}`);
    terminal.document({ ...metrics, out, files });
  } catch (error) {
    await closeCheckpoints(out);
    if (kept > 0) {
      const input = error instanceof RfmError && error.kind === 'input';
      if (!input && !signal.aborted) terminal.note(`note: ${keptIn(out, kept)}`);
      if (input && whole) {
        // The same command would only end here again: what there is are its results.
        const files = await writeResults(request, flags, whole);
        terminal.note(`note: ${layersText(kept)} whole; wrote to ${out}: ${files.join(', ')}`);
      }
    }
    throw error;
  }
}

const layersText = (layer: number): string => (layer === 1 ? 'layer 1 is' : `layers 1 to ${layer} are`);

const keptIn = (out: string, layer: number): string =>
  `${layersText(layer)} kept in ${checkpointPath(out)}: the same command with --resume goes on`;

async function writeResults(
  { config, dataset, out }: RunRequest,
  flags: RunFlags,
  { metrics, pictures, predictions }: Computed,
): Promise<string[]> {
  const { writeRunReport } = await import('../report/run-report.js');
  const shape = [config.testN, dataset.classes];
  const more = flags.savePredictions && predictions ? [{ name: PREDICTIONS, shape, data: predictions }] : [];
  return writeRunReport(out, metrics, pictures, more);
}

interface Computed {
  metrics: RunMetrics;
  pictures: GramFile[];
  predictions: Float32Array | null;
}

/** The layers, with a checkpoint after each; `onKept` hears of it. A device that is lost is opened again, once a layer. */
async function compute(
  request: RunRequest,
  flags: RunFlags,
  resume: RunCheckpoint | null,
  terminal: Terminal,
  signal: AbortSignal,
  onKept: (layer: number, whole: Computed | null) => void,
): Promise<Computed> {
  for (const remark of request.remarks) terminal.note(`note: ${remark}`);
  let from = resume;
  let lostIn = -1;
  // A checkpoint that another run left is not this run's.
  let saved = resume !== null;
  for (let losses = 0; ; losses++) {
    const lost = { here: losses, ever: losses + (resume?.deviceLosses ?? 0) };
    try {
      return await onDevice(request, flags, from, lost, terminal, signal, (layer, whole) => {
        saved = true;
        onKept(layer, whole);
      });
    } catch (error) {
      if (!(error instanceof RfmError && error.kind === 'deviceLost')) throw error;
      from = saved ? readRunCheckpoint(request, flags) : null;
      const layer = (from?.state.layers.length ?? 0) + 1;
      if (layer === lostIn) throw error;
      lostIn = layer;
      terminal.note(`note: layer ${layer}: ${messageOf(error)}; beginning this layer again on a new device`);
    }
  }
}

/** The layers after those of the checkpoint, on a device of their own. `lost`: devices lost by this command, and by this run. */
async function onDevice(
  request: RunRequest,
  flags: RunFlags,
  resume: RunCheckpoint | null,
  lost: { here: number; ever: number },
  terminal: Terminal,
  signal: AbortSignal,
  onKept: (layer: number, whole: Computed | null) => void,
): Promise<Computed> {
  const { dataset, config, out } = request;
  const { train, test, classes } = dataset;
  const [{ classCountsOf, deepRfm, describeAdapter, planOf }, { gramPng }] = await Promise.all([
    import('./method.js'),
    import('../report/gram.js'),
  ]);
  const data = { train, test, classes };
  const options = optionsOf(config);
  const memoryLimit = flags.memoryLimit ?? null;
  return withGpu({ ...flags, note: terminal.note }, signal, async (gpu: Gpu) => {
    if (flags.tile !== undefined) gpu.tileBytes = flags.tile;
    const plan = planOf(gpu, data, options, memoryLimit);
    if (lost.here === 0) {
      for (const line of heading(request, describeAdapter(gpu.adapter), plan)) terminal.note(line);
      const seconds = await estimate(gpu, request, plan);
      if (seconds !== null) {
        terminal.note(`time     about ${formatSeconds(seconds)} (estimated), and what shaders take to be compiled`);
      }
    }
    const before = resume?.state.layers ?? [];
    if (resume) {
      adoptDevice(resume, gpu, out, describeAdapter);
      onKept(before.length, null);
      if (lost.here === 0) terminal.note(`resumed  after layer ${before.length} of ${config.depth}`);
    }
    const pictures = [...(resume?.pictures ?? [])];
    const keep = checkpointWriter(request, flags, gpu);
    const started = performance.now();
    const seconds = (): number => (resume?.seconds ?? 0) + (performance.now() - started) / 1000;
    const peakBytes = (): number => Math.max(resume?.peakBytes ?? 0, gpu.pool.bytes.peak);
    const deviceLosses = lost.ever;
    const progress = runProgress(
      terminal,
      config.depth,
      before.map((layer) => layer.seconds.total),
    );
    const computedOf = ({ layers, classCounts, predictions }: Omit<DeepRfmResult, 'grams'>): Computed => ({
      metrics: {
        schema: SCHEMA,
        version: VERSION,
        config,
        // Of a run that ended early the results are not those of a finished one.
        ...(layers.length === config.depth && { made: madeOf(request, flags) }),
        adapter: gpu.adapter,
        classCounts,
        layers,
        memory: { predictedBytes: plan.peakBytes, peakBytes: peakBytes() },
        deviceLosses,
        seconds: seconds(),
      },
      pictures: [...pictures],
      predictions,
    });
    try {
      const result = await deepRfm(gpu, data, options, {
        plan,
        memoryLimit,
        resume: resume?.state ?? null,
        progress: {
          onPhase(layer, phase) {
            loseDeviceWhereAsked(gpu, layer, phase, lost.here);
            progress.onPhase(layer, phase);
          },
          onLayer: progress.onLayer,
          async save(state, gram) {
            if (gram) pictures.push({ layer: gram.layer, png: await gramPng(gram) });
            keep({ state, pictures, seconds: seconds(), peakBytes: peakBytes(), deviceLosses });
            const classCounts = classCountsOf(train.labels, classes);
            onKept(state.layers.length, computedOf({ ...state, classCounts }));
          },
          signal,
        },
      });
      return computedOf(result);
    } finally {
      progress.stop();
    }
  });
}

/**
 * For tests of what follows the loss of a device: DEEP_RFM_LOSE_DEVICE=LAYER:PHASE destroys it there, the first time;
 * with :always behind it, every time.
 */
function loseDeviceWhereAsked(gpu: Gpu, layer: number, phase: string, losses: number): void {
  const [atLayer, atPhase, often] = process.env.DEEP_RFM_LOSE_DEVICE?.split(':') ?? [];
  const due = losses === 0 || often === 'always';
  if (due && atLayer === String(layer) && atPhase === phase) gpu.device.destroy();
}

/** Below this many operations in a run, measuring how fast the adapter is would take longer than it is worth. */
const WORTH_ESTIMATING = 2e11;

/** Seconds that the run is expected to take; null for a short one. */
async function estimate(gpu: Gpu, { config, d, dataset }: RunRequest, plan: RunPlan): Promise<number | null> {
  const { estimateLayers, measureRates, sizeOf, totalOf } = await import('./method.js');
  const { n, testN, depth } = config;
  const size = sizeOf(optionsOf(config), { n, testN, d, outputs: dataset.classes });
  const estimated = (rates: Parameters<typeof estimateLayers>[3]) =>
    totalOf(estimateLayers(size, depth, plan, rates), depth);
  const { operations } = estimated({ product: 1, distance: 1, cholesky: 1, weight: 1 });
  return operations < WORTH_ESTIMATING ? null : estimated(await measureRates(gpu, config.n)).total;
}

/** What is about to be computed, and on what. */
function heading({ config, dataset, d, out }: RunRequest, adapter: string, plan: RunPlan): string[] {
  const kernel = `${kernelOf(config).label} kernel, bandwidth ${formatNumber(config.bandwidth)}, ridge ${formatNumber(config.ridge)}`;
  const width = config.width === 0 ? 'as wide as their input' : `width ${config.width}`;
  const gamma = config.activation === 'cos' ? `, gamma ${formatNumber(config.gamma)}` : '';
  return [
    `dataset  ${config.dataset}: ${config.n} × ${d} training rows, ${config.testN} test rows, ${classesText(countClasses(dataset.train, dataset.classes))}`,
    `method   depth ${config.depth}; ${kernel}; ${ACTIVATION_NAMES[config.activation]} features, ${width}${gamma}; seed ${config.seed}`,
    `adapter  ${adapter}`,
    `memory   about ${formatBytes(plan.peakBytes)} on the device (predicted)`,
    `plan     ${planLine(plan)}`,
    `output   ${out}`,
    'NC1 and NC2 are given for the input of a layer → after the square root of the AGOP → after the random features',
  ];
}

const HEADER = [
  'layer',
  'NC1 in',
  'NC1 agop',
  'NC1 out',
  'NC2 in',
  'NC2 agop',
  'NC2 out',
  'train',
  'test',
  'residual',
  'agop',
  'rank',
  'time',
];

const DEAD = 'dead rows';
const anyDead = (layers: readonly LayerMetrics[]): boolean =>
  layers.some(({ deadRows }) => deadRows.train + deadRows.test > 0);

const tableRow = (layer: LayerMetrics): string[] => [
  String(layer.layer),
  ...[layer.nc1.input, layer.nc1.agop, layer.nc1.features].map(scientific),
  ...[layer.nc2.input, layer.nc2.agop, layer.nc2.features].map(scientific),
  formatPercent(layer.trainAccuracy),
  layer.testAccuracy === null ? '–' : formatPercent(layer.testAccuracy),
  scientific(layer.solve.relativeResidual),
  layer.agop.path,
  String(layer.agop.rank),
  formatSeconds(layer.seconds.total),
];

const deadCell = ({ deadRows }: LayerMetrics): string => `${deadRows.train} + ${deadRows.test}`;

function summary(metrics: RunMetrics): string[] {
  const compilation = metrics.layers.reduce((sum, { seconds }) => sum + (seconds.compilation ?? 0), 0);
  const dead = anyDead(metrics.layers);
  return [
    ...tableLines(
      dead ? [...HEADER, DEAD] : HEADER,
      metrics.layers.map((layer) => (dead ? [...tableRow(layer), deadCell(layer)] : tableRow(layer))),
    ),
    ...[missingClassesText(metrics.classCounts) ?? []].flat(),
    ...(dead ? [`${DEAD}: training + test rows whose features are all zero; they stay zero`] : []),
    '',
    `${formatSeconds(metrics.seconds)} on ${metrics.adapter.description || metrics.adapter.device || 'the adapter'} ` +
      `(${metrics.adapter.type}), ${formatSeconds(compilation)} of it to compile shaders; device memory: peak ${formatBytes(metrics.memory.peakBytes)}`,
  ];
}
