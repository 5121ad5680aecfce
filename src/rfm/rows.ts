import { inputError } from '../errors.js';

/** Rows in class order, and where each class begins. */
export interface ClassOrder {
  /** order[i] is the original number of row i. */
  order: Int32Array;
  /** First row of each class that has rows, then the number of rows. */
  starts: number[];
  /** Rows per class, empty ones included. */
  counts: number[];
}

/** Stable order of rows by label 0 … C − 1. */
export function classOrder(labels: Int32Array): ClassOrder {
  const classes = labels.reduce((max, label) => Math.max(max, label), 0) + 1;
  const counts = classCountsOf(labels, classes);
  const next = new Array<number>(classes).fill(0);
  for (let c = 1; c < classes; c++) next[c] = next[c - 1] + counts[c - 1];
  const starts = [...next.filter((_, c) => counts[c] > 0), labels.length];
  if (starts.length < 3)
    throw inputError('all rows are of one class, at least 2 are needed; add rows of another class');
  const order = new Int32Array(labels.length);
  labels.forEach((label, i) => {
    order[next[label]++] = i;
  });
  return { order, starts, counts };
}

/** Rows of each class 0 … classes − 1. */
export function classCountsOf(labels: Int32Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]++;
  return counts;
}

/** Rows of a row-major matrix in a new order. */
export function permuteRows(data: Float32Array, cols: number, order: Int32Array): Float32Array {
  const out = new Float32Array(order.length * cols);
  order.forEach((from, to) => {
    out.set(data.subarray(from * cols, (from + 1) * cols), to * cols);
  });
  return out;
}

/** Undoes `permuteRows`. */
export function restoreRows<T extends Float32Array | Float64Array>(data: T, cols: number, order: Int32Array): T {
  const out = data.slice() as T;
  order.forEach((to, from) => {
    out.set(data.subarray(from * cols, (from + 1) * cols), to * cols);
  });
  return out;
}

/** Aᵀ of a row-major rows × cols matrix. */
export function transposeHost<T extends Float32Array | Float64Array>(data: T, rows: number, cols: number): T {
  const out = data.slice() as T;
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = data[i * cols + j];
  return out;
}
