/** `fit` on a device: search or folds, the fit itself, and the predictions of test rows. */

import { inputError } from '../errors.js';
import {
  checkScore,
  confusionOf,
  type Decoded,
  decode,
  type EncodedRows,
  type Prepared,
  predictorOf,
  prepare,
  scoreOf,
  scoresOf,
} from '../model/fit-rows.js';
import { estimatorOptions } from '../model/fit-settings.js';
import { familyOf } from '../ops/kernels/families.js';
import { FIT_SCHEMA, type FitDocument, type FitFold, type FitTrial } from '../report/fit-document.js';
import type { FitParts } from '../report/fit-report.js';
import { formatNumber } from '../report/format.js';
import type { EstimatorOptions, FittedEstimator } from '../rfm/estimator.js';
import { type FitIteration, isGain, type Scores } from '../rfm/scores.js';
import type { Split } from '../rfm/split.js';
import type { TreePlan } from '../rfm/tree-predict.js';
import type { Gpu } from '../runtime/gpu.js';
import { targetRows } from '../table/target.js';
import { type FitCheckpoint, fitCheckpointWriter, fitSettings } from './fit-checkpoint.js';
import { fitRows, type Made, notesOf } from './fit-machine.js';
import { type FitConfig, type FitFlags, type FitRequest, splitsOf } from './fit-request.js';
import { describeFit, predictionsText, shownOf } from './fit-results.js';
import { fitTree, sampleOf } from './fit-tree.js';
import { bestTrial, configAt, search } from './fit-tune.js';
import { planLine } from './run-plan.js';
import type { Terminal } from './terminal.js';
import { VERSION, webgpuVersion } from './version.js';

/** The command as it was given. */
export interface FitCommand {
  request: FitRequest;
  flags: FitFlags;
  terminal: Terminal;
  signal: AbortSignal;
}

/** What a fit came to: its documents, and what predicts. */
export interface FitOutcome {
  document: FitDocument;
  parts: FitParts;
  prepared: Prepared;
  made: Made;
  /** Of the kernels that it was made with. */
  config: FitConfig;
}

/** What there is to keep, beside folds and trials. */
type Kept = Pick<FitCheckpoint, 'iterations' | 'state' | 'tree'>;

/** The fit, with a checkpoint after each part of it; `onKept` hears of it. */
export async function computeFit(
  gpu: Gpu,
  command: FitCommand,
  resume: FitCheckpoint | null,
  onKept: () => void,
): Promise<FitOutcome> {
  const { request, flags, signal } = command;
  const started = performance.now();
  const elapsed = (): number => (resume?.seconds ?? 0) + (performance.now() - started) / 1000;
  const write = fitCheckpointWriter(request, flags, gpu);
  const done: unknown[] = [...(resume?.done ?? [])];
  const keep = (kept: Kept): void => {
    write({ done, ...kept, seconds: elapsed() });
    onKept();
    signal.throwIfAborted();
  };
  const chosen = await choose(gpu, command, done, () => keep({ iterations: [], state: null, tree: null }));
  const { prepared, config, folds, trials } = chosen;
  const made = await make(gpu, command, chosen, resume, keep);
  const { predictEstimator, predictTree } = await import('./method.js');
  const limit = flags.memoryLimit ?? null;
  const of = async (rows: EncodedRows | null): Promise<Decoded | null> => {
    if (rows === null) return null;
    const { machine, tree } = made;
    if (tree) return decode(await predictTree(gpu, tree.predictor, rows.x, limit), prepared.outputs);
    return machine && decode(await predictEstimator(gpu, machine.predictor, rows.x, limit), prepared.outputs);
  };
  const [validation, test] = [await of(prepared.validation), await of(prepared.test)];
  const own = made.tree || !(validation || test) ? await of(prepared.train) : null;
  const found = { validation, test, train: validation || test ? null : own };
  const trainScores = own && scoresOf(prepared.train.target, own);
  const shown = await describeFit({ prepared, made, trainScores, folds, ...found });
  const document: FitDocument = {
    schema: FIT_SCHEMA,
    version: VERSION,
    config: { ...request.config },
    settings: settingsOf(config, made),
    made: { webgpu: webgpuVersion(), settings: fitSettings(request, flags), rows: request.checksums },
    adapter: gpu.adapter,
    task: request.config.task,
    ...shown.document,
    ...{ folds, trials },
    memory: { predictedBytes: made.predictedBytes, peakBytes: gpu.pool.bytes.peak },
    notes: [...request.remarks, ...made.notes, ...unsureMetric(config, made)],
    seconds: elapsed(),
  };
  const parts: FitParts = {
    score: request.config.score,
    metric: shown.metric,
    ...shown.pictured,
    predictions: predictionsText(prepared, found),
  };
  return { document, parts, prepared, made, config };
}

