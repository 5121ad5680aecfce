/** What the outputs of a model say: classes, and probabilities of them. */

import type { Numbers } from '../numbers.js';
import type { OutputCode } from './document.js';

export interface Decisions {
  /** Class number of each row; null for values. */
  labels: Int32Array | null;
  /** rows × classes, each row's sum 1; null for values. */
  probabilities: Float32Array | null;
}

/**
 * Classes and probabilities from scores (rows × outputs). The class is that of the largest score; of a single output its sign, or
 * for 'one-hot' whether it is above ½. Of 'logits' the probabilities are the softmax. A least-squares fit estimates of each class the
 * expectation of its target, so that p = (f + 1) / 2 for 'sign' and p = f for 'one-hot', cut to 0 … 1 and divided by their sum.
 */
export function decide(scores: Numbers, outputs: number, code: Exclude<OutputCode, 'prevalence'>): Decisions {
  if (code === 'values') return { labels: null, probabilities: null };
  const rows = scores.length / outputs;
  const classes = outputs === 1 ? 2 : outputs;
  const labels = new Int32Array(rows);
  const probabilities = new Float32Array(rows * classes);
  for (let i = 0; i < rows; i++) {
    const row = Array.from(scores.subarray(i * outputs, (i + 1) * outputs));
    if (outputs === 1) labels[i] = row[0] > (code === 'one-hot' ? 0.5 : 0) ? 1 : 0;
    else for (let c = 1; c < outputs; c++) if (row[c] > row[labels[i]]) labels[i] = c;
    probabilities.set(code === 'logits' ? softmax(row) : expected(row, code), i * classes);
  }
  return { labels, probabilities };
}

/** A single output is that of the second class, beside one of 0. */
function softmax(row: readonly number[]): number[] {
  const all = row.length === 1 ? [0, row[0]] : row;
  const largest = Math.max(...all);
  const powers = all.map((score) => Math.exp(score - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function expected(row: readonly number[], code: 'sign' | 'one-hot'): number[] {
  const parts = row.map((score) => Math.min(1, Math.max(0, code === 'sign' ? (score + 1) / 2 : score)));
  if (parts.length === 1) return [1 - parts[0], parts[0]];
  const sum = parts.reduce((total, part) => total + part, 0);
  // Where every class is refused, none is more likely than another.
  return parts.map((part) => (sum > 0 ? part / sum : 1 / parts.length));
}
