/** `fit` on a device: search or folds, the fit itself, and the predictions of test rows. */

import { inputError } from '../errors.js';
import { familyOf } from '../ops/kernels/families.js';
import {
  FIT_SCHEMA,
  type FitDocument,
  type FitFold,
  type FitIteration,
  type FitTrial,
} from '../report/fit-document.js';
import type { FitParts } from '../report/fit-report.js';
import type { EstimatorOptions, FittedEstimator } from '../rfm/estimator.js';
import { isGain } from '../rfm/scores.js';
import type { Split } from '../rfm/split.js';
import type { TreePlan } from '../rfm/tree-predict.js';
import type { Gpu } from '../runtime/gpu.js';
import { type FitCheckpoint, fitCheckpointWriter, fitSettings } from './fit-checkpoint.js';
import { fitRows, type Made, notesOf, predictorOf } from './fit-machine.js';
import { confusionOf, type Decoded, decode, type EncodedRows, type Prepared, prepare, scoreOf, scoresOf } from './fit-prepare.js';
import { estimatorOptions, type FitConfig, type FitFlags, type FitRequest, splitsOf } from './fit-request.js';
import { describeFit, predictionsText, shownOf } from './fit-results.js';
import { fitTree } from './fit-tree.js';
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
    settings: settingsOf(config, made.machine?.fitted ?? null),
    made: { webgpu: webgpuVersion(), settings: fitSettings(request, flags), rows: request.checksums },
    adapter: gpu.adapter,
    task: request.config.task,
    ...shown.document,
    ...{ folds, trials },
    memory: { predictedBytes: made.predictedBytes, peakBytes: gpu.pool.bytes.peak },
    notes: [...request.remarks, ...made.notes],
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

/** `best`: of a single machine; the leaves of a tree have bandwidths and ridges of their own. */
const settingsOf = (config: FitConfig, best: FittedEstimator | null): FitDocument['settings'] => ({
  kernel: config.kernel,
  formula: familyOf(config).at(best?.bandwidth ?? 1).formula,
  ...{ metricForm: config.metricForm, ridgeForm: config.ridgeForm },
  ...{ ridge: best?.ridge ?? null, bandwidth: best?.bandwidth ?? null },
});

/** The last fit: a machine, or the tree that is planned. */
async function make(
  gpu: Gpu,
  { flags, terminal }: FitCommand,
  { prepared, config, options, tree }: Chosen,
  resume: FitCheckpoint | null,
  keep: (kept: Kept) => void,
): Promise<Made> {
  const memoryLimit = flags.memoryLimit ?? null;
  if (tree) return fitTree(gpu, { prepared, config, plan: tree, memoryLimit, terminal }, resume, keep);
  const iterations = [...(resume?.iterations ?? [])];
  const fit = { prepared, config, options, iterations, terminal };
  const result = await fitRows(gpu, fit, resume?.state ?? null, (state) => keep({ iterations, state, tree: null }));
  const { best, plan } = result;
  const notes = notesOf(result, config.iterations);
  if (flags.splitTemperature !== undefined)
    notes.push(`--split-temperature ${flags.splitTemperature}: has no effect, since the rows make one machine`);
  return {
    machine: { predictor: predictorOf(config, prepared.data, best), fitted: best },
    ...{ tree: null, metric: best.metric, iterations, predictedBytes: plan.peakBytes, notes },
  };
}

interface Chosen {
  prepared: Prepared;
  config: FitConfig;
  options: EstimatorOptions;
  /** Where there are more rows than one machine takes. */
  tree: TreePlan | null;
  folds: FitFold[] | null;
  trials: FitTrial[] | null;
}

