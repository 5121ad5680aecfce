import { inputError, type RfmError } from '../errors.js';
import type { Numbers } from '../numbers.js';
import { magnitude } from '../ops/host-rows.js';

/** M = unit · FᵀF. */
export interface MetricFactor {
  /** F, rank × d, row-major. */
  factor: Float32Array;
  rank: number;
  /** A power of two near the largest entry of M. */
  unit: number;
}

/** Entries that mirror each other may differ by this share of the largest: they are rounded sums. */
const MIRRORED = 1e-5;
/** What is left of M beside FᵀF, as a share of its largest entry, where M is positive semi-definite up to rounding to float32. */
const LEFT = 1e-5;
/** Directions of a given M below this share of the largest are dropped: M in float32 has no digits of them. */
const TOLERANCE = 1e-7;

/** Entry (i, j) of an M in its unit; the entries that mirror each other are averaged. */
type Entry = (i: number, j: number) => number;

/**
 * Factors a metric M (d × d) by pivoted Cholesky in float64. It takes about d r² / 2 multiplications for rank r.
 * @throws input error where M is zero, not symmetric or not positive semi-definite up to rounding to float32; the message says
 * what of M is wrong and where.
 */
export function factorMetric(m: Numbers, d: number): MetricFactor {
  const unit = magnitude(m);
  const largest = checkSymmetry(m, d);
  const entry: Entry = (i, j) => (m[i * d + j] / unit + m[j * d + i] / unit) / 2;
  const rest = Float64Array.from({ length: d }, (_, i) => entry(i, i));
  const open = new Set(rest.keys());
  const rows: Float64Array[] = [];
  const slack = (LEFT * largest) / unit;
  for (;;) {
    let pivot = -1;
    for (const i of open) {
      if (rest[i] < -slack) throw indefinite(i, i, rest[i] * unit, largest);
      if (pivot < 0 || rest[i] > rest[pivot]) pivot = i;
    }
    if (pivot < 0 || rest[pivot] <= (TOLERANCE * largest) / unit) break;
    const row = remaining(entry, rows, pivot, d);
    const root = Math.sqrt(rest[pivot]);
    open.delete(pivot);
    for (let j = 0; j < d; j++) {
      row[j] = j === pivot ? root : open.has(j) ? row[j] / root : 0;
      rest[j] -= row[j] ** 2;
    }
    rows.push(row);
  }
  // What is left has a diagonal of about 0: positive semi-definite, it would be 0 all over.
  for (const i of open) {
    const row = remaining(entry, rows, i, d);
    for (const j of open) if (j !== i && Math.abs(row[j]) > slack) throw indefinite(i, j, row[j] * unit, largest);
  }
  const factor = new Float32Array(rows.length * d);
  rows.forEach((row, r) => {
    factor.set(row, r * d);
  });
  return { factor, rank: rows.length, unit };
}

/** Row i of M − Σ rowᵀ row. */
function remaining(entry: Entry, rows: readonly Float64Array[], i: number, d: number): Float64Array {
  const out = new Float64Array(d);
  for (let j = 0; j < d; j++) out[j] = entry(i, j);
  for (const row of rows) {
    const factor = row[i];
    if (factor !== 0) for (let j = 0; j < d; j++) out[j] -= factor * row[j];
  }
  return out;
}

/** @returns the largest size of an entry. */
function checkSymmetry(m: Numbers, d: number): number {
  let largest = 0;
  for (let e = 0; e < d * d; e++) largest = Math.max(largest, Math.abs(m[e]));
  if (largest === 0)
    throw inputError('all entries are 0, so that all rows would coincide; give a metric that is not zero');
  for (let i = 0; i < d; i++) {
    for (let j = 0; j < i; j++) {
      const [below, above] = [m[i * d + j], m[j * d + i]];
      if (Math.abs(below - above) > MIRRORED * largest) {
        throw inputError(
          `is not symmetric: ${below} in row ${i}, column ${j} (counted from 0), but ${above} in row ${j}, column ${i}; give (M + Mᵀ) / 2`,
        );
      }
    }
  }
  return largest;
}

const indefinite = (i: number, j: number, left: number, largest: number): RfmError =>
  inputError(
    `is not positive semi-definite: taking off squares of directions leaves ${left.toPrecision(3)} in row ${i}, column ${j} (counted from 0), expected 0 up to ${(LEFT * largest).toPrecision(1)}; give M = FᵀF, as M.npy of rfm is`,
  );
