/** The layers of `run`: on a device that may be lost, with a checkpoint after each. */

import { countClasses } from '../data/rows.js';
import { RfmError } from '../errors.js';
import { kernelOf } from '../ops/kernels/kernels.js';
import { ACTIVATION_NAMES, classesText, formatBytes, formatNumber, formatSeconds } from '../report/format.js';
import type { GramFile } from '../report/page.js';
import type { DeepRfmData, DeepRfmResult } from '../rfm/deep-rfm.js';
import type { DeepRfmOptions } from '../rfm/options.js';
import type { ProblemSize, RunPlan } from '../rfm/plan.js';
import { runDocument } from '../rfm/run-document.js';
import type { LayerMetrics, RunMetrics } from '../rfm/types.js';
import type { Gpu } from '../runtime/gpu.js';
import { withGpu } from './gpu-session.js';
import { messageOf } from './messages.js';
import {
  adoptDevice,
  checkpointWriter,
  identityOf,
  madeOf,
  type RunCheckpoint,
  readRunCheckpoint,
} from './run-checkpoint.js';
import type { RunModelWriter, StagedRunModel } from './run-model.js';
import { planLine } from './run-plan.js';
import { type RunProgress, runProgress } from './run-progress.js';
import { optionsOf, type RunFlags, type RunRequest } from './run-request.js';
import type { Terminal } from './terminal.js';
import { VERSION } from './version.js';

/** The command as it was given. */
export interface RunCommand {
  request: RunRequest;
  flags: RunFlags;
  terminal: Terminal;
  signal: AbortSignal;
}

export interface Computed {
  metrics: RunMetrics;
  pictures: GramFile[];
  predictions: Float32Array | null;
  /** With --save-model. */
  model: StagedRunModel | null;
}

/** Hears of every layer that is kept in a checkpoint, with what there is so far. */
type OnKept = (layer: number, whole: Computed | null) => void;

/** Devices that were lost by this command, and by this run. */
interface Lost {
  here: number;
  ever: number;
}

