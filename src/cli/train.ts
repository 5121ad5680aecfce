import { join } from 'node:path';
import type { Command } from 'commander';
import { countClasses } from '../data/rows.js';
import { inputError, RfmError } from '../errors.js';
import type { TrainHooks } from '../nn/train.js';
import { type Measurement, type SeedRecord, TRAIN_SCHEMA, type TrainMetrics } from '../nn/types.js';
import {
  classesText,
  formatBytes,
  formatNumber,
  formatPercent,
  formatSeconds,
  missingClassesText,
} from '../report/format.js';
import type { Gpu } from '../runtime/gpu.js';
import { rowOptions } from './dataset-rows.js';
import {
  adapterOption,
  commonOptions,
  figuresOption,
  gpuOption,
  integer,
  oneOf,
  overwriteOption,
  path,
  positive,
  presetOption,
  seed,
  seedList,
  tuneOption,
  valued,
} from './flags.js';
import { withGpu } from './gpu-session.js';
import { setInterruptOutcome } from './interrupt.js';
import { messageOf } from './messages.js';
import { withOutput } from './output.js';
import { withPreset } from './presets.js';
import { showFinished } from './resume.js';
import { adoptDevice, checkpointPath, closeCheckpoints, openCheckpoints } from './run-checkpoint.js';
import { saveModelOption } from './save-model.js';
import { fixed, scientific, type Terminal, tableLines, terminalFor } from './terminal.js';
import {
  checkpointWriter,
  madeOf,
  readFinishedTraining,
  readTrainCheckpoint,
  type TrainCheckpoint,
} from './train-checkpoint.js';
import { checkTrainModels, expectEarlierModels, hasLastModel, modelFolders, networkKeeper } from './train-model.js';
import { trainProgress } from './train-progress.js';
import { readTrainRequest, type TrainFlags, type TrainRequest } from './train-request.js';
import { VERSION } from './version.js';

const EXAMPLES = `
Examples:
  $ deep-rfm train --n 2000 --depth 5 --init 0.5 --optimizer adam --epochs 40
  $ deep-rfm train --model resnet18 --dataset cifar10 --data-dir ~/data --n 500
  $ deep-rfm train --model vgg11 --dataset cifar10 --data-dir ~/data --n 200
  $ deep-rfm train --n 2000 --seeds 0,1,2 --out out --resume
  $ deep-rfm train --preset mlp-mnist --data-dir ~/data --n 500 --epochs 20
      settings of the paper by name; see deep-rfm presets

Writes metrics.json, metrics.csv, report.html and the figures nc1, nfa, variance,
loss and singular-values (SVG and PNG); checkpoint/ holds what --resume needs.
--save-model keeps the network as it is after the last epoch, for deep-rfm predict;
of several seeds each in a folder seed-S.
With --weight-decay it also reports the FACT identity of each hidden layer.`;

/** How weights are drawn, and how they move. */
function weightOptions() {
  return [
    valued('--init <gain>', 'Xavier gain of the MLP (default: 1)', positive('--init', 1, 'above 0')),
    valued(
      '--init-layers <which>',
      'linear layers that are drawn by --init: all, or hidden, without read-out and first layer behind convolutions (default: all)',
      oneOf('--init-layers', ['all', 'hidden']),
    ),
    valued('--lr <rate>', 'learning rate (default: 0.01; adam: 0.001)', positive('--lr', 0.01, 'above 0')),
    valued('--momentum <share>', 'momentum of sgd (default: 0.9)', positive('--momentum', 0.9, 'or 0')),
    valued('--weight-decay <factor>', 'weight decay (default: 0)', positive('--weight-decay', 1e-4, 'or 0')),
    valued('--optimizer <name>', 'sgd or adam (default: sgd)', oneOf('--optimizer', ['sgd', 'adam'])),
  ];
}

function trainOptions() {
  return [
    presetOption(),
    valued('--model <name>', 'mlp, resnet18 or vgg11 (default: mlp)', oneOf('--model', ['mlp', 'resnet18', 'vgg11'])),
    ...rowOptions(),
    valued(
      '--depth <layers>',
      'hidden layers of the MLP (default: 5)',
      integer('--depth', { min: 1, max: 1000, example: 5 }),
    ),
    valued(
      '--width <k>',
      'width of the hidden layers (default: 512)',
      integer('--width', { min: 1, max: 2 ** 20, example: 512 }),
    ),
    ...weightOptions(),
    valued(
      '--loss <name>',
      'mse (targets ±1) or cross-entropy (default: mse)',
      oneOf('--loss', ['mse', 'cross-entropy']),
    ),
    valued(
      '--epochs <count>',
      'passes over the training rows (default: 100)',
      integer('--epochs', { min: 1, max: 1e6, example: 100 }),
    ),
    valued(
      '--batch <rows>',
      'rows in a step; the last takes what is left; resnet18 needs 2 in it (default: 128)',
      integer('--batch', { min: 1, max: 65536, example: 128 }),
    ),
    valued(
      '--measure-every <epochs>',
      'epochs between measurements (default: a tenth of all)',
      integer('--measure-every', { min: 1, max: 1e6, example: 10 }),
    ),
    valued('--seed <integer>', 'seed of the weights and of the order of rows (default: 0)', seed('--seed')),
    valued('--seeds <list>', 'several seeds with commas between, one network each', seedList('--seeds')),
    adapterOption(),
    gpuOption(),
    tuneOption(),
    valued('--out <folder>', 'where to write (default: results/<model>-<dataset>-n<N>)', path('--out')),
  ];
}

