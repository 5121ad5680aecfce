/**
 * What the theory of Deep RFM predicts in numbers (Beaglehole, Súkeník, Mondelli, Belkin, NeurIPS 2024, §5): the collapse of
 * linearised Deep RFM, and the best value that kernel learning can reach. Plain formulas in float64, for classes of any size.
 */

import { inputError, say, the } from '../errors.js';

/** Linearised Deep RFM: B ← κ⁻¹ S YᵀY S, S = A (A + λ̂ I)⁻¹, A = B + λ_map I, for one-hot targets Y (classes × rows). */
export interface CollapseProblem {
  /** Rows of each class. */
  sizes: readonly number[];
  /** λ_map, which the feature map adds to the diagonal of the Gram matrix; 0: no feature map. */
  lambdaMap: number;
  /** λ̂, the ridge. */
  lambdaHat: number;
  kappa: number;
}

/** κ by name: 1, the one that makes YᵀY a fixed point, and the one printed with Theorem 5.3. */
export const KAPPAS = ['1', 'star', 'printed'] as const;
export type KappaName = (typeof KAPPAS)[number];

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * The number κ of a name. 'star' is ((n + λ_map)/(n + λ_map + λ̂))², with n the mean size of the classes; 'printed' is
 * 1 − 2 λ̂ (1 + 1/λ_map).
 * @throws input error where the printed one is not defined or not above 0.
 */
export function kappaOf(name: KappaName, { sizes, lambdaMap, lambdaHat }: Omit<CollapseProblem, 'kappa'>): number {
  if (name === '1') return 1;
  if (name === 'star') {
    const a = mean(sizes) + lambdaMap;
    return (a / (a + lambdaHat)) ** 2;
  }
  const kappa = 1 - 2 * lambdaHat * (1 + 1 / lambdaMap);
  if (kappa > 0) return kappa;
  throw inputError(
    say`${the.kappa} printed: 1 − 2 λ̂ (1 + 1/λ_map) is ${kappa} here, expected a number above 0`,
    say`use a smaller ${the.lambdaHat} or a larger ${the.lambdaMap}, or ${the.kappa} star`,
  );
}

/** What the theory predicts of linearised Deep RFM. */
export interface CollapsePrediction {
  /** b_c: the fixed point is the block diagonal matrix of b_c 11ᵀ. */
  fixedPoint: number[];
  /** Factor a layer by which what lies within classes falls, the largest ρ_c; NC1 falls by its square. */
  within: number;
  /** The same of what lies between classes: of the class sums of the Gram matrix. */
  between: number;
  /** Of the whole Gram error: the larger of the two. */
  rate: number;
  /** The Gram error against YᵀY at the fixed point, in the norm of `gramNorm`: n |b − 1| for classes of one size. */
  gramFloor: number;
  /** What NC1 after the feature map tends to. */
  featuresFloor: number;
}

/**
 * Fixed point, rates and floors. With a_c = b_c n_c + λ_map, b_c is the largest solution of b = κ⁻¹ (a/(a + λ̂))², and
 * ρ_c = (b_c n_c/a_c) λ̂/(λ̂ + λ_map): Π E (I − Π) falls by ρ_c, Π being the projector onto vectors that are constant on classes.
 * The blocks of Π E Π fall by κ⁻¹ λ̂ (n_c s_c + n_e s_e)/((a_c + λ̂)(a_e + λ̂)), s = a/(a + λ̂), which is the larger of the two
 * where λ̂ + λ_map > b n.
 */
