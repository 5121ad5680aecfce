import type { Measurement, Score, TrainConfig } from '../nn/types.js';
import { formatPercent, formatSeconds, UNDEFINED_REASON, undefinedStages } from '../report/format.js';
import { fixed, scientific, type Terminal } from './terminal.js';

export interface TrainProgress {
  onEpoch(seed: number, epoch: number, score: Score, seconds: number): void;
  onMeasurement(seed: number, measurement: Measurement): void;
}

/** Seconds between two lines about epochs, at least. */
const LINE_SECONDS = 5;

/** A line about a measurement: scores, and NC1 and the correlation of the last hidden layer. */
export function measurementLine(seed: number, { epoch, train, test, layers, seconds }: Measurement): string {
  const parts = [`seed ${seed}  epoch ${epoch}  measured: loss ${scientific(train.loss)}`];
  parts.push(`train ${formatPercent(train.accuracy)}`);
  if (test) parts.push(`test ${formatPercent(test.accuracy)}`);
  const last = layers.at(-1);
  if (last) {
    const { input, right, output } = last.nc1;
    parts.push(`layer ${last.layer}: NC1 ${[input, right, output].map(scientific).join(' → ')}`);
    parts.push(`NFA ${fixed(last.nfa, 3)}`);
    if (last.fact) parts.push(`FACT ${fixed(last.fact.correlation, 3)}`);
  }
  parts.push(formatSeconds(seconds));
  return parts.join('  ');
}

const STAGE_NAMES = { input: 'Φ', right: 'SVᵀΦ', output: 'ReLU', agop: 'AGOP½Φ' } as const;
/** Layers that one remark names. */
const NAMED_LAYERS = 4;

/** A remark about what is not defined of a network's layers, or null. */
export function undefinedRemark(seed: number, { epoch, layers, variance }: Measurement): string | null {
  const found = layers.flatMap((probe) => {
    const parts = [undefinedStages(probe, STAGE_NAMES)].filter((part) => part !== null);
    if (!Number.isFinite(probe.nfa) || !Number.isFinite(probe.nfaSqrt)) parts.push('NFA');
    if (probe.fact && !Number.isFinite(probe.fact.correlation)) parts.push('FACT');
    if (!Number.isFinite(probe.effectiveRank)) parts.push('effective rank');
    if (probe.principalAngles.length === 0) parts.push('angles');
    return parts.length === 0 ? [] : [`layer ${probe.layer}: ${parts.join(', ')}`];
  });
  if (!Number.isFinite(variance.between)) found.push('variance after the last layer');
  if (found.length === 0) return null;
  const rest = found.length > NAMED_LAYERS + 1 ? found.splice(NAMED_LAYERS).length : 0;
  const more = rest > 0 ? `; and ${rest} more` : '';
  return (
    `seed ${seed}, epoch ${epoch}: not defined: ${found.join('; ')}${more} ` +
    `(${UNDEFINED_REASON}, or no output depends on the layer)`
  );
}

/**
 * Seconds that are left, from the means so far. A measurement that has not been made yet counts as the last one, and
 * none counts before the first.
 */
export function secondsLeft(
  config: TrainConfig,
  done: { epochs: number; measurements: number },
  mean: { epoch: number; measurement: number },
): number {
  const seeds = config.seeds.length;
  const measurements = seeds * (1 + Math.ceil(config.epochs / config.measureEvery));
  return (
    (seeds * config.epochs - done.epochs) * mean.epoch +
    Math.max(0, measurements - done.measurements) * mean.measurement
  );
}

/** Lines on stderr about epochs, a few seconds apart, and about measurements, with an estimate of the time left. */
export function trainProgress(
  terminal: Terminal,
  config: TrainConfig,
  before: { epochs: number; measurements: number },
): TrainProgress {
  const done = { ...before };
  const spent = { epochs: 0, epochSeconds: 0, measurements: 0, measurementSeconds: 0 };
  let last = 0;
  const left = (): string => {
    const seconds = secondsLeft(config, done, {
      epoch: spent.epochSeconds / Math.max(1, spent.epochs),
      measurement: spent.measurementSeconds / Math.max(1, spent.measurements),
    });
    return `about ${formatSeconds(Math.max(1, Math.round(seconds)))} left`;
  };
  return {
    onEpoch(seed, epoch, score, seconds) {
      done.epochs++;
      spent.epochs++;
      spent.epochSeconds += seconds;
      if (epoch < config.epochs && performance.now() - last < 1000 * LINE_SECONDS) return;
      last = performance.now();
      terminal.note(
        `seed ${seed}  epoch ${epoch}/${config.epochs}  loss ${scientific(score.loss)}  train ${formatPercent(score.accuracy)}  ` +
          `${formatSeconds(seconds)} an epoch  ${left()}`,
      );
    },
    onMeasurement(seed, measurement) {
      done.measurements++;
      spent.measurements++;
      spent.measurementSeconds += measurement.seconds;
      terminal.note(measurementLine(seed, measurement));
      const remark = undefinedRemark(seed, measurement);
      if (remark !== null) terminal.note(`note: ${remark}`);
    },
  };
}
