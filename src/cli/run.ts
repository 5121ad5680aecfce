import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { RfmError } from '../errors.js';
import { formatBytes, formatPercent, formatSeconds, missingClassesText } from '../report/format.js';
import { type LayerMetrics, PREDICTIONS, type RunMetrics } from '../rfm/types.js';
import { rowOptions } from './dataset-rows.js';
import {
  adapterOption,
  byteSize,
  commonOptions,
  featureOptions,
  figuresOption,
  gpuOption,
  integer,
  kernelOptions,
  layerList,
  oneOf,
  overwriteOption,
  path,
  presetOption,
  SOLVERS,
  seedList,
  tuneOption,
  valued,
} from './flags.js';
import { setInterruptOutcome } from './interrupt.js';
import { withOutput } from './output.js';
import { withPreset } from './presets.js';
import { showFinished } from './resume.js';
import {
  checkpointPath,
  closeCheckpoints,
  openCheckpoints,
  type RunCheckpoint,
  readFinishedRun,
  readRunCheckpoint,
  removeCheckpoint,
} from './run-checkpoint.js';
import { type Computed, compute, type RunCommand } from './run-compute.js';
import { aboutRun, checkRunModel, publishRunModel, removeStagedModel } from './run-model.js';
import { KNOWN_DEVICES, knownDevice, printPlan } from './run-plan.js';
import { type RunFlags, type RunRequest, readPlanRequest, readRunRequest } from './run-request.js';
import { runSeeds } from './run-seeds.js';
import { expectModel, saveModelOption } from './save-model.js';
import { fixed, scientific, tableLines, terminalFor } from './terminal.js';

const EXAMPLES = `
Examples:
  $ deep-rfm run
  $ deep-rfm run --dataset mnist --data-dir ~/data --n 2000 --depth 20
  $ deep-rfm run --dataset cifar10 --data-dir ~/data --activation cos --seed 1
  $ deep-rfm run --dataset npy --x X.npy --y labels.npy --out out
  $ deep-rfm run --preset deep-rfm-mnist-relu --data-dir ~/data --n 1000
      settings of the paper by name; see deep-rfm presets
  $ deep-rfm run --n 500 --depth 5 --seeds 0,1,2
  $ deep-rfm run --n 200 --depth 10 --width inf
      ReLU features of infinite width, by their expectation
  $ deep-rfm run --n 500 --depth 5 --save-model models/digits
      then: deep-rfm predict --model models/digits --x X.npy --out predictions.csv
  $ deep-rfm run --dataset npy --x X2.npy --y Y2.npy --metric out/M.npy --out transfer
      rows of length 1 after M^{1/2}; M: agop.npy of layer, or M.npy of rfm, on rows with the same features
  $ deep-rfm run --n 5000 --resume
      begins, goes on, or says that all is done: repeat it until it is
  $ deep-rfm run --dataset cifar10 --data-dir ~/data --n 10000 --memory-limit 1GiB
  $ deep-rfm run --dataset cifar10 --data-dir ~/data --n 50000 --plan-for h100

Writes metrics.json, metrics.csv, nc1 and nc2 (SVG and PNG),
gram-layer-NN.png and report.html. Until then checkpoint/ in the output folder
holds the last whole layer; with the same flags and --resume an interrupted run
goes on from it. A finished run removes it. --save-model keeps all layers for
deep-rfm predict; with --seeds each run's in a folder seed-S of it.`;

