/** `fit --tune N`: the trials of a search, drawn from a sequence that fills the space, then around the best of them. */

import { RfmError } from '../errors.js';
import { decode, type Prepared, scoreOf, scoresOf } from '../model/fit-rows.js';
import { estimatorOptions } from '../model/fit-settings.js';
import { type FamilyName, type FamilySettings, familyOf, takesSetting } from '../ops/kernels/families.js';
import type { FitTrial } from '../report/fit-document.js';
import { formatNumber, formatSeconds } from '../report/format.js';
import { isGain, type ScoreName } from '../rfm/scores.js';
import type { Gpu } from '../runtime/gpu.js';
import type { FitConfig, FitFlags } from './fit-request.js';
import { messageOf } from './messages.js';
import type { Terminal } from './terminal.js';

/** Tried at every point, with one factorisation: 16 from 1e-4 to 10. */
export const SEARCH_RIDGES: readonly number[] = Array.from({ length: 16 }, (_, i) => 10 ** (-4 + i / 3));

const KERNELS: readonly FamilyName[] = ['laplace', 'product-laplace'];
/** Of the median distance. */
const MULTIPLES = { min: 0.5, max: 16 };
/** In steps of 0.1: each exponent is a shader of its own, which a software adapter compiles for a second or two. */
const EXPONENTS = { min: 0.7, max: 1.4 };
/** Share of the trials that are drawn from the whole space. */
const WIDE = 2 / 3;
/** Half the width, of each range, that later trials are drawn from around the best. */
const NEAR = 0.15;

type Point = Pick<FitTrial, 'kernel' | 'exponent' | 'multiple' | 'metricForm'>;

interface Range {
  min: number;
  max: number;
}

/** A number of a range by a share of it, or, around the best one, of a part of the range. */
function within(share: number, { min, max }: Range, center: number | null): number {
  if (center === null) return min + share * (max - min);
  return Math.min(max, Math.max(min, center + (2 * share - 1) * NEAR * (max - min)));
}

/** Of the median distance; null for a bandwidth that is given as a number. */
function multipleAt(share: number, { bandwidth }: FitFlags, around: Point | null): number | null {
  if (bandwidth) return 'length' in bandwidth ? null : bandwidth.multiple;
  const logs = { min: Math.log(MULTIPLES.min), max: Math.log(MULTIPLES.max) };
  const center = around?.multiple ?? null;
  return Math.exp(within(share, logs, center === null ? null : Math.log(center)));
}

function exponentAt(share: number, kernel: FamilyName, { exponent, norm = 1 }: FitFlags, around: Point | null) {
  if (exponent !== undefined || !takesSetting(kernel, 'exponent')) return exponent ?? null;
  const max = takesSetting(kernel, 'norm') ? Math.min(EXPONENTS.max, norm) : EXPONENTS.max;
  const range = { min: Math.min(EXPONENTS.min, max), max };
  return Math.min(max, Math.max(range.min, Math.round(10 * within(share, range, around?.exponent ?? null)) / 10));
}

/** What flags leave to the search; what they give stays. */
function pointAt(u: readonly number[], flags: FitFlags, around: Point | null): Point {
  const kernel =
    around?.kernel ?? flags.kernel ?? KERNELS[Math.min(KERNELS.length - 1, Math.floor(u[0] * KERNELS.length))];
  return {
    kernel,
    exponent: exponentAt(u[2], kernel as FamilyName, flags, around),
    multiple: multipleAt(u[1], flags, around),
    metricForm: around?.metricForm ?? flags.metricForm ?? (u[3] < 0.5 ? 'full' : 'diagonal'),
  };
}

