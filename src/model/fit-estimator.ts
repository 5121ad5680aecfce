/** Fits of an estimator to a table: scored on rows that were held out, and written as a model. */

import type { FileSink } from '../bytes.js';
import {
  type EstimatorOptions,
  type EstimatorResult,
  type EstimatorState,
  fitEstimator,
  type Predictor,
} from '../rfm/estimator.js';
import { type FitIteration, isGain, type ScoreName } from '../rfm/scores.js';
import type { TreePredictor } from '../rfm/tree-predict.js';
import type { Gpu } from '../runtime/gpu.js';
import type { EstimatorDocument } from './document.js';
import { type AboutEstimator, writeEstimator, writeEstimatorTree } from './estimator.js';
import { writeModelDocument } from './files.js';
import { decode, type Prepared, scoreOf, scoresOf, type TargetTable } from './fit-rows.js';
import { type EstimatorSettings, familySettings } from './fit-settings.js';

/** What is fitted, and the score that chooses the fit. */
export interface FitToScore {
  prepared: Prepared;
  options: EstimatorOptions;
  score: ScoreName;
}

/**
 * Fits the estimator and scores each fit: the one with the best score on the rows to score by is kept, and without such rows the last.
 * @param onFit hears of each fit; M of the next one has been learned, and the state may be kept. May throw to stop.
 * @throws input error, or doesNotFit, as `fitEstimator` does.
 */
export function fitScored(
  gpu: Gpu,
  { prepared, options, score }: FitToScore,
  onFit: (fit: FitIteration, state: EstimatorState) => void,
  resume: EstimatorState | null = null,
): Promise<EstimatorResult> {
  const { data, outputs, train, validation } = prepared;
  const sign = isGain(score) ? -1 : 1;
  let scored: Pick<FitIteration, 'train' | 'validation'> | null = null;
  return fitEstimator(
    gpu,
    data,
    options,
    {
      score(predicted) {
        const held =
          validation && predicted.validation
            ? scoresOf(validation.target, decode(predicted.validation, outputs))
            : null;
        scored = { train: scoresOf(train.target, decode(predicted.train, outputs)), validation: held };
        if (held === null) return null;
        const value = sign * scoreOf(held, score);
        return Number.isFinite(value) ? value : Number.POSITIVE_INFINITY;
      },
      onIteration({ iteration, bandwidth, solve }, state) {
        if (scored) onFit({ iteration, bandwidth, ...scored, solve }, state);
      },
    },
    resume,
  );
}

/** A fit that is to be kept. */
export interface FitToWrite {
  /** What it was made from: their columns are those of tables to predict. */
  rows: TargetTable;
  /** The column that is predicted. */
  target: string;
  prepared: Prepared;
  /** A machine, or a tree of them. */
  fitted: Predictor | TreePredictor;
  settings: EstimatorSettings;
  /** For people: see `ModelDocument`. */
  about: Pick<EstimatorDocument, 'settings' | 'data'>;
}

/** Writes the files of a fit's model. */
export async function writeFit(
  gpu: Gpu,
  sink: FileSink,
  { rows, target, prepared, fitted, settings, about }: FitToWrite,
): Promise<void> {
  const { outputs, encoding } = prepared;
  const classes = outputs.task === 'classes' ? outputs : null;
  const all: AboutEstimator = {
    code: classes ? classes.codes.code : 'values',
    classes: classes?.classes ?? null,
    scale: outputs.task === 'regression' ? { mean: outputs.mean, deviation: outputs.deviation } : null,
    prior: classes ? [...classes.codes.prior] : null,
    table: { target, columns: encoding, ...matrixOf(rows, target) },
    family: familySettings(settings),
    ...about,
  };
  const document =
    'routing' in fitted
      ? await writeEstimatorTree(gpu, sink, fitted, all)
      : await writeEstimator(gpu, sink, fitted, all);
  await writeModelDocument(sink, document);
}

/** Of columns that are called x0, x1, … and so on, which are those of a matrix: how many there are. */
function matrixOf({ table }: TargetTable, target: string): { matrix?: number } {
  const names = table.columns.map(({ name }) => name).filter((name) => name !== target);
  return names.every((name, j) => name === `x${j}`) ? { matrix: names.length } : {};
}
