/** metrics.json of `fit`. */

import type { Made } from '../made.js';
import type { FitIteration, Scores } from '../rfm/scores.js';
import type { SplitShape } from '../rfm/tree.js';
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
  multiple: number | null;
  metricForm: 'full' | 'diagonal';
  iteration: number;
  ridges: number[];
  /** null: it failed, and why. */
  score: number | null;
  failure: string | null;
  seconds: number;
}

/** A split of a tree of leaves: rows go left up to the threshold. Where a side leads is a number from 0 on. */
export interface FitSplit extends SplitShape {
  /** Of the projections of the training rows: their median and their interquartile range. */
  threshold: number;
  scale: number;
  /** The features that count most in the direction. */
  entries: { feature: string; weight: number }[];
}

/** A leaf: its training rows, which of them its machine was fitted to, and what it was scored by. */
export interface FitLeaf {
  rows: number;
  train: number;
  /** Rows that were held out, and training rows that were drawn, to score by. */
  held: number;
  moved: number;
  /** Updates of M of the fit that was kept, its bandwidth and ridge. */
  best: number;
  bandwidth: number;
  ridge: number;
  iterations: FitIteration[];
  /** Largest entries of the diagonal of its M. */
  importances: { feature: string; value: number }[];
}

/** A tree of leaves, each with a machine of its own. */
export interface FitTree {
  /** Rows of a leaf at most, and rows that the direction of a split is learned from at most. */
  leafRows: number;
  splitRows: number;
  /** T of soft routing, in interquartile ranges; 0: hard. */
  temperature: number;
  /** Those that were tried, and the validation score of each. */
  temperatures: { temperature: number; score: number }[];
  /** Root first. */
  splits: FitSplit[];
  leaves: FitLeaf[];
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
    /** null: each leaf has its own. */
    ridge: number | null;
    ridgeForm: string;
    bandwidth: number | null;
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
  /** None of a tree: its leaves have their own. */
  iterations: FitIteration[];
  /** Updates of M of the fit that was kept; null of a tree. */
  best: number | null;
  /** Where there are more rows than one machine takes. */
  tree: FitTree | null;
  scores: { train: Scores; validation: Scores | null; test: Scores | null };
  folds: FitFold[] | null;
  trials: FitTrial[] | null;
  /** Diagonal of M, over its largest entry, largest first; of a tree the mean over the leaves, weighted by their rows. */
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