/** How they are computed. */
const computeOptions = (): Option[] => [
  valued(
    '--agop-samples <rows>',
    'rows whose Jacobians the AGOP sums, evenly spaced; 0: all (default: 0)',
    integer('--agop-samples', { min: 0, max: Number.MAX_SAFE_INTEGER, example: 1000 }),
  ),
  valued(
    '--gram-layers <list>',
    'layers whose Gram matrix is drawn, or none (default: 1,3,7,13,19)',
    layerList('--gram-layers'),
  ),
  valued(
    '--solver <name>',
    `${SOLVERS.slice(0, -1).join(', ')} or ${SOLVERS.at(-1)} (default: auto, the fastest that fits into memory)`,
    oneOf('--solver', SOLVERS),
  ),
  valued(
    '--memory-limit <size>',
    'device memory not to go beyond, such as 100MiB or 8GB (default: no limit; software: 80 % of the machine)',
    byteSize('--memory-limit', { min: 2 ** 20, example: '8GB' }),
  ),
  valued(
    '--tile <size>',
    'largest piece that matrices are cut into (default: 64MiB)',
    byteSize('--tile', { min: 2 ** 12, example: '64MiB' }),
  ),
  new Option('--plan', 'print what would be held in memory, how it would be computed and for how long; run nothing'),
  valued(
    '--plan-for <device>',
    `the same for a device that is not here: ${Object.keys(KNOWN_DEVICES).join(', ')}`,
    knownDevice('--plan-for'),
  ),
  adapterOption(),
  gpuOption(),
  tuneOption(),
];

/** What becomes of the results. */
const resultOptions = (): Option[] => [
  valued('--out <folder>', 'where to write (default: results/<dataset>-n<N>-seed<S>)', path('--out')),
  new Option('--save-predictions', "write predictions.npy, too: the last layer's outputs for the test rows"),
  saveModelOption(),
  figuresOption(),
  overwriteOption(),
  new Option(
    '--resume',
    'go on from the checkpoint in --out; begin if there is none, do nothing if the run is finished',
  ),
  ...commonOptions(),
];

/** `deep-rfm run`: Deep RFM on a dataset. */
export function addRun(program: Command, signal: AbortSignal): void {
  const command = program
    .command('run')
    .summary('train a Deep RFM and measure neural collapse layer by layer')
    .description('Trains a Deep Recursive Feature Machine and measures neural collapse in every layer.');
  const depth = valued(
    '--depth <layers>',
    'number of layers (default: 20)',
    integer('--depth', { min: 1, max: 1e6, example: 20 }),
  );
  const seeds = valued(
    '--seeds <list>',
    'several seeds with commas between: a run for each, in --out/seed-S, and their mean with a band',
    seedList('--seeds'),
  );
  const metric = valued(
    '--metric <file>',
    'M learned elsewhere, d × d (.npy): standardised rows are multiplied by M^{1/2} before layer 1',
    path('--metric'),
  );
  const method = [depth, ...kernelOptions(), ...featureOptions(), seeds, metric];
  for (const option of [presetOption(), ...rowOptions(), ...method, ...computeOptions(), ...resultOptions()]) {
    command.addOption(option);
  }
  command.addHelpText('after', EXAMPLES).action(async (given: RunFlags) => {
    const terminal = terminalFor(given);
    const { flags, used } = withPreset('run', given);
    if (flags.plan || flags.planFor !== undefined) await printPlan(readPlanRequest(flags), flags, terminal, signal);
    else if (flags.seeds !== undefined) {
      await runSeeds(flags, used, terminal, (request, own, quiet) =>
        begin({ request, flags: own, terminal: quiet, signal }),
      );
    } else await begin({ request: readRunRequest(flags, used), flags, terminal, signal });
  });
}

/** Runs, goes on with a run, or says that it is finished. */
async function begin(command: RunCommand): Promise<void> {
  const { request, flags, terminal } = command;
  const inputs = [
    { flag: '--x', path: flags.x },
    { flag: '--y', path: flags.y },
    { flag: '--test-x', path: flags.testX },
    { flag: '--test-y', path: flags.testY },
    { flag: '--metric', path: flags.metric },
  ];
  const { out } = request;
  const { overwrite, resume, saveModel } = flags;
  if (saveModel !== undefined) checkRunModel(saveModel, request);
  await withOutput({ dir: out, by: 'run', inputs, overwrite, resume: flags.resume, note: terminal.note }, async () => {
    const finished = resume ? readFinishedRun(request, flags) : null;
    if (finished && saveModel !== undefined) await expectModel(saveModel, aboutRun(request), out);
    if (finished) return showFinished(out, 'run', finished, terminal);
    const checkpoint = resume ? readRunCheckpoint(request, flags) : null;
    if (resume && !checkpoint) terminal.note(`note: there is nothing to go on from in ${out} yet: beginning`);
    return run(command, checkpoint);
  });
}

