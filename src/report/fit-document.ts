/** metrics.json of `fit`. */

import type { Made } from '../made.js';
import type { FitIteration, Scores } from '../rfm/scores.js';
import type { AdapterSummary } from '../runtime/adapter.js';

export const FIT_SCHEMA = 'deep-rfm/fit/1';

export interface FitFold {
  fold: number;
  /** Updates of M of the fit that was best on its held-out rows, and its scores there. */
  iteration: number;
  scores: Scores;
  /** Scores of each fit, by which the number of updates for all rows is chosen. */
  curve: number[];
  /** Held-out rows by their class and the predicted one; null of a regression, of which there are pairs. */
  confusion: number[][] | null;
  points: Shown['points'];
}

export interface FitTrial {
  trial: number;
  kernel: string;
  exponent: number | null;
  /** Of the median distance. */
  multiple: number;
  metricForm: 'full' | 'diagonal';
  iteration: number;
  ridges: number[];
  /** null: it failed, and why. */
  score: number | null;
  failure: string | null;
  seconds: number;
}

export interface FitDocument {
  schema: typeof FIT_SCHEMA;
  version: string;
  /** As it was asked for. */
  config: Record<string, unknown>;
  /** What the last fit was made with: those of the best trial, of a search. */
  settings: {
    kernel: string;
    formula: string;
    metricForm: string;
    ridge: number;
    ridgeForm: string;
    bandwidth: number;
  };
  made?: Made | undefined;
  adapter: AdapterSummary;
  task: string;
  /** Names of the classes, and training rows of each; null of a regression. */
  classes: { names: string[]; counts: number[] } | null;
  rows: { train: number; validation: number; test: number };
  /** Features by name, in the order of M, and what was dropped or changed. */
  features: string[];
  changes: string[];
  iterations: FitIteration[];
  /** Updates of M of the fit that was kept. */
  best: number;
  scores: { train: Scores; validation: Scores | null; test: Scores | null };
  folds: FitFold[] | null;
  trials: FitTrial[] | null;
  /** Diagonal of M, over its largest entry, largest first. */
  importances: { feature: string; value: number }[];
  /** Of M, largest first, with the features that count most in each. */
  eigenvectors: { value: number; share: number; entries: { feature: string; weight: number }[] }[];
  /** Rows of each class (down) by what they were predicted as; of the test rows, or else those that fits were scored by. */
  confusion: number[][] | null;
  memory: { predictedBytes: number; peakBytes: number };
  notes: string[];
  seconds: number;
}

/** Pairs of truth and prediction that the page shows, of a regression. */
export interface Shown {
  part: 'test' | 'validation' | 'held-out' | 'training';
  points: { truth: number; prediction: number }[];
}

/** Pairs that are shown at most. */
export const MOST_POINTS = 2000;