/** Where later updates of a full M are not sure: see `coordinateExponent`. */
function unsureMetric(config: FitConfig, { machine, tree }: Made): string[] {
  const updates = machine ? [machine.fitted.iteration] : (tree?.about.leaves ?? []).map(({ best }) => best);
  const { coordinateExponent } = familyOf(config);
  if (config.metricForm !== 'full' || coordinateExponent >= 1 || Math.max(...updates) < 2) return [];
  return [
    `a full M, and differences to the power of ${formatNumber(coordinateExponent)}: from its second update on M depends on the last digits of the one before, since a single pair of rows with a nearly equal value can decide it; use --metric-form diagonal`,
  ];
}

/** Of a tree what all of its leaves have. */
function settingsOf(config: FitConfig, { machine, tree }: Made): FitDocument['settings'] {
  const machines = machine ? [machine.fitted] : (tree?.about.leaves ?? []);
  const common = (values: number[]): number | null =>
    values.every((value) => value === values[0]) ? (values[0] ?? null) : null;
  const bandwidth = common(machines.map((one) => one.bandwidth));
  return {
    kernel: config.kernel,
    formula: familyOf(config).at(bandwidth ?? 1).formula,
    ...{ metricForm: config.metricForm, ridgeForm: config.ridgeForm },
    ...{ ridge: common(machines.map((one) => one.ridge)), bandwidth },
  };
}

/** The last fit: a machine, or the tree that is planned. */
async function make(
  gpu: Gpu,
  { flags, terminal }: FitCommand,
  { prepared, config, machine, tree }: Chosen,
  resume: FitCheckpoint | null,
  keep: (kept: Kept) => void,
): Promise<Made> {
  const memoryLimit = flags.memoryLimit ?? null;
  if (tree) return fitTree(gpu, { prepared, config, machine, plan: tree, memoryLimit, terminal }, resume, keep);
  const iterations = [...(resume?.iterations ?? [])];
  const fit = { prepared, config, options: machine(prepared.data.n), iterations, terminal };
  const result = await fitRows(gpu, fit, resume?.state ?? null, (state) => keep({ iterations, state, tree: null }));
  const { best, plan } = result;
  const predictor = predictorOf(prepared, best, config);
  const notes = await notesOf(result, config.iterations, predictor);
  if (flags.splitTemperature !== undefined)
    notes.push(`--split-temperature ${flags.splitTemperature}: has no effect, since the rows make one machine`);
  return {
    machine: { predictor, fitted: best },
    ...{ tree: null, metric: best.metric, iterations, predictedBytes: plan.peakBytes, notes },
  };
}

interface Chosen {
  prepared: Prepared;
  config: FitConfig;
  /** What a machine of so many rows is told. */
  machine(rows: number): EstimatorOptions;
  /** Where there are more rows than one machine takes. */
  tree: TreePlan | null;
  folds: FitFold[] | null;
  trials: FitTrial[] | null;
}

/** Settings and rows of the last fit: as asked for, by a search, or with as many updates as were best on folds. */
async function choose(gpu: Gpu, command: FitCommand, done: unknown[], keep: () => void): Promise<Chosen> {
  const { request, flags, terminal } = command;
  const { config } = request;
  if (config.folds !== null) return chooseByFolds(gpu, command, done as FitFold[], keep);
  const prepared = prepare(request, splitsOf(request)[0]);
  const machine = (rows: number): EstimatorOptions => estimatorOptions(config, rows, flags.memoryLimit ?? null);
  const plan = await announce(gpu, terminal, prepared, config, machine);
  const chosen = { prepared, config, machine, tree: plan.shape && plan, folds: null, trials: null };
  return config.tune === null ? chosen : chooseByTrials(gpu, command, chosen, done as FitTrial[], keep);
}

/** The settings of the best trial. Of more rows than one machine takes, trials have as many as a split is learned from. */
async function chooseByTrials(
  gpu: Gpu,
  { flags, terminal, request }: FitCommand,
  asked: Chosen,
  done: FitTrial[],
  keep: () => void,
): Promise<Chosen> {
  const { prepared, config, tree } = asked;
  if (prepared.validation === null) throw inputError('--tune: there are no rows to score by; give --validation');
  const sample = tree ? await sampleOf(prepared, tree.splitRows, config.seed) : prepared;
  if (tree) terminal.note(`search   by ${sample.data.n} of the rows, ${sample.data.validation?.rows} to score by`);
  const onTrial = (all: FitTrial[]): void => {
    done.splice(0, done.length, ...all);
    keep();
  };
  const trials = await search(gpu, { prepared: sample, config, flags, terminal, onTrial }, done);
  const best = bestTrial(trials, config.score);
  if (best === null)
    throw inputError(`--tune: no trial has a score; the first one says: ${trials[0]?.failure ?? 'nothing'}`);
  const own = { ...configAt(config, best), iterations: best.iteration };
  const machine = (rows: number): EstimatorOptions => {
    const relative = config.ridgeForm === 'relative' ? rows : 1;
    const ridge = best.ridges.map((value) => value * relative);
    return { ...estimatorOptions(own, rows, flags.memoryLimit ?? null), ridge, patience: 0 };
  };
  // Another kernel may hold more, and leave less for a leaf.
  const plan = tree && (await planOf(gpu, prepared, request.config, machine));
  return { ...asked, config: own, machine, tree: plan?.shape ? plan : null, trials };
}

