import { inputError, say, the } from '../errors.js';
import {
  type AgopPath,
  agopCancellation,
  agopGram,
  agopJacobian,
  chooseAgopPath,
  gramForm,
  leastCancellation,
} from '../ops/agop/agop.js';
import { agopDiagonal, type SampledAgop } from '../ops/agop/agop-jacobian.js';
import { gradientsAreRounding } from '../ops/agop/agop-rounding.js';
import type { AgopInput } from '../ops/agop/gradients.js';
import { weightsFromDistances } from '../ops/kernel-matrix/kernel-matrix.js';
import { type RadialKernel, radialBandwidth } from '../ops/kernels/kernel.js';
import {
  forEachDistanceTile,
  type KernelSystem,
  nearestDistance,
  releaseDistances,
} from '../ops/solve/kernel-system.js';
import { zeroAgop } from '../ops/sqrt-psd/sqrt-psd.js';
import { allocateTriangle, type StoredTriangle, tileCount } from '../ops/tiles.js';
import type { Gpu } from '../runtime/gpu.js';
import { allocate, type Pair } from '../runtime/matrix.js';
import { owning } from '../runtime/owning.js';
import type { LayerContext } from './context.js';
import type { FittedKernel } from './fit.js';
import { medianDistance } from './median-distance.js';

export interface AgopReport extends SampledAgop {
  path: AgopPath;
  cancellation: number;
}

/** AGOP = unit · matrix (d × d, not divided by its maximum). Release the matrix. */
export interface Agop {
  matrix: Pair;
  /** 0 where float64 cannot hold it: kernel values are that small. */
  unit: number;
  report: AgopReport;
}

/** Which AGOP of a predictor is wanted. */
export interface AgopRequest {
  /** First row of each class, then n. */
  starts: readonly number[];
  agop: AgopPath | 'auto';
  /** Rows whose Jacobians are summed, ascending; null: all. Default: null. */
  samples?: readonly number[] | null;
  /** No two rows are further apart. Default 2, that of rows of length 1. */
  reach?: number;
  /** What distances are multiples of, for messages. Default: 1. */
  unit?: number;
  /** Products of the Gram form in two floats throughout, where differences of the AGOP's entries count. Default: false. */
  accurate?: boolean;
}

/** −log of kernel values whose squares may be lost in a sum. */
const SMALL_VALUES = 20;
/** −log of kernel values that are 0 in float32. */
const NO_VALUES = 87;

/**
 * The distance that weights are relative to: 0, unless rows may be so far apart that kernel values are small.
 * @throws input error where all of them vanish.
 */
async function nearestOf(gpu: Gpu, system: KernelSystem, reach: number, unit: number): Promise<number> {
  const { x, kernel } = system;
  const { coordinates } = kernel;
  // Of distances by coordinates the reach is not known.
  if (!coordinates && reach <= kernel.distanceAt(SMALL_VALUES) * kernel.bandwidth) return 0;
  const vanishing = kernel.distanceAt(NO_VALUES);
  const nearest = await nearestDistance(gpu, system);
  if (nearest === Number.POSITIVE_INFINITY)
    throw inputError('all rows coincide: no two are apart; give data that differ');
  if (nearest <= vanishing * radialBandwidth(kernel)) return nearest;
  if (coordinates) {
    throw inputError(
      say`${the.bandwidth} ${(kernel.bandwidth * unit).toPrecision(3)}: all rows are so far apart that kernel values vanish; use a larger ${the.bandwidth}`,
    );
  }
  const median = unit * (await medianDistance(gpu, x, { norm: 2, mean: false }));
  throw inputError(
    say`${the.bandwidth}: the nearest rows are ${(nearest * unit).toPrecision(3)} apart, more than the ${Math.floor(vanishing)} bandwidths at which kernel values vanish; the median distance is ${median.toPrecision(3)}: use ${the.bandwidth} ${median.toPrecision(2)}`,
  );
}

/** Products with more digits err by about 6e-11 of the terms: two digits are left here. */
const HOPELESS_CANCELLATION = 1e8;
/** Digits collapsed over 20 layers reach 1e6, a predictor that is constant 1e12. */
const SUSPECT_CANCELLATION = 1e9;
const ROUNDING_ALONE =
  'the AGOP is not defined: the gradients of the predictor are rounding alone, as where equal rows have opposite targets; check the labels or targets';

