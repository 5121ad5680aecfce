import type { Measurement, Score, TrainConfig } from '../nn/types.js';
import { formatPercent, formatSeconds } from '../report/format.js';
import { scientific, type Terminal } from './terminal.js';

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
    parts.push(`NFA ${last.nfa.toFixed(3)}`);
  }
  parts.push(formatSeconds(seconds));
  return parts.join('  ');
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
    },
  };
}