/** `deep-rfm train`: networks, and the probes of their layers. */
export function addTrain(program: Command, signal: AbortSignal): void {
  const command = program
    .command('train')
    .summary('train a network and measure its collapse, AGOP and weights')
    .description(
      'Trains an MLP, a ResNet-18 or a VGG-11 and measures neural collapse, the AGOP and the singular vectors of every ' +
        'linear layer as it learns.',
    );
  for (const option of trainOptions()) command.addOption(option);
  command
    .addOption(saveModelOption())
    .addOption(figuresOption())
    .addOption(overwriteOption())
    .option(
      '--resume',
      'go on from the checkpoint in --out; begin if there is none, do nothing if all epochs are done',
    );
  for (const option of commonOptions()) command.addOption(option);
  command.addHelpText('after', EXAMPLES).action(async (given: TrainFlags) => {
    const terminal = terminalFor(given);
    const { flags, used } = withPreset('train', given);
    const request = readTrainRequest(flags, used);
    const inputs = [
      { flag: '--x', path: flags.x },
      { flag: '--y', path: flags.y },
      { flag: '--test-x', path: flags.testX },
      { flag: '--test-y', path: flags.testY },
    ];
    const { out } = request;
    const { overwrite, resume } = flags;
    checkTrainModels(request, flags);
    await withOutput(
      { dir: out, by: 'train', inputs, overwrite, resume: flags.resume, note: terminal.note },
      async () => {
        // Of a training that is done, the model of its last seed can still be made: the checkpoint has it.
        const finished = resume && hasLastModel(request, flags) ? readFinishedTraining(request, flags) : null;
        if (finished) return showFinished(out, 'train', finished, terminal);
        const checkpoint = resume ? readTrainCheckpoint(request, flags) : null;
        if (checkpoint) expectEarlierModels(request, flags, checkpoint.state.records.length - 1);
        if (resume && !checkpoint) terminal.note(`note: there is nothing to go on from in ${out} yet: beginning`);
        return train(request, flags, checkpoint, terminal, signal);
      },
    );
  });
}

async function train(
  request: TrainRequest,
  flags: TrainFlags,
  resume: TrainCheckpoint | null,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const { out } = request;
  let kept: string | null = null;
  try {
    await openCheckpoints(out);
    const metrics = await compute(request, flags, resume, { terminal, signal }, (what) => {
      kept = what;
      setInterruptOutcome(`no results were written, ${keptIn(out, what)}`);
    });
    const { writeTrainReport } = await import('../report/train-report.js');
    const files = await writeTrainReport(out, metrics, flags.figures);
    for (const line of summary(metrics)) terminal.print(line);
    terminal.print('');
    terminal.print(`wrote to ${out}: ${files.join(', ')}`);
    if (flags.figures !== false) terminal.print(`report: ${join(out, 'report.html')}`);
    const models = modelFolders(request, flags);
    if (models.length > 0) terminal.print(`${models.length > 1 ? 'models' : 'model'}: ${models.join(', ')}`);
    terminal.document({ ...metrics, out, files, ...(models.length > 0 && { models }) });
  } catch (error) {
    await closeCheckpoints(out);
    if (kept !== null) {
      // A training that diverged would only do so again.
      if (error instanceof RfmError && error.kind === 'input') {
        throw inputError(`${messageOf(error)}; the last good state, ${kept}, is kept in ${checkpointPath(out)}`);
      }
      if (!signal.aborted) terminal.note(`note: ${keptIn(out, kept)}`);
    }
    throw error;
  }
}

const keptIn = (out: string, what: string): string =>
  `${what} is kept in ${checkpointPath(out)}: the same command with --resume goes on`;

