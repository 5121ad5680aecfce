/** Rows of a table as the estimator takes them, and what its outputs say. */

import { inputError, say, the } from '../errors.js';
import { type FamilySettings, familyOf } from '../ops/kernels/families.js';
import type { EstimatorData, FittedEstimator, Predictor } from '../rfm/estimator.js';
import { classificationScores, confusionMatrix, regressionScores, type ScoreName, type Scores } from '../rfm/scores.js';
import type { Split } from '../rfm/split.js';
import { shownName } from '../table/checks.js';
import {
  type ColumnEncoding,
  type EncodingOptions,
  encodeRows,
  encodingRemarks,
  featureNames,
  learnEncoding,
} from '../table/encoding.js';
import { type Target, targetRows } from '../table/target.js';
import type { Table } from '../table/types.js';
import { type ClassCode, type Codes, codesOf, decideBy, encodeLabels } from './codes.js';

/** A table with what is predicted of its rows. */
export interface TargetTable {
  table: Table;
  target: Target;
}

/** Tables to learn from and to score by, and what becomes of their columns. */
export interface TablesToFit {
  rows: TargetTable;
  /** Rows to score by that are no part of a split; null: none. */
  validation: TargetTable | null;
  test: TargetTable | null;
  encoding: EncodingOptions;
  config: { codes: ClassCode | null; score: ScoreName };
}

/** What outputs mean: numbers of this mean and deviation, or codes of classes. */
export type Outputs =
  | { task: 'regression'; mean: number; deviation: number }
  | { task: 'classes'; codes: Codes; classes: string[] };

/** Predictions in the unit of the target, or classes with their probabilities. */
export type Decoded =
  | { values: Float64Array }
  | { labels: Int32Array /** rows × classes. */; probabilities: Float32Array };

/** Rows that were encoded, with their targets. */
export interface EncodedRows {
  x: Float32Array;
  rows: number;
  /** Their numbers in their table, from 0 on; null: all of them, in its order. */
  ids: Int32Array | null;
  target: Target;
}

export interface Prepared {
  encoding: ColumnEncoding[];
  features: string[];
  /** What was dropped or changed of the columns, a sentence each. */
  changes: string[];
  data: EstimatorData;
  outputs: Outputs;
  train: EncodedRows;
  validation: EncodedRows | null;
  test: EncodedRows | null;
}

/**
 * Encodes the rows of a split, and those of the other tables, by what the training rows say.
 * @throws input error for values that cannot be encoded, and a class or value that no training row has.
 */
export function prepare(request: TablesToFit, { train, held }: Split): Prepared {
  const { rows, validation, test } = request;
  const { encoding, changes } = learnEncoding(rows.table, train, request.encoding);
  // What is done to training rows is among the changes already.
  const own = encoded(rows, encoding, [], train);
  const others = held.length > 0 ? encoded(rows, encoding, changes, held) : null;
  const given = validation && encoded(validation, encoding, changes);
  refuseUntrained(rows.table.at, own.target);
  const outputs = outputsOf(own.target, request);
  const y = targetsOf(own.target, outputs);
  const scored = given ?? others;
  if (scored) checkScore(scored.target, request.config.score);
  const d = featureNames(encoding).length;
  return {
    encoding,
    features: featureNames(encoding),
    changes,
    data: {
      ...{ x: own.x, n: own.rows, d, y, outputs: y.length / own.rows },
      validation: scored && { x: scored.x, rows: scored.rows },
    },
    outputs,
    train: own,
    validation: scored,
    test: test && encoded(test, encoding, changes),
  };
}

/** @throws input error for a class all of whose rows are held out. */
function refuseUntrained(at: string, target: Target): void {
  if (target.task === 'regression') return;
  const absent = target.classes.find((_, c) => !target.labels.includes(c));
  if (absent === undefined) return;
  throw inputError(
    `${at}: all rows of class ${shownName(absent)} are held out, which leaves none to learn it from`,
    'hold out fewer rows, or give more of the class',
  );
}

/** The score to choose by, or the default one where that is not defined for these rows. */
export function scoreFor(target: Target, score: ScoreName): ScoreName {
  try {
    checkScore(target, score);
    return score;
  } catch {
    return target.task === 'regression' ? 'rmse' : 'logLoss';
  }
}

