/** Rows for training and validation, drawn with a seed; of classes each part has its share. */

import { philoxUniform } from '../ops/features/philox.js';

/** Streams of random numbers of a seed; layers of a Deep RFM use 0 to 2. */
const SPLIT_STREAM = 3;

/** A permutation of 0 … n − 1 by Fisher and Yates, from a seed. */
export function shuffled(n: number, seed: number): Int32Array {
  const u = philoxUniform(n, 0, SPLIT_STREAM, seed);
  const out = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(u[i] * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

/**
 * The part, 0 … parts − 1, that each of n rows is in. Rows of a class go to the parts in turn, in random order, so that each part has
 * as nearly as can be the same number of all rows and of each class.
 * @param labels class of each row; null: one group.
 */
export function folds(n: number, parts: number, labels: Int32Array | null, seed: number): Int32Array {
  const order = shuffled(n, seed);
  if (labels) order.sort((a, b) => labels[a] - labels[b]);
  const out = new Int32Array(n);
  order.forEach((row, i) => {
    out[row] = i % parts;
  });
  return out;
}

/** Numbers of the rows that are trained on, and of those that are held out, both ascending. */
export interface Split {
  train: Int32Array;
  held: Int32Array;
}

/** Holds out the share of the rows (of each class, where labels are given); at least one row, and one is left. */
export function holdOut(n: number, share: number, labels: Int32Array | null, seed: number): Split {
  const order = shuffled(n, seed);
  if (labels) order.sort((a, b) => labels[a] - labels[b]);
  const isHeld = new Uint8Array(n);
  // Row i in this order is held where the count of held rows grows: evenly spaced, so each class has its share.
  const count = Math.min(n - 1, Math.max(1, Math.round(share * n)));
  for (let i = 0; i < n; i++) {
    if (Math.floor(((i + 1) * count) / n) > Math.floor((i * count) / n)) isHeld[order[i]] = 1;
  }
  const rows = Int32Array.from({ length: n }, (_, i) => i);
  return { train: rows.filter((i) => isHeld[i] === 0), held: rows.filter((i) => isHeld[i] === 1) };
}

/** The split that holds out part k of `folds`. */
export function foldSplit(parts: Int32Array, k: number): Split {
  const rows = Int32Array.from(parts, (_, i) => i);
  return { train: rows.filter((i) => parts[i] !== k), held: rows.filter((i) => parts[i] === k) };
}
