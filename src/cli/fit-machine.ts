/** A single machine of `fit`: all rows, or those of a leaf. */

import { familyOf } from '../ops/kernels/families.js';
import type { FitIteration, FitTree } from '../report/fit-document.js';
import { formatNumber, formatSeconds } from '../report/format.js';
import type {
  EstimatorData,
  EstimatorOptions,
  EstimatorResult,
  EstimatorState,
  FittedEstimator,
  Predictor,
} from '../rfm/estimator.js';
import type { Metric } from '../rfm/estimator-metric.js';
import { isGain, type Scores } from '../rfm/scores.js';
import type { TreePredictor } from '../rfm/tree-predict.js';
import type { Gpu } from '../runtime/gpu.js';
import { decode, type Prepared, scoreOf, scoresOf } from './fit-prepare.js';
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

/** What predictions of a machine take, with the rows it was fitted to. */
export const predictorOf = (
  config: FitConfig,
  { x, n, d, outputs }: EstimatorData,
  best: FittedEstimator,
): Predictor => ({
  ...{ bandwidth: best.bandwidth, metric: best.metric, alpha: best.alpha },
  ...{ family: familyOf(config), centers: x, n, d, outputs },
});

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
  const { fitEstimator } = await import('./method.js');
  const { outputs, train, validation } = prepared;
  const sign = isGain(config.score) ? -1 : 1;
  const started = performance.now();
  const before = iterations.length;
  let scored: { train: Scores; validation: Scores | null } | null = null;
  return fitEstimator(
    gpu,
    prepared.data,
    options,
    {
      score(predicted) {
        const own = scoresOf(train.target, decode(predicted.train, outputs));
        const held =
          validation && predicted.validation
            ? scoresOf(validation.target, decode(predicted.validation, outputs))
            : null;
        scored = { train: own, validation: held };
        if (held === null) return null;
        const value = sign * scoreOf(held, config.score);
        return Number.isFinite(value) ? value : Number.POSITIVE_INFINITY;
      },
      onIteration({ iteration, bandwidth, solve }, state) {
        if (scored) iterations.push({ iteration, bandwidth, ...scored, solve });
        const fits = iterations.length;
        const left = ((performance.now() - started) / 1000 / (fits - before)) * (options.iterations + 1 - fits);
        const part = (name: string, scores: Scores | null): string =>
          scores ? `  ${name} ${formatNumber(scoreOf(scores, config.score))}` : '';
        terminal.note(
          `updates of M ${iteration}/${options.iterations}${part('training', scored?.train ?? null)}${part('validation', scored?.validation ?? null)}  L ${formatNumber(bandwidth)}${left > 0 ? `  at most about ${formatSeconds(Math.max(1, Math.round(left)))} left` : ''}`,
        );
        onState(state);
      },
    },
    resume,
  );
}

/** What is to be said of a fit of so many updates of M at most. */
export function notesOf({ reports, best }: EstimatorResult, iterations: number): string[] {
  const notes = reports.flatMap(({ iteration, solve }) =>
    solveRemarks(solve).map((remark) => `fit ${iteration}: ${remark}`),
  );
  if (reports.length <= iterations)
    notes.push(`the fit ended after ${reports.length - 1} updates of M, since the last ones did not improve the score`);
  if (best.iteration === 0 && reports.length > 1)
    notes.push('no update of M improved the score: the fit that was kept is plain kernel regression');
  return notes;
}
