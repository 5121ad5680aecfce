/** Σ a_i b_i, summed in float64. */
export function inner(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Variances of matrix entries below this share of their mean square are rounding: the entries are equal. */
const EQUAL_ENTRIES = 1e-6;

/** What the correlation of two matrices (size × size) needs of them. */
export interface EntrySums {
  /** Their inner product. */
  product: number;
  /** Of each, the squared Frobenius norm and the sum of the entries. */
  norms: readonly [number, number];
  sums: readonly [number, number];
  size: number;
}

/** Pearson correlation of the entries of two matrices; NaN where all entries of one of them are equal. */
export function entryCorrelation({ product, norms: [a, b], sums: [p, q], size }: EntrySums): number {
  const covariance = product - (p * q) / (size * size);
  const [first, second] = [a - (p / size) ** 2, b - (q / size) ** 2];
  if (!(first > EQUAL_ENTRIES * a && second > EQUAL_ENTRIES * b)) return Number.NaN;
  return covariance / Math.sqrt(first) / Math.sqrt(second);
}