/** As many updates as were best on folds, for all rows. */
async function chooseByFolds(gpu: Gpu, command: FitCommand, all: FitFold[], keep: () => void): Promise<Chosen> {
  const { request, flags, terminal, signal } = command;
  const { config, rows } = request;
  const splits = splitsOf(request);
  const memoryLimit = flags.memoryLimit ?? null;
  const everything: Split = {
    train: Int32Array.from({ length: rows.table.rows }, (_, i) => i),
    held: new Int32Array(0),
  };
  const machine = (n: number): EstimatorOptions => ({ ...estimatorOptions(config, n, memoryLimit), patience: 0 });
  for (const { held } of splits) checkScore(targetRows(rows.target, held), config.score);
  for (let k = all.length; k < splits.length; k++) {
    const prepared = prepare(request, splits[k]);
    const options = machine(prepared.data.n);
    if (k === 0) await announce(gpu, terminal, prepared, config, machine);
    const fits: FitIteration[] = [];
    terminal.note(`fold ${k + 1}/${splits.length}`);
    const { best } = await fitRows(gpu, { prepared, config, options, iterations: fits, terminal }, null, () =>
      signal.throwIfAborted(),
    );
    const held = (fit: FitIteration): Scores => fit.validation ?? fit.train;
    all.push({
      fold: k + 1,
      ...(await heldOut(gpu, prepared, config, best, memoryLimit)),
      iteration: best.iteration,
      scores: held(fits[best.iteration]),
      curve: fits.map((fit) => scoreOf(held(fit), config.score)),
    });
    keep();
  }
  const iterations = bestUpdates(all, config);
  return {
    prepared: prepare(request, everything),
    config: { ...config, iterations },
    machine: (n) => ({ ...machine(n), iterations }),
    ...{ tree: null, folds: [...all], trials: null },
  };
}

/** What a fold's best fit predicts of the rows that it held out. */
async function heldOut(
  gpu: Gpu,
  prepared: Prepared,
  config: FitConfig,
  best: FittedEstimator,
  memoryLimit: number | null,
): Promise<Pick<FitFold, 'confusion' | 'points'>> {
  const { validation, outputs } = prepared;
  if (!validation) return { confusion: null, points: [] };
  const { predictEstimator } = await import('./method.js');
  const predictor = predictorOf(prepared, best, config);
  const decoded = decode(await predictEstimator(gpu, predictor, validation.x, memoryLimit), outputs);
  return {
    confusion: confusionOf(validation.target, decoded),
    points: shownOf(prepared, { validation: decoded, test: null, train: null })?.points ?? [],
  };
}

/** The number of updates whose mean score over the folds is best. */
function bestUpdates(folds: readonly FitFold[], { score }: FitConfig): number {
  const sign = isGain(score) ? -1 : 1;
  const means = folds[0].curve.map((_, i) =>
    folds.reduce((sum, { curve }) => sum + (sign * curve[i]) / folds.length, 0),
  );
  return Math.max(0, means.indexOf(Math.min(...means)));
}

/** Says what is to be done, and how rows become leaves where one machine does not take them all. */
async function announce(
  gpu: Gpu,
  terminal: Terminal,
  prepared: Prepared,
  config: FitConfig,
  machine: Chosen['machine'],
): Promise<TreePlan> {
  const { describeAdapter } = await import('./method.js');
  const { n, d, outputs, validation } = prepared.data;
  const found = await planOf(gpu, prepared, config, machine);
  terminal.note(
    `fit      ${n} rows, ${d} features, ${outputs} output${outputs === 1 ? '' : 's'}; ${validation?.rows ?? 0} rows to score by`,
  );
  terminal.note(`adapter  ${describeAdapter(gpu.adapter)}`);
  if (found.shape) terminal.note(`tree     ${treeLine(found)}`);
  terminal.note(`method   ${planLine(found.plan)}`);
  for (const change of prepared.changes) terminal.note(`note: ${change}`);
  return found;
}

/** How rows become leaves, and what a machine will hold. Folds have a single one, whatever the number of rows. */
export async function planOf(
  gpu: Gpu,
  { data }: Prepared,
  { leafRows, folds }: FitConfig,
  machine: Chosen['machine'],
): Promise<TreePlan> {
  const { limitsOf, planTree } = await import('./method.js');
  const options = machine(data.n);
  return planTree(
    data,
    options,
    folds === null ? leafRows : Number.POSITIVE_INFINITY,
    limitsOf(gpu, options.memoryLimit),
  );
}

/** The leaves of a tree, in words. */
export function treeLine({ shape, splitRows }: TreePlan): string {
  const leaves = shape?.leaves ?? [];
  const [least, most] = [Math.min(...leaves), Math.max(...leaves)];
  const rows = least === most ? `${most}` : `${least} to ${most}`;
  return `${leaves.length} leaves of ${rows} rows; ${shape?.splits.length ?? 0} splits, each by a machine of at most ${splitRows} rows`;
}
