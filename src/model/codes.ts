/** What an estimator is fitted to in place of classes. */

import { inverse, Matrix } from 'ml-matrix';
import { type Decisions, decide } from './decide.js';

export const CLASS_CODES = ['sign', 'one-hot', 'prevalence'] as const;
export type ClassCode = (typeof CLASS_CODES)[number];

/** Codes of classes: row c holds the targets of a row of class c. */
export interface Codes {
  code: ClassCode;
  /** Share of each class in the training rows. */
  prior: readonly number[];
  /** classes × outputs. */
  targets: readonly (readonly number[])[];
}

/**
 * Codes of classes with these shares. 'sign': +1 at the class and −1 elsewhere; 'one-hot': 1 and 0; of two classes both have a single
 * output. 'prevalence': corners of a regular simplex in classes − 1 outputs, shifted so that targets have mean 0 and a prediction
 * of 0 stands for the shares.
 */
export function codesOf(code: ClassCode, prior: readonly number[]): Codes {
  const classes = prior.length;
  const ofEach = (of: (c: number) => number[]): number[][] => prior.map((_, c) => of(c));
  if (code === 'prevalence') {
    const corners = simplex(classes);
    const mean = corners[0].map((_, o) => prior.reduce((sum, share, c) => sum + share * corners[c][o], 0));
    return { code, prior, targets: corners.map((corner) => corner.map((value, o) => value - mean[o])) };
  }
  const off = code === 'sign' ? -1 : 0;
  const targets = classes === 2 ? [[off], [1]] : ofEach((c) => prior.map((_, o) => (o === c ? 1 : off)));
  return { code, prior, targets };
}

/** Corners of a regular simplex around 0, classes × (classes − 1): the orthonormal rows of Helmert's matrix, transposed. */
const simplex = (classes: number): number[][] =>
  Array.from({ length: classes }, (_, c) =>
    Array.from({ length: classes - 1 }, (_, o) => {
      const scale = 1 / Math.sqrt((o + 1) * (o + 2));
      return c <= o ? scale : c === o + 1 ? -(o + 1) * scale : 0;
    }),
  );

/** Targets (rows × outputs) of rows with these classes. */
export function encodeLabels(labels: Int32Array, { targets }: Codes): Float64Array {
  const outputs = targets[0].length;
  const out = new Float64Array(labels.length * outputs);
  labels.forEach((label, i) => {
    out.set(targets[label], i * outputs);
  });
  return out;
}

/**
 * Classes and probabilities from scores (rows × outputs): `decide`, and of 'prevalence' the weights of the corners whose sum is 1,
 * cut to 0 … 1 and divided by their sum.
 */
export function decideBy(
  scores: Float64Array,
  { code, prior, targets }: Codes,
): Decisions & { labels: Int32Array; probabilities: Float32Array } {
  const classes = prior.length;
  const outputs = targets[0].length;
  if (code !== 'prevalence') {
    return decide(scores, outputs, code) as Decisions & { labels: Int32Array; probabilities: Float32Array };
  }
  // Σ_c p_c target_c = score, Σ_c p_c = 1.
  const system = Array.from({ length: classes }, (_, r) => prior.map((_, c) => (r < outputs ? targets[c][r] : 1)));
  const inverted = inverse(new Matrix(system)).to2DArray();
  const rows = scores.length / outputs;
  const labels = new Int32Array(rows);
  const probabilities = new Float32Array(rows * classes);
  for (let i = 0; i < rows; i++) {
    const raw = inverted.map((row) =>
      row.reduce((sum, value, r) => sum + value * (r < outputs ? scores[i * outputs + r] : 1), 0),
    );
    const cut = raw.map((share) => Math.min(1, Math.max(0, share)));
    const sum = cut.reduce((total, share) => total + share, 0);
    for (let c = 0; c < classes; c++) {
      if (raw[c] > raw[labels[i]]) labels[i] = c;
      probabilities[i * classes + c] = cut[c] / sum;
    }
  }
  return { labels, probabilities };
}