/** Settings and rows of the last fit: as asked for, by a search, or with as many updates as were best on folds. */
async function choose(gpu: Gpu, command: FitCommand, done: unknown[], keep: () => void): Promise<Chosen> {
  const { request, flags, terminal } = command;
  const { config, rows } = request;
  const splits = splitsOf(request);
  const memoryLimit = flags.memoryLimit ?? null;
  const everything: Split = {
    train: Int32Array.from({ length: rows.table.rows }, (_, i) => i),
    held: new Int32Array(0),
  };
  if (config.folds === null) {
    const prepared = prepare(request, splits[0]);
    const options = estimatorOptions(config, prepared.data.n, memoryLimit);
    const plan = await announce(gpu, terminal, prepared, config, options);
    const tree = plan.shape && plan;
    if (config.tune === null) return { prepared, config, options, tree, folds: null, trials: null };
    if (prepared.validation === null) throw inputError('--tune: there are no rows to score by; give --validation');
    const trials = await search(
      gpu,
      {
        prepared,
        config,
        flags,
        terminal,
        onTrial: (all) => {
          done.splice(0, done.length, ...all);
          keep();
        },
      },
      done as FitTrial[],
    );
    const best = bestTrial(trials, config.score);
    if (best === null)
      throw inputError(`--tune: no trial has a score; the first one says: ${trials[0]?.failure ?? 'nothing'}`);
    const own = configAt(config, best);
    const found = estimatorOptions(own, prepared.data.n, memoryLimit);
    const relative = config.ridgeForm === 'relative' ? prepared.data.n : 1;
    const ridge = best.ridges.map((value) => value * relative);
    return {
      prepared,
      config: { ...own, iterations: best.iteration },
      options: { ...found, ridge, iterations: best.iteration, patience: 0 },
      ...{ tree: null, folds: null, trials },
    };
  }
  const all = done as FitFold[];
  for (let k = all.length; k < splits.length; k++) {
    const prepared = prepare(request, splits[k]);
    const options = { ...estimatorOptions(config, prepared.data.n, memoryLimit), patience: 0 };
    if (k === 0) await announce(gpu, terminal, prepared, config, options);
    const fits: FitIteration[] = [];
    terminal.note(`fold ${k + 1}/${splits.length}`);
    const { best } = await fitRows(gpu, { prepared, config, options, iterations: fits, terminal }, null, () =>
      command.signal.throwIfAborted(),
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
  const prepared = prepare(request, everything);
  const iterations = bestUpdates(all, config);
  const options = { ...estimatorOptions(config, prepared.data.n, memoryLimit), iterations, patience: 0 };
  return { prepared, config: { ...config, iterations }, options, tree: null, folds: [...all], trials: null };
}

/** What a fold's best fit predicts of the rows that it held out. */
async function heldOut(
  gpu: Gpu,
  prepared: Prepared,
  config: FitConfig,
  best: FittedEstimator,
  memoryLimit: number | null,
): Promise<Pick<FitFold, 'confusion' | 'points'>> {
  const { validation, data, outputs } = prepared;
  if (!validation) return { confusion: null, points: [] };
  const { predictEstimator } = await import('./method.js');
  const predictor = predictorOf(config, data, best);
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
  options: EstimatorOptions,
): Promise<TreePlan> {
  const { describeAdapter, limitsOf, planTree } = await import('./method.js');
  const { n, d, outputs, validation } = prepared.data;
  const found = planTree(prepared.data, options, leafRowsAsked(config, n), limitsOf(gpu, options.memoryLimit));
  terminal.note(
    `fit      ${n} rows, ${d} features, ${outputs} output${outputs === 1 ? '' : 's'}; ${validation?.rows ?? 0} rows to score by`,
  );
  terminal.note(`adapter  ${describeAdapter(gpu.adapter)}`);
  if (found.shape) terminal.note(`tree     ${treeLine(found)}`);
  terminal.note(`method   ${planLine(found.plan)}`);
  for (const change of prepared.changes) terminal.note(`note: ${change}`);
  return found;
}

/** Rows of a leaf at most; null: as many as fit. Folds and searches have a single machine. */
export const leafRowsAsked = ({ leafRows, folds, tune }: FitConfig, n: number): number | null =>
  folds === null && tune === null ? leafRows : n;

/** The leaves of a tree, in words. */
export function treeLine({ shape, splitRows }: TreePlan): string {
  const leaves = shape?.leaves ?? [];
  const [least, most] = [Math.min(...leaves), Math.max(...leaves)];
  const rows = least === most ? `${most}` : `${least} to ${most}`;
  return `${leaves.length} leaves of ${rows} rows; ${shape?.splits.length ?? 0} splits, each by a machine of ${splitRows} rows`;
}
