/**
 * Kernel learning (Beaglehole, Súkeník, Mondelli, Belkin, NeurIPS 2024, §5.2): the least value that ridge regression can reach
 * over all kernel matrices with entries ≥ 0 and a diagonal of ones, for targets that are the same for all rows of a class.
 *
 * The objective J = μ ⟨Y, (k + μ I)⁻¹ Y⟩ is convex in k, so the best k is the same for all rows of a class, and 1 within one:
 * k = G_cc' for rows of c and c'. With D = diag(rows of each class) and C = T Tᵀ of the targets T (classes × outputs),
 * J / μ = tr C (G + μ D⁻¹)⁻¹. One-hot targets have the optimum G = I, J = Σ_c μ/(1 + μ/n_c).
 */

import { CholeskyDecomposition, inverse, Matrix } from 'ml-matrix';

/** Rows that have the same targets. */
export interface TargetClass {
  rows: number;
  /** One number an output. */
  targets: readonly number[];
}

export interface KernelOptimum {
  /** J* / μ, which has a value for μ = 0, too. */
  overRidge: number;
  /** Kernel entries between the classes, classes × classes; 1 on the diagonal. */
  entries: number[][];
  /** J* / μ is above the least value by at most this. */
  gap: number;
}

/** One class each for one-hot targets, or ±1 ones (+1 at the class, −1 elsewhere). */
export const classTargets = (sizes: readonly number[], kind: 'one-hot' | 'pm1'): TargetClass[] =>
  sizes.map((rows, c) => ({ rows, targets: sizes.map((_, o) => (o === c ? 1 : kind === 'pm1' ? -1 : 0)) }));

const MAX_STEPS = 200;
/** The gap at which the search ends, as a share of the value. */
const GOAL = 1e-7;

/**
 * The least J / μ, by projected gradients with steps of Barzilai and Borwein (1988). Convexity bounds what is left:
 * every G has f(G) ≥ f(G₀) + ⟨∇f(G₀), G − G₀⟩, and its entries are in [0, 1].
 */
export function kernelOptimum(classes: readonly TargetClass[], ridge: number): KernelOptimum {
  const k = classes.length;
  const targets = new Matrix(classes.map(({ targets }) => [...targets]));
  const c = targets.mmul(targets.transpose());
  const value = (g: Matrix): Value | null => {
    const h = g.clone();
    classes.forEach(({ rows }, i) => void h.set(i, i, 1 + ridge / rows));
    if (!new CholeskyDecomposition(h).isPositiveDefinite()) return null;
    const r = inverse(h);
    const rc = r.mmul(c);
    return { f: rc.trace(), gradient: rc.mmul(r).mul(-1) };
  };
  /** Off the diagonal, between 0 and 1. */
  const projected = (g: Matrix): Matrix => {
    const out = g.clone();
    for (let i = 0; i < k; i++) {
      // Of an inverse the two halves differ by rounding.
      for (let j = 0; j < k; j++) {
        out.set(i, j, i === j ? 1 : Math.min(1, Math.max(0, (g.get(i, j) + g.get(j, i)) / 2)));
      }
    }
    return out;
  };
  const gapOf = (g: Matrix, gradient: Matrix): number => {
    let gap = 0;
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < k; j++) {
        const [entry, slope] = [g.get(i, j), gradient.get(i, j)];
        if (i !== j) gap += Math.max(slope * entry, slope * (entry - 1));
      }
    }
    return gap;
  };
  let [g, found] = bestConstant(k, value);
  let step = 1 / Math.max(found.gradient.norm(), Number.MIN_VALUE);
  for (let count = 0; count < MAX_STEPS && gapOf(g, found.gradient) > GOAL * found.f; count++) {
    let next = projected(Matrix.sub(g, found.gradient.clone().mul(step)));
    let at = value(next);
    while (at === null || at.f > found.f) {
      step /= 4;
      if (step < 1e-18) break;
      next = projected(Matrix.sub(g, found.gradient.clone().mul(step)));
      at = value(next);
    }
    if (at === null || at.f > found.f) break;
    const moved = Matrix.sub(next, g);
    const bend = Matrix.sub(at.gradient, found.gradient);
    const curvature = Matrix.mul(moved, bend).sum();
    step = curvature > 0 ? Matrix.mul(moved, moved).sum() / curvature : 2 * step;
    [g, found] = [next, at];
  }
  return { overRidge: found.f, entries: g.to2DArray(), gap: gapOf(g, found.gradient) };
}

interface Value {
  f: number;
  gradient: Matrix;
}

/** Steps of a search that divides an interval by the golden ratio: to 1e-8 of it. */
const GOLDEN_STEPS = 40;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** The best matrix of one value between all classes, which for classes of one size is the best of all. */
function bestConstant(k: number, value: (g: Matrix) => Value | null): [g: Matrix, found: Value] {
  const constant = (b: number): Matrix =>
    Matrix.eye(k)
      .mul(1 - b)
      .add(b);
  // Positive definite below 1.
  const at = (b: number): number => value(constant(b))?.f ?? Number.POSITIVE_INFINITY;
  let [low, high] = [0, 1];
  for (let step = 0; step < GOLDEN_STEPS; step++) {
    const [left, right] = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)];
    if (at(left) <= at(right)) high = right;
    else low = left;
  }
  const b = at(0) <= at(low) ? 0 : low;
  const g = constant(b);
  // Never null: b is below 1.
  return [g, value(g)!];
}

/** Kinds of targets beyond which no classes are made of them. */
const MOST_CLASSES = 128;

/**
 * Rows with the same targets (y: outputs × n, transposed) as classes, and the class of each row, in order of first
 * appearance; null where there are more than 128 kinds, or more than half as many as rows, as for regression.
 */
export function classesOfTargets(y: Float32Array, n: number): { classes: TargetClass[]; labels: Int32Array } | null {
  const outputs = y.length / n;
  const found = new Map<string, number>();
  const classes: { rows: number; targets: number[] }[] = [];
  const labels = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    const targets = Array.from({ length: outputs }, (_, o) => y[o * n + i]);
    const key = targets.join(' ');
    let label = found.get(key);
    if (label === undefined) {
      label = classes.length;
      if (label === Math.min(MOST_CLASSES, Math.floor(n / 2))) return null;
      found.set(key, label);
      classes.push({ rows: 0, targets });
    }
    classes[label].rows++;
    labels[i] = label;
  }
  return { classes, labels };
}