/** The training, with checkpoints; `onKept` hears what each of them holds. */
async function compute(
  request: TrainRequest,
  flags: TrainFlags,
  resume: TrainCheckpoint | null,
  { terminal, signal }: { terminal: Terminal; signal: AbortSignal },
  onKept: (what: string) => void,
): Promise<TrainMetrics> {
  const { config, dataset, out } = request;
  for (const remark of request.remarks) terminal.note(`note: ${remark}`);
  const [{ trainNetworks }, { prepareSamples }, { describeAdapter }] = await Promise.all([
    import('../nn/train.js'),
    import('../nn/samples.js'),
    import('./method.js'),
  ]);
  const data = prepareSamples(dataset, config.model === 'mlp' ? null : dataset.imageShape);
  return withGpu({ ...flags, compileAhead: true, note: terminal.note }, signal, async (gpu: Gpu) => {
    for (const line of heading(request, data.train.x.length / config.n, describeAdapter(gpu.adapter)))
      terminal.note(line);
    const before = { epochs: 0, measurements: 0 };
    for (const record of resume?.state.records ?? []) {
      before.epochs += record.epochs.length;
      before.measurements += record.measurements.length;
    }
    if (resume) {
      adoptDevice(resume, gpu, out, describeAdapter);
      onKept(progressOf(resume.state.records));
      terminal.note(`resumed  ${before.epochs} epochs and ${before.measurements} measurements are done`);
    }
    const keep = checkpointWriter(request, flags, gpu);
    const peakBytes = (): number => Math.max(resume?.peakBytes ?? 0, gpu.pool.bytes.peak);
    const hooks: TrainHooks = {
      ...trainProgress(terminal, config, before),
      signal,
      ...(flags.saveModel !== undefined && { keep: networkKeeper(request, flags, data) }),
      async save(checkpoint) {
        keep(checkpoint, peakBytes());
        onKept(progressOf(checkpoint.records));
      },
    };
    const result = await trainNetworks(gpu, data, config, hooks, resume?.state ?? null);
    return {
      schema: TRAIN_SCHEMA,
      version: VERSION,
      config,
      made: madeOf(request, flags),
      adapter: gpu.adapter,
      classCounts: data.counts,
      seeds: result.records,
      memory: { peakBytes: peakBytes() },
      seconds: result.seconds,
      compilationSeconds: gpu.compiling.seconds,
    };
  });
}

/** Where a training is. */
function progressOf(records: readonly SeedRecord[]): string {
  const last = records.at(-1);
  return last === undefined ? 'nothing' : `seed ${last.seed} up to epoch ${last.epochs.length}`;
}

function heading({ config, dataset, out }: TrainRequest, d: number, adapter: string): string[] {
  const { learningRate, momentum, weightDecay, optimizer } = config;
  const rate = `${optimizer}, rate ${formatNumber(learningRate)}${optimizer === 'sgd' ? `, momentum ${formatNumber(momentum)}` : ''}`;
  return [
    `dataset  ${config.dataset}: ${config.n} × ${d} training rows, ${config.testN} test rows, ${classesText(countClasses(dataset.train, dataset.classes))}`,
    `network  ${config.model}: ${config.depth} hidden layers of width ${config.width}, Xavier gain ${formatNumber(config.init)}`,
    `training ${config.epochs} epochs of batches of ${config.batch}; ${rate}, weight decay ${formatNumber(weightDecay)}; ${config.loss}; seeds ${config.seeds.join(', ')}`,
    `adapter  ${adapter}`,
    `output   ${out}`,
  ];
}

const HEADER = ['seed', 'layer', 'NC1 Φ', 'NC1 SVᵀΦ', 'NC1 ReLU', 'NC1 AGOP½Φ', 'NFA', 'NFA ½'];
/** With weight decay alone. */
const FACT_HEADER = ['FACT', 'FACT diff.'];
const HEADER_END = ['eff. rank', 'angle 1'];

/** The last measurement of every seed. */
function summary(metrics: TrainMetrics): string[] {
  const decays = metrics.config.weightDecay > 0;
  const rows: string[][] = [];
  const scores: string[] = [];
  for (const { seed, measurements } of metrics.seeds) {
    const last = measurements.at(-1) as Measurement;
    const test = last.test ? `, test ${formatPercent(last.test.accuracy)} (loss ${scientific(last.test.loss)})` : '';
    scores.push(
      `seed ${seed}: epoch ${last.epoch}, loss ${scientific(last.train.loss)}, train ${formatPercent(last.train.accuracy)}${test}`,
    );
    for (const { layer, nc1, nfa, nfaSqrt, fact, effectiveRank, principalAngles } of last.layers) {
      const angle = principalAngles[0];
      rows.push([
        String(seed),
        String(layer),
        ...[nc1.input, nc1.right, nc1.output, nc1.agop].map(scientific),
        fixed(nfa, 3),
        fixed(nfaSqrt, 3),
        ...(decays ? [fixed(fact?.correlation ?? Number.NaN, 3), scientific(fact?.difference ?? Number.NaN)] : []),
        fixed(effectiveRank, 1),
        angle === undefined ? 'n/a' : `${((180 * angle) / Math.PI).toFixed(1)}°`,
      ]);
    }
  }
  return [
    ...scores,
    '',
    ...tableLines([...HEADER, ...(decays ? FACT_HEADER : []), ...HEADER_END], rows),
    ...[missingClassesText(metrics.classCounts) ?? []].flat(),
    '',
    `${formatSeconds(metrics.seconds)} on ${metrics.adapter.description || metrics.adapter.device || 'the adapter'} ` +
      `(${metrics.adapter.type}), ${formatSeconds(metrics.compilationSeconds ?? 0)} of it to compile shaders; device memory: peak ${formatBytes(metrics.memory.peakBytes)}`,
  ];
}