/** What the AGOP is computed of, in units of √unit. May release the distances; the weights belong to the scope of `gpu`. */
async function agopInput(
  gpu: Gpu,
  { system, alpha }: Pick<FittedKernel, 'system' | 'alpha'>,
  { starts, reach = 2, unit = 1 }: AgopRequest,
): Promise<{ input: AgopInput; nearest: number; unit: number }> {
  const { x, kernel } = system;
  const nearest = await nearestOf(gpu, system, reach, unit);
  const whole = tileCount(x.grid) === 1 && system.kept !== null;
  const weights: AgopInput['weights'] = whole
    ? { kind: 'stored', triangle: await weightsOf(gpu, system, nearest) }
    : { kind: 'computed', kernel, nearest };
  const { coordinates: distance, bandwidth } = kernel;
  const input = { x, alpha, weights, starts, coordinates: distance && { distance, bandwidth } };
  return { input, nearest, unit: kernel.weightUnit(nearest) ** 2 };
}

/** The diagonal of the AGOP, of d numbers, over its largest entry; see `agopDiagonal`. May release the distances. */
export const agopDiagonalOf = (
  { gpu: outer, clock }: LayerContext,
  fitted: Pick<FittedKernel, 'system' | 'alpha'>,
  request: AgopRequest,
): Promise<Float64Array> =>
  clock.phase('agop', () =>
    owning(outer, async (gpu) => {
      const { input } = await agopInput(gpu, fitted, request);
      const diagonal = await agopDiagonal(gpu, input, request.samples);
      const largest = diagonal.reduce((max, value) => Math.max(max, value), 0);
      if (!(largest > 0)) throw zeroAgop();
      return diagonal.map((value) => value / largest);
    }),
  );

/** The AGOP of the fitted predictor at its centres. May release the distances. */
export const agopOf = (
  { gpu: outer, plan, clock }: LayerContext,
  { system, alpha }: Pick<FittedKernel, 'system' | 'alpha'>,
  request: AgopRequest,
): Promise<Agop> =>
  clock.phase('agop', () =>
    owning(outer, async (gpu, keep) => {
      const { starts, agop, samples = null, accurate = false } = request;
      const { x } = system;
      const { n } = x.grid;
      const [d, outputs] = [x.tiles[0].cols, alpha.tiles[0].rows];
      const [high, low] = [allocate(gpu, d, d), allocate(gpu, d, d)];
      const { input, nearest, unit } = await agopInput(gpu, { system, alpha }, request);
      const found = { matrix: keep({ high, low }), unit };
      if (input.coordinates) {
        refuseGram(system.kernel, agop);
        const sampled = await agopJacobian(gpu, input, found.matrix, samples);
        return { ...found, report: { path: 'jacobian', cancellation: 1, ...sampled } };
      }
      const origins = await agopCancellation(gpu, input);
      const cancellation = leastCancellation(origins);
      if (!(origins.mean < SUSPECT_CANCELLATION) && (await gradientsAreRounding(gpu, input))) {
        throw inputError(ROUNDING_ALONE);
      }
      const cheapest = plan.gram && !samples ? chooseAgopPath(n, d, outputs, origins) : 'jacobian';
      const path = agop === 'auto' ? cheapest : agop;
      if (path === 'jacobian') {
        const sampled = await agopJacobian(gpu, input, found.matrix, samples);
        return { ...found, report: { path, cancellation, ...sampled } };
      }
      refuseHopeless(cancellation);
      const { weights } = input;
      const triangle = weights.kind === 'stored' ? weights.triangle : await weightsOf(gpu, system, nearest);
      const form = { ...gramForm(n, d, origins), ...(accurate && { accurate: 'all' as const }) };
      await agopGram(gpu, { x, alpha, triangle, ...form, classes: form.classes ? starts : null }, found.matrix);
      return { ...found, report: { path, cancellation, samples: n, samplingError: 0 } };
    }),
  );

/** @throws input error for the Gram form of a kernel that has none. */
export function refuseGram({ name, coordinates }: RadialKernel, agop: AgopPath | 'auto'): void {
  if (agop !== 'gram' || !coordinates) return;
  throw inputError(
    say`${the.agop} gram: the ${name} kernel has no Gram form, which needs the Euclidean distance`,
    say`use ${the.agop} jacobian or auto`,
  );
}

/** @throws input error where the terms of the Gram form leave no digits. */
function refuseHopeless(cancellation: number): void {
  if (cancellation < HOPELESS_CANCELLATION) return;
  throw inputError(
    say`${the.agop} gram: its terms are ${cancellation.toExponential(2)} times their sum, which leaves no digits`,
    say`use ${the.agop} jacobian or auto`,
  );
}

/** The weights of all pairs of rows, in place of their distances; they belong to the scope of `gpu`. */
async function weightsOf(gpu: Gpu, system: KernelSystem, nearest: number): Promise<StoredTriangle> {
  const { kernel, x } = system;
  const triangle = allocateTriangle(gpu, x.grid);
  await forEachDistanceTile(gpu, system, false, (batch, i, j, { squared }) =>
    weightsFromDistances(batch, squared, triangle.tile(i, j), kernel, nearest),
  );
  releaseDistances(gpu, system);
  return triangle;
}