/** The configuration of a point. */
export function configAt(config: FitConfig, { kernel, exponent, multiple, metricForm }: Point): FitConfig {
  const { exponent: _, norm, power, constantMix, ...rest } = config;
  const family: FamilySettings = {
    kernel: kernel as FamilyName,
    ...(exponent !== null && { exponent }),
    ...(norm !== undefined && { norm }),
    ...(power !== undefined && { power }),
    ...(constantMix !== undefined && { constantMix }),
  };
  return { ...rest, ...family, bandwidth: multiple === null ? config.bandwidth : { multiple }, metricForm };
}

/** The trial with the best score; null where none has one. */
export function bestTrial(trials: readonly FitTrial[], score: ScoreName): FitTrial | null {
  const sign = isGain(score) ? -1 : 1;
  let best: FitTrial | null = null;
  for (const trial of trials) {
    if (trial.score === null || !Number.isFinite(trial.score)) continue;
    if (best?.score == null || sign * trial.score < sign * best.score) best = trial;
  }
  return best;
}

interface Search {
  prepared: Prepared;
  config: FitConfig;
  flags: FitFlags;
  terminal: Terminal;
  /** Hears of each trial; the search may be cut short after it. */
  onTrial(trials: FitTrial[]): void;
}

/** Makes the trials that `done` lacks; each is the same whenever it is made. */
export async function search(
  gpu: Gpu,
  { prepared, config, flags, terminal, onTrial }: Search,
  done: readonly FitTrial[],
): Promise<FitTrial[]> {
  const { lowDiscrepancy, searchTrial } = await import('./method.js');
  const count = config.tune ?? 0;
  const trials = [...done];
  const before = trials.length;
  const sign = isGain(config.score) ? -1 : 1;
  const { validation, outputs, data } = prepared;
  const started = performance.now();
  for (let t = trials.length; t < count; t++) {
    const begun = performance.now();
    // Of what was found so far, and of nothing else: so that a search that goes on finds the same.
    const around = t >= Math.ceil(WIDE * count) ? bestTrial(trials.slice(0, t), config.score) : null;
    const point = pointAt(lowDiscrepancy(t, 4, config.seed), flags, around);
    const own = configAt(config, point);
    const options = { ...estimatorOptions(own, data.n, flags.memoryLimit ?? null), family: familyOf(own) };
    const relative = config.ridgeForm === 'relative' ? data.n : 1;
    const ridges = flags.ridge === undefined ? SEARCH_RIDGES : [flags.ridge];
    const found = await searchTrial(
      gpu,
      data,
      options,
      ridges.map((ridge) => ridge * relative),
      (scores) =>
        validation ? sign * scoreOf(scoresOf(validation.target, decode(scores, outputs)), config.score) : Number.NaN,
    ).catch((error: unknown) => {
      // A kernel so narrow that rows do not see each other is a poor trial, and no reason to stop.
      if (error instanceof RfmError && error.kind === 'input') return error;
      throw error;
    });
    const failed = found instanceof RfmError;
    trials.push({
      trial: t + 1,
      ...point,
      iteration: failed ? 0 : found.iteration,
      ridges: failed ? [] : found.ridges.map((ridge) => ridge / relative),
      score: failed ? null : sign * found.score,
      failure: failed ? messageOf(found) : null,
      seconds: (performance.now() - begun) / 1000,
    });
    onTrial(trials);
    const left = ((performance.now() - started) / 1000 / (t + 1 - before)) * (count - t - 1);
    const best = bestTrial(trials, config.score);
    terminal.note(
      `trial ${String(t + 1).padStart(String(count).length)}/${count}  ${point.kernel}${point.exponent === null ? '' : ` q ${point.exponent.toFixed(2)}`} ${point.multiple === null ? '' : `${point.multiple.toFixed(2)}x `}${point.metricForm}  ${failed ? messageOf(found) : `score ${formatNumber(sign * found.score)}`}  best ${formatNumber(best?.score ?? Number.NaN)}${t + 1 < count ? `  about ${formatSeconds(Math.max(1, Math.round(left)))} left` : ''}`,
    );
  }
  return trials;
}