async function run(command: RunCommand, resume: RunCheckpoint | null): Promise<void> {
  const { request, flags, terminal, signal } = command;
  const { out } = request;
  let kept = 0;
  let whole = null as Computed | null;
  try {
    // Layers that no checkpoint speaks of are those of a run that was given up.
    if (!resume?.model) removeStagedModel(out);
    await openCheckpoints(out);
    const computed = await compute(command, resume, (layer, soFar) => {
      kept = layer;
      whole = soFar;
      setInterruptOutcome(`no results were written, ${keptIn(out, layer)}`);
    });
    const { metrics } = computed;
    const files = await writeResults(request, flags, computed);
    const model = await writeModel(request, flags, computed);
    await removeCheckpoint(out);
    for (const line of summary(metrics)) terminal.print(line);
    terminal.print('');
    terminal.print(`wrote to ${out}: ${files.join(', ')}`);
    if (flags.figures !== false) terminal.print(`report: ${join(out, 'report.html')}`);
    if (model) terminal.print(`model: ${model}`);
    terminal.document({ ...metrics, out, files, ...(model && { model }) });
  } catch (error) {
    if (kept === 0) removeStagedModel(out);
    await closeCheckpoints(out);
    if (kept > 0) {
      const input = error instanceof RfmError && error.kind === 'input';
      if (!input && !signal.aborted) terminal.note(`note: ${keptIn(out, kept)}`);
      if (input && whole) {
        // The same command would only end here again: what there is are its results.
        const files = await writeResults(request, flags, whole);
        const model = await writeModel(request, flags, whole);
        terminal.note(`note: ${layersText(kept)} whole; wrote to ${out}: ${files.join(', ')}`);
        if (model) terminal.note(`note: the model of ${kept === 1 ? 'this layer' : 'these layers'} is in ${model}`);
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
  return writeRunReport(out, metrics, pictures, more, flags.figures);
}

/** @returns the folder of the model, where one was asked for. */
async function writeModel(request: RunRequest, { saveModel }: RunFlags, { model }: Computed): Promise<string | null> {
  if (saveModel === undefined || model === null) return null;
  await publishRunModel(saveModel, request, model);
  return saveModel;
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
  'J/J*',
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
  layer.kernel ? fixed(layer.kernel.ratio, 3) : '–',
  scientific(layer.solve.relativeResidual),
  layer.agop.path,
  layer.agop.rank === null ? '–' : String(layer.agop.rank),
  formatSeconds(layer.seconds.total),
];

const deadCell = ({ deadRows }: LayerMetrics): string => `${deadRows.train} + ${deadRows.test}`;

/** What the linear theory has no number for. */
const decayLine = ({ nc1Decay }: RunMetrics): string[] =>
  nc1Decay
    ? [
        `NC1 of M½X falls by a factor of ${nc1Decay.factor.toFixed(3)} a layer (fitted to layers ${nc1Decay.from} to ${nc1Decay.to})`,
      ]
    : [];

function summary(metrics: RunMetrics): string[] {
  const compilation = metrics.layers.reduce((sum, { seconds }) => sum + (seconds.compilation ?? 0), 0);
  const dead = anyDead(metrics.layers);
  return [
    ...tableLines(
      dead ? [...HEADER, DEAD] : HEADER,
      metrics.layers.map((layer) => (dead ? [...tableRow(layer), deadCell(layer)] : tableRow(layer))),
    ),
    ...[missingClassesText(metrics.classCounts) ?? []].flat(),
    ...decayLine(metrics),
    ...(dead ? [`${DEAD}: training + test rows whose features are all zero; they stay zero`] : []),
    '',
    `${formatSeconds(metrics.seconds)} on ${metrics.adapter.description || metrics.adapter.device || 'the adapter'} ` +
      `(${metrics.adapter.type}), ${formatSeconds(compilation)} of it to compile shaders; device memory: peak ${formatBytes(metrics.memory.peakBytes)}`,
  ];
}