/** The layers, with a checkpoint after each; `onKept` hears of it. A device that is lost is opened again, once a layer. */
export async function compute(command: RunCommand, resume: RunCheckpoint | null, onKept: OnKept): Promise<Computed> {
  const { request, flags, terminal } = command;
  for (const remark of request.remarks) terminal.note(`note: ${remark}`);
  let from = resume;
  let lostIn = -1;
  // A checkpoint that another run left is not this run's.
  let saved = resume !== null;
  for (let losses = 0; ; losses++) {
    const lost = { here: losses, ever: losses + (resume?.deviceLosses ?? 0) };
    try {
      return await onDevice(command, from, lost, (layer, whole) => {
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

/** The layers after those of the checkpoint, on a device of their own. */
async function onDevice(
  command: RunCommand,
  resume: RunCheckpoint | null,
  lost: Lost,
  onKept: OnKept,
): Promise<Computed> {
  const { request, flags, terminal, signal } = command;
  const { dataset, config, out } = request;
  const { train, test, classes } = dataset;
  const { describeAdapter, planOf } = await import('./method.js');
  const data = { train, test, classes };
  const options = { ...optionsOf(config), metric: request.metric };
  let progress: RunProgress | null = null;
  const compiling = (seconds: number): boolean => progress?.onCompiling(seconds) ?? false;
  return withGpu({ ...flags, compileAhead: true, note: terminal.note, compiling }, signal, async (gpu: Gpu) => {
    if (flags.tile !== undefined) gpu.tileBytes = flags.tile;
    const plan = planOf(gpu, data, options, flags.memoryLimit ?? null);
    if (lost.here === 0) await announce(gpu, command, plan, describeAdapter(gpu.adapter));
    if (resume) {
      const done = resume.state.layers.length;
      adoptDevice(resume, gpu, out, describeAdapter);
      onKept(done, null);
      if (lost.here === 0) terminal.note(`resumed  after layer ${done} of ${config.depth}`);
    }
    const { depth, gramLayers } = config;
    const timing = { depth, gramLayers, later: await laterLayers(request, plan) };
    progress = runProgress(terminal, timing, resume?.state.layers);
    try {
      return await runLayers(gpu, command, { data, options, plan, resume, lost, progress }, onKept);
    } finally {
      progress.stop();
    }
  });
}

/** Seconds of each later layer, from the first one. */
async function laterLayers(request: RunRequest, plan: RunPlan): Promise<(first: LayerMetrics) => number> {
  // All layers of infinite width are of one size.
  if (request.config.width === 'inf') return ({ seconds }) => seconds.total;
  const { laterLayerSeconds } = await import('./method.js');
  const size = await problemSize(request);
  return (first) => laterLayerSeconds(size, plan, first);
}

async function problemSize({ config, d, dataset }: RunRequest): Promise<ProblemSize> {
  const { sizeOf } = await import('./method.js');
  const { n, testN } = config;
  return sizeOf(optionsOf(config), { n, testN, d, outputs: dataset.classes });
}

/** What is about to be computed, and for how long. */
async function announce(gpu: Gpu, { request, terminal }: RunCommand, plan: RunPlan, adapter: string): Promise<void> {
  for (const line of heading(request, adapter, plan)) terminal.note(line);
  const seconds = await estimate(gpu, request, plan);
  if (seconds === null) return;
  terminal.note(`time     about ${formatSeconds(seconds)} (estimated), and what shaders take to be compiled`);
}

interface Layers {
  data: DeepRfmData;
  options: DeepRfmOptions;
  plan: RunPlan;
  resume: RunCheckpoint | null;
  lost: Lost;
  progress: RunProgress;
}

async function runLayers(
  gpu: Gpu,
  { request, flags, signal }: RunCommand,
  { data, options, plan, resume, lost, progress }: Layers,
  onKept: OnKept,
): Promise<Computed> {
  const [{ classCountsOf, deepRfm }, { gramPng }] = await Promise.all([
    import('./method.js'),
    import('../report/gram.js'),
  ]);
  const pictures = [...(resume?.pictures ?? [])];
  const keep = checkpointWriter(request, flags, gpu);
  const model = flags.saveModel === undefined ? null : await modelWriter(request, resume);
  const started = performance.now();
  const spent = () => ({
    seconds: (resume?.seconds ?? 0) + (performance.now() - started) / 1000,
    peakBytes: Math.max(resume?.peakBytes ?? 0, gpu.pool.bytes.peak),
    deviceLosses: lost.ever,
  });
  const computedOf = (result: Omit<DeepRfmResult, 'grams'>): Computed => ({
    metrics: metricsOf(request, flags, { ...result, ...spent(), adapter: gpu.adapter, plan }),
    pictures: [...pictures],
    predictions: result.predictions,
    model: model && { written: model.written(), device: identityOf(gpu) },
  });
  const result = await deepRfm(gpu, data, options, {
    plan,
    memoryLimit: flags.memoryLimit ?? null,
    resume: resume?.state ?? null,
    keep: model?.keep ?? null,
    progress: {
      onPhase(layer, phase) {
        loseDeviceWhereAsked(gpu, layer, phase, lost.here);
        progress.onPhase(layer, phase);
      },
      onLayer: progress.onLayer,
      async save(state, gram) {
        if (gram) pictures.push({ layer: gram.layer, png: await gramPng(gram) });
        keep({ state, pictures, ...spent(), model: model?.written() ?? null });
        const classCounts = classCountsOf(data.train.labels, data.classes);
        onKept(state.layers.length, computedOf({ ...state, classCounts }));
      },
      signal,
    },
  });
  return computedOf(result);
}

/** Takes the layers of the model as they come, after those that a checkpoint speaks of. */
async function modelWriter({ out }: RunRequest, resume: RunCheckpoint | null): Promise<RunModelWriter> {
  const [{ deepRfmWriter }, { checkStagedModel, stagedModel }] = await Promise.all([
    import('../model/deep-rfm.js'),
    import('./run-model.js'),
  ]);
  const done = resume?.model ?? null;
  if (done) await checkStagedModel(out, done);
  return deepRfmWriter(stagedModel(out), done);
}

/** metrics.json of the layers so far. */
function metricsOf(
  request: RunRequest,
  flags: RunFlags,
  found: Pick<RunMetrics, 'layers' | 'classCounts' | 'adapter' | 'deviceLosses' | 'seconds'> & {
    plan: RunPlan;
    peakBytes: number;
  },
): RunMetrics {
  const { config } = request;
  const { layers, classCounts, adapter, deviceLosses, seconds, plan, peakBytes } = found;
  return runDocument({
    ...{ version: VERSION, config, adapter, classCounts, layers, deviceLosses, seconds, plan, peakBytes },
    // Of a run that ended early the results are not those of a finished one.
    ...(layers.length === config.depth && { made: madeOf(request, flags) }),
  });
}

/**
 * For tests of what follows the loss of a device: DEEP_RFM_LOSE_DEVICE=LAYER:PHASE destroys it there, once; with several,
 * separated by commas, one after the other; with :always behind the first, every time.
 */
function loseDeviceWhereAsked(gpu: Gpu, layer: number, phase: string, losses: number): void {
  const places = (process.env.DEEP_RFM_LOSE_DEVICE ?? '').split(',').map((place) => place.split(':'));
  const [atLayer, atPhase] = places[0][2] === 'always' ? places[0] : (places[losses] ?? []);
  if (atLayer === String(layer) && atPhase === phase) gpu.device.destroy();
}

/** Below this many operations in a run, measuring how fast the adapter is would take longer than it is worth. */
const WORTH_ESTIMATING = 2e11;

/** Seconds that the run is expected to take; null for a short one. */
async function estimate(gpu: Gpu, request: RunRequest, plan: RunPlan): Promise<number | null> {
  const { estimateLayers, measureRates, totalOf } = await import('./method.js');
  const { n, depth } = request.config;
  const size = await problemSize(request);
  const estimated = (rates: Parameters<typeof estimateLayers>[3]) =>
    totalOf(estimateLayers(size, depth, plan, rates), depth);
  const { operations } = estimated({ product: 1, distance: 1, cholesky: 1, weight: 1, trip: 0 });
  return operations < WORTH_ESTIMATING ? null : estimated(await measureRates(gpu, n)).total;
}

/** What is about to be computed, and on what. */
function heading({ config, dataset, d, out }: RunRequest, adapter: string, plan: RunPlan): string[] {
  const kernel = `${kernelOf(config).label} kernel, bandwidth ${formatNumber(config.bandwidth)}, ridge ${formatNumber(config.ridge)}`;
  const width = config.width === 0 ? 'as wide as their input' : `width ${config.width === 'inf' ? '∞' : config.width}`;
  const gamma = config.activation === 'cos' ? `, gamma ${formatNumber(config.gamma)}` : '';
  return [
    `dataset  ${config.dataset}: ${config.n} × ${d} training rows, ${config.testN} test rows, ${classesText(countClasses(dataset.train, dataset.classes))}`,
    `method   depth ${config.depth}; ${kernel}; ${ACTIVATION_NAMES[config.activation]} features, ${width}${gamma}; seed ${config.seed}`,
    ...(config.metric === undefined ? [] : [`metric   ${config.metric}, before the first layer`]),
    `adapter  ${adapter}`,
    `memory   about ${formatBytes(plan.peakBytes)} on the device (predicted)`,
    `plan     ${planLine(plan)}`,
    `output   ${out}`,
    'NC1 and NC2 are given for the input of a layer → after the square root of the AGOP → after the random features',
  ];
}
