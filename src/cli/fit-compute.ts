/** `fit` on a device: search or folds, the fit itself, and the predictions of test rows. */

import { inputError } from '../errors.js';
import {
  confusionOf,
  type Decoded,
  decode,
  type EncodedRows,
  type Prepared,
  predictorOf,
  prepare,
  scoreOf,
} from '../model/fit-rows.js';
import { estimatorOptions } from '../model/fit-settings.js';
import { familyOf } from '../ops/kernels/families.js';
import { FIT_SCHEMA, type FitDocument, type FitFold, type FitTrial } from '../report/fit-document.js';
import type { FitParts } from '../report/fit-report.js';
import { formatNumber, formatSeconds } from '../report/format.js';
import type { EstimatorOptions, EstimatorResult, EstimatorState, FittedEstimator } from '../rfm/estimator.js';
import { type FitIteration, isGain, type Scores } from '../rfm/scores.js';
import type { Split } from '../rfm/split.js';
import type { Gpu } from '../runtime/gpu.js';
import { type FitCheckpoint, fitCheckpointWriter, fitSettings } from './fit-checkpoint.js';
import { type FitConfig, type FitFlags, type FitRequest, splitsOf } from './fit-request.js';
import { describeFit, predictionsText, shownOf } from './fit-results.js';
import { bestTrial, configAt, search } from './fit-tune.js';
import { planLine } from './run-plan.js';
import { solveRemarks } from './run-progress.js';
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
  fitted: FittedEstimator;
  /** Of the kernels that it was made with. */
  config: FitConfig;
}

/** The fit, with a checkpoint after each part of it; `onKept` hears of it. */
export async function computeFit(
  gpu: Gpu,
  command: FitCommand,
  resume: FitCheckpoint | null,
  onKept: () => void,
): Promise<FitOutcome> {
  const { request, flags, terminal, signal } = command;
  const started = performance.now();
  const elapsed = (): number => (resume?.seconds ?? 0) + (performance.now() - started) / 1000;
  const write = fitCheckpointWriter(request, flags, gpu);
  const done: unknown[] = [...(resume?.done ?? [])];
  const keep = (iterations: FitIteration[], state: EstimatorState | null): void => {
    write({ done, iterations, state, seconds: elapsed() });
    onKept();
    signal.throwIfAborted();
  };
  const chosen = await choose(gpu, command, done, () => keep([], null));
  const { prepared, config, options } = chosen;
  const iterations = [...(resume?.iterations ?? [])];
  const result = await fitRows(
    gpu,
    { prepared, config, options, iterations, terminal },
    resume?.state ?? null,
    (state) => keep(iterations, state),
  );
  const { best } = result;
  const predictor = predictorOf(prepared, best, config);
  const { predictEstimator } = await import('./method.js');
  const of = async (rows: EncodedRows | null): Promise<Decoded | null> =>
    rows && decode(await predictEstimator(gpu, predictor, rows.x, flags.memoryLimit ?? null), prepared.outputs);
  const [validation, test] = [await of(prepared.validation), await of(prepared.test)];
  const train = validation || test ? null : await of(prepared.train);
  const { folds, trials } = chosen;
  const shown = await describeFit({ prepared, best, fits: iterations, folds, validation, test, train });
  const document: FitDocument = {
    schema: FIT_SCHEMA,
    version: VERSION,
    config: { ...request.config },
    settings: settingsOf(config, best),
    made: { webgpu: webgpuVersion(), settings: fitSettings(request, flags), rows: request.checksums },
    adapter: gpu.adapter,
    task: request.config.task,
    ...shown.document,
    ...{ folds, trials },
    memory: { predictedBytes: result.plan.peakBytes, peakBytes: gpu.pool.bytes.peak },
    notes: [...request.remarks, ...notesOf(result, config)],
    seconds: elapsed(),
  };
  const parts: FitParts = {
    score: request.config.score,
    metric: shown.metric,
    ...shown.pictured,
    predictions: predictionsText(prepared, { validation, test, train }),
  };
  return { document, parts, prepared, fitted: best, config };
}