export function predictCollapse({ sizes, lambdaMap, lambdaHat, kappa }: CollapseProblem): CollapsePrediction {
  const fixedPoint = sizes.map((n) => largestFixedPoint(n, lambdaMap, lambdaHat, kappa));
  const a = sizes.map((n, c) => fixedPoint[c] * n + lambdaMap);
  const s = a.map((value) => value / (value + lambdaHat));
  const share = lambdaHat / (lambdaHat + lambdaMap);
  const within = Math.max(...sizes.map((n, c) => (a[c] > 0 ? ((fixedPoint[c] * n) / a[c]) * share : 0)));
  const between = Math.max(
    ...sizes.flatMap((n, c) =>
      sizes.map((m, e) => (lambdaHat * (n * s[c] + m * s[e])) / (kappa * (a[c] + lambdaHat) * (a[e] + lambdaHat))),
    ),
  );
  const rows = sizes.reduce((sum, n) => sum + n, 0);
  const classes = sizes.length;
  const scatter = ((1 - 1 / classes) / classes) * sizes.reduce((sum, n, c) => sum + a[c] / n, 0);
  return {
    ...{ fixedPoint, within, between, rate: Math.max(within, between) },
    gramFloor: Math.sqrt(mean(sizes.map((n, c) => (n * (fixedPoint[c] - 1)) ** 2))),
    featuresFloor: ((rows - classes) * lambdaMap) / rows / scatter,
  };
}

/** From above, where no larger one can be: the map is increasing, so it falls to the largest. */
function largestFixedPoint(n: number, lambdaMap: number, lambdaHat: number, kappa: number): number {
  let b = 1 / kappa;
  for (let step = 0; step < 1e6; step++) {
    const a = b * n + lambdaMap;
    const next = (a / (a + lambdaHat)) ** 2 / kappa;
    if (!(next < b)) return next;
    b = next;
  }
  return b;
}

/** A factor a layer, fitted to values by least squares of their logarithms. */
export interface Fit {
  factor: number;
  /** First and last layer of the fit. */
  from: number;
  to: number;
}

/** Layers below this share of the first layer's NC1, and above `LEAST`, show the rate. */
export const BEGUN = 0.05;
const LEAST = 1e-7;
/** Where fewer layers than this lie in that window, it reaches on down: at a rate of 0.08 NC1 falls by 150 a layer. */
const FEWEST = 3;
/** Squared differences below this are the rounding of products in two floats. */
const ROUNDING = 1e-16;

/** Which layers (counted from 0) show the rate, by NC1 of each: see `BEGUN`, `LEAST` and `FEWEST`. */
export function fitWindow(nc1: readonly number[]): number[] {
  const begun = nc1.flatMap((value, l) => (value < BEGUN * nc1[0] && value > ROUNDING ? [l] : []));
  const above = begun.filter((l) => nc1[l] > LEAST);
  return above.length >= FEWEST ? above : begun.slice(0, FEWEST);
}

/** The factor a layer of `values` at `layers` (counted from 0); null of fewer than two, or where one is not above 0. */
export function fitFactor(values: readonly number[], layers: readonly number[]): Fit | null {
  if (layers.length < 2 || layers.some((l) => !(values[l] > 0))) return null;
  const center = mean(layers);
  const logs = layers.map((l) => Math.log(values[l]));
  const slope =
    layers.reduce((sum, l, i) => sum + (l - center) * logs[i], 0) /
    layers.reduce((sum, l) => sum + (l - center) ** 2, 0);
  return { factor: Math.exp(slope), from: layers[0] + 1, to: layers[layers.length - 1] + 1 };
}

/** Layers in which NC1 falls to no less than this share of the one before do not belong to its decay. */
const STANDSTILL = 0.9;
/** NC1 below this is the rounding of features in float32. */
const FEATURE_ROUNDING = 1e-11;

/**
 * The factor by which NC1 falls in a layer, from the first layer to the last before it comes to a standstill; null of fewer than
 * three such layers. The linear theory gives no number for it where the kernel is not linear.
 */
export function nc1Decay(nc1: readonly number[]): Fit | null {
  let end = 1;
  while (end < nc1.length && nc1[end] < STANDSTILL * nc1[end - 1] && nc1[end] > FEATURE_ROUNDING) end++;
  return end < 3
    ? null
    : fitFactor(
        nc1,
        Array.from({ length: end }, (_, l) => l),
      );
}
