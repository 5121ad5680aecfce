/** A single machine of `fit`: all rows, or those of a leaf. */

import { type Prepared, scoreOf } from '../model/fit-rows.js';
import type { FitTree } from '../report/fit-document.js';
import { formatNumber, formatSeconds } from '../report/format.js';
import type {
  EstimatorOptions,
  EstimatorResult,
  EstimatorState,
  FittedEstimator,
  Predictor,
} from '../rfm/estimator.js';
import type { Metric } from '../rfm/estimator-metric.js';
import type { FitIteration, Scores } from '../rfm/scores.js';
import type { TreePredictor } from '../rfm/tree-predict.js';
import type { Gpu } from '../runtime/gpu.js';
import type { FitConfig } from './fit-request.js';
import { solveRemarks } from './run-progress.js';
import type { Terminal } from './terminal.js';

/** A tree whose machines are in memory. */
export interface FittedTree extends TreePredictor {
  leaves: readonly Predictor[];
}

/** What a fit came to: a machine, or a tree of them. */
export interface Made {
  machine: { predictor: Predictor; fitted: FittedEstimator } | null;
  tree: { predictor: FittedTree; about: FitTree } | null;
  /** Of the machine; of a tree the mean of its leaves. */
  metric: Metric;
  /** Of the machine; none of a tree, whose leaves have their own. */
  iterations: FitIteration[];
  predictedBytes: number;
  notes: string[];
}

/** A fit of these rows. */
export interface Fit {
  prepared: Prepared;
  config: FitConfig;
  options: EstimatorOptions;
  /** Is added to. */
  iterations: FitIteration[];
  terminal: Terminal;
}

/** A fit of the estimator, scored; a line for each update. */
export async function fitRows(
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

/** Of targets of size 1. */
const WORTH_SAYING = 1e-4;

/** How many digits predictions have, where that is few: a smooth kernel and a small ridge make α long. */
async function roundingNote({ alpha, family, bandwidth, metric, n, d, outputs }: Predictor): Promise<string[]> {
  const { longestOf, predictionRounding, transposeHost } = await import('./method.js');
  const length = longestOf(transposeHost(alpha, n, outputs), outputs);
  const cols = metric?.form === 'full' ? metric.rank : d;
  const rounding = predictionRounding(family.at(bandwidth), cols, length);
  if (rounding < WORTH_SAYING) return [];
  return [
    `predictions are known to about ${rounding.toExponential(0)} of the target's deviation, or of a class's ±1, since they are differences of large terms; a larger --ridge leaves more digits`,
  ];
}

/** What is to be said of a fit of so many updates of M at most. */
export async function notesOf(
  { reports, best }: EstimatorResult,
  iterations: number,
  predictor: Predictor,
): Promise<string[]> {
  const notes = reports.flatMap(({ iteration, solve }) =>
    solveRemarks(solve).map((remark) => `fit ${iteration}: ${remark}`),
  );
  if (reports.length <= iterations)
    notes.push(`the fit ended after ${reports.length - 1} updates of M, since the last ones did not improve the score`);
  if (best.iteration === 0 && reports.length > 1)
    notes.push('no update of M improved the score: the fit that was kept is plain kernel regression');
  return [...notes, ...(await roundingNote(predictor))];
}