const settingsOf = (config: FitConfig, best: FittedEstimator): FitDocument['settings'] => ({
  kernel: config.kernel,
  formula: familyOf(config).at(best.bandwidth).formula,
  ...{ metricForm: config.metricForm, ridge: best.ridge, ridgeForm: config.ridgeForm, bandwidth: best.bandwidth },
});

function notesOf({ reports, best }: EstimatorResult, { iterations }: FitConfig): string[] {
  const notes = reports.flatMap(({ iteration, solve }) =>
    solveRemarks(solve).map((remark) => `fit ${iteration}: ${remark}`),
  );
  if (reports.length <= iterations)
    notes.push(`the fit ended after ${reports.length - 1} updates of M, since the last ones did not improve the score`);
  if (best.iteration === 0 && reports.length > 1)
    notes.push('no update of M improved the score: the fit that was kept is plain kernel regression');
  return notes;
}

interface Chosen {
  prepared: Prepared;
  config: FitConfig;
  options: EstimatorOptions;
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
    await announce(gpu, terminal, prepared, options);
    if (config.tune === null) return { prepared, config, options, folds: null, trials: null };
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
      folds: null,
      trials,
    };
  }
  const all = done as FitFold[];
  for (let k = all.length; k < splits.length; k++) {
    const prepared = prepare(request, splits[k]);
    const options = { ...estimatorOptions(config, prepared.data.n, memoryLimit), patience: 0 };
    if (k === 0) await announce(gpu, terminal, prepared, options);
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
  return { prepared, config: { ...config, iterations }, options, folds: [...all], trials: null };
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

async function announce(gpu: Gpu, terminal: Terminal, prepared: Prepared, options: EstimatorOptions): Promise<void> {
  const { describeAdapter, limitsOf, planEstimator } = await import('./method.js');
  const { n, d, outputs, validation } = prepared.data;
  const plan = planEstimator(prepared.data, options, limitsOf(gpu, options.memoryLimit));
  terminal.note(
    `fit      ${n} rows, ${d} features, ${outputs} output${outputs === 1 ? '' : 's'}; ${validation?.rows ?? 0} rows to score by`,
  );
  terminal.note(`adapter  ${describeAdapter(gpu.adapter)}`);
  terminal.note(`method   ${planLine(plan)}`);
  for (const change of prepared.changes) terminal.note(`note: ${change}`);
}

interface Fit {
  prepared: Prepared;
  config: FitConfig;
  options: EstimatorOptions;
  /** Is added to. */
  iterations: FitIteration[];
  terminal: Terminal;
}

/** A fit of the estimator, scored; a line for each update. */
async function fitRows(
  gpu: Gpu,
  { prepared, config, options, iterations, terminal }: Fit,
  resume: EstimatorState | null,
  onState: (state: EstimatorState) => void,
): Promise<EstimatorResult> {
  const { fitScored } = await import('./method.js');
  const { score } = config;
  const started = performance.now();
  const before = iterations.length;
  return fitScored(
    gpu,
    { prepared, options, score },
    (fit, state) => {
      iterations.push(fit);
      const fits = iterations.length;
      const left = ((performance.now() - started) / 1000 / (fits - before)) * (options.iterations + 1 - fits);
      const part = (name: string, scores: Scores | null): string =>
        scores ? `  ${name} ${formatNumber(scoreOf(scores, score))}` : '';
      terminal.note(
        `updates of M ${fit.iteration}/${options.iterations}${part('training', fit.train)}${part('validation', fit.validation)}  L ${formatNumber(fit.bandwidth)}${left > 0 ? `  at most about ${formatSeconds(Math.max(1, Math.round(left)))} left` : ''}`,
      );
      onState(state);
    },
    resume,
  );
}
