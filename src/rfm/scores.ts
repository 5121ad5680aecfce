/** How good predictions are: the usual measures of regression and of classification. */

import type { LayerMetrics } from './types.js';

export interface RegressionScores {
  rmse: number;
  mae: number;
  /** 1 − Σ (y − f)² / Σ (y − mean y)²; NaN where all targets are equal. */
  r2: number;
}

export interface ClassificationScores {
  accuracy: number;
  /** Mean −log p of the class, in nats; probabilities are cut to 0.001 … 0.999 for it. */
  logLoss: number;
  /** Mean squared error of the probabilities: of two classes of the second one, of more summed over classes. */
  brier: number;
  /** Area under the ROC curve; of more than two classes the mean of each one against the rest. NaN where a class is absent. */
  auc: number;
  /** 2 TP / (2 TP + FP + FN); of two classes of the second one, of more the mean over classes. */
  f1: number;
}

export type Scores = RegressionScores | ClassificationScores;
export type ScoreName = keyof RegressionScores | keyof ClassificationScores;

/** Names of all measures. */
export const SCORES = [
  'rmse',
  'mae',
  'r2',
  'accuracy',
  'logLoss',
  'brier',
  'auc',
  'f1',
] as const satisfies readonly ScoreName[];

/** A fit of the estimator with the M of so many updates. */
export interface FitIteration {
  iteration: number;
  bandwidth: number;
  train: Scores;
  /** null without rows to score by. */
  validation: Scores | null;
  solve: LayerMetrics['solve'];
}

/** Whether a larger value of a measure is the better one. */
export const isGain = (name: ScoreName): boolean => ['r2', 'accuracy', 'auc', 'f1'].includes(name);

/** Measures of n predictions f of n targets y. */
export function regressionScores(y: ArrayLike<number>, f: ArrayLike<number>): RegressionScores {
  const n = y.length;
  let [mean, squares, absolute, total] = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) mean += y[i] / n;
  for (let i = 0; i < n; i++) {
    squares += (y[i] - f[i]) ** 2;
    absolute += Math.abs(y[i] - f[i]);
    total += (y[i] - mean) ** 2;
  }
  return { rmse: Math.sqrt(squares / n), mae: absolute / n, r2: total > 0 ? 1 - squares / total : Number.NaN };
}

const LEAST_PROBABILITY = 1e-3;

/**
 * Measures of n predictions.
 * @param labels the true class of each row, 0 … classes − 1, and `predicted` the one that was predicted.
 * @param probabilities n × classes.
 */
export function classificationScores(
  labels: Int32Array,
  predicted: Int32Array,
  probabilities: Float32Array | Float64Array,
  classes: number,
): ClassificationScores {
  const n = labels.length;
  let [correct, loss, brier] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    if (labels[i] === predicted[i]) correct++;
    const own = probabilities[i * classes + labels[i]];
    loss -= Math.log(Math.min(1 - LEAST_PROBABILITY, Math.max(LEAST_PROBABILITY, own)));
    for (let c = classes === 2 ? 1 : 0; c < classes; c++)
      brier += (probabilities[i * classes + c] - (labels[i] === c ? 1 : 0)) ** 2;
  }
  const some = classes === 2 ? [1] : Array.from({ length: classes }, (_, c) => c);
  const meanOver = (of: (c: number) => number): number => some.reduce((sum, c) => sum + of(c) / some.length, 0);
  return {
    accuracy: correct / n,
    logLoss: loss / n,
    brier: brier / n,
    auc: meanOver((c) => areaUnderCurve(labels, c, (i) => probabilities[i * classes + c])),
    f1: meanOver((c) => f1Of(labels, predicted, c)),
  };
}

/** The share of pairs of a row of class c and one of another in which the former has the larger value; a tie counts half. */
function areaUnderCurve(labels: Int32Array, c: number, value: (i: number) => number): number {
  const order = Array.from(labels.keys()).sort((a, b) => value(a) - value(b));
  const positive = labels.reduce((sum, label) => sum + (label === c ? 1 : 0), 0);
  const negative = labels.length - positive;
  let ranks = 0;
  for (let first = 0; first < order.length; ) {
    let end = first + 1;
    while (end < order.length && value(order[end]) === value(order[first])) end++;
    // Rows of one value share the mean of their ranks, which count from 1.
    for (let k = first; k < end; k++) if (labels[order[k]] === c) ranks += (first + 1 + end) / 2;
    first = end;
  }
  return positive > 0 && negative > 0 ? (ranks - (positive * (positive + 1)) / 2) / (positive * negative) : Number.NaN;
}

/** 0 where the class is neither there nor predicted. */
function f1Of(labels: Int32Array, predicted: Int32Array, c: number): number {
  let [both, either] = [0, 0];
  labels.forEach((label, i) => {
    if (label === c && predicted[i] === c) both++;
    either += (label === c ? 1 : 0) + (predicted[i] === c ? 1 : 0);
  });
  return either > 0 ? (2 * both) / either : 0;
}

/** Rows of each true class (down) by what they were predicted as (across): classes × classes. */
export function confusionMatrix(labels: Int32Array, predicted: Int32Array, classes: number): number[][] {
  const out = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  labels.forEach((label, i) => {
    out[label][predicted[i]]++;
  });
  return out;
}