/** @throws input error where a score of predictions of these rows is not defined. */
export function checkScore(target: Target, score: ScoreName): void {
  if (target.task === 'regression') {
    if (score !== 'r2' || target.values.some((value) => value !== target.values[0])) return;
    throw inputError(
      say`${the.score} r2: the rows to score by all have the target ${target.values[0]}, so that it is not defined`,
      say`use another ${the.score}, or more rows to score by`,
    );
  }
  const { classes, labels } = target;
  const absent = classes.find((_, c) => !labels.includes(c));
  if (score !== 'auc' || absent === undefined) return;
  throw inputError(
    say`${the.score} auc: none of the rows to score by is of class ${shownName(absent)}, so that it is not defined`,
    say`use another ${the.score}, or rows to score by of every class`,
  );
}

function encoded(
  { table, target }: TargetTable,
  encoding: readonly ColumnEncoding[],
  changes: string[],
  ids?: Int32Array,
): EncodedRows {
  const found = encodeRows(table, encoding, ids);
  const { x, rows } = found;
  changes.push(...encodingRemarks(found, ids ? 'the held-out rows' : `the rows of ${table.at}`));
  return { x, rows, ids: ids ?? null, target: ids ? targetRows(target, ids) : target };
}

function outputsOf(target: Target, { config, rows, encoding }: TablesToFit): Outputs {
  if (target.task === 'regression') {
    const { values } = target;
    const mean = values.reduce((sum, value) => sum + (value - values[0]) / values.length, 0) + values[0];
    const deviation = Math.sqrt(
      values.reduce((sum, value) => sum + ((value - mean) / Math.max(1, values.length - 1)) * (value - mean), 0),
    );
    if (!(deviation > 0 && Number.isFinite(deviation))) {
      throw inputError(
        `${rows.table.at}: the target "${encoding.target}" has one value in all training rows, or spreads beyond float64; give another target, or scale it`,
      );
    }
    return { task: 'regression', mean, deviation };
  }
  const { classes, labels } = target;
  const prior = classes.map((_, c) => labels.reduce((sum, label) => sum + (label === c ? 1 : 0), 0) / labels.length);
  return { task: 'classes', codes: codesOf(config.codes ?? 'one-hot', prior), classes };
}

/** Targets as they are fitted, rows × outputs. */
export const targetsOf = (target: Target, outputs: Outputs): Float64Array =>
  target.task === 'regression'
    ? target.values.map((value) => (outputs.task === 'regression' ? (value - outputs.mean) / outputs.deviation : 0))
    : encodeLabels(target.labels, (outputs as Outputs & { task: 'classes' }).codes);

/** What scores (rows × outputs) of the estimator say. */
export const decode = (scores: Float64Array, outputs: Outputs): Decoded =>
  outputs.task === 'regression'
    ? { values: scores.map((score) => score * outputs.deviation + outputs.mean) }
    : decideBy(scores, outputs.codes);

/** How good they are. */
export function scoresOf(target: Target, decoded: Decoded): Scores {
  if (target.task === 'regression') return regressionScores(target.values, 'values' in decoded ? decoded.values : []);
  if ('values' in decoded) throw new Error('unreachable: classes are decoded as classes');
  return classificationScores(target.labels, decoded.labels, decoded.probabilities, target.classes.length);
}

/** One of them. */
export const scoreOf = (scores: Scores, name: ScoreName): number => (scores as unknown as Record<string, number>)[name];

/** Rows of each class by what they were predicted as; null of a regression. */
export const confusionOf = (target: Target, decoded: Decoded): number[][] | null =>
  target.task === 'regression' || 'values' in decoded
    ? null
    : confusionMatrix(target.labels, decoded.labels, target.classes.length);

/** What predicts: a fit with the rows that it was made from. */
export const predictorOf = (
  { data }: Pick<Prepared, 'data'>,
  { bandwidth, metric, alpha }: FittedEstimator,
  family: FamilySettings,
): Predictor => ({
  ...{ bandwidth, metric, alpha, family: familyOf(family), centers: data.x },
  ...{ n: data.n, d: data.d, outputs: data.outputs },
});
