import { MultiBar } from 'cli-progress';
import { formatPercent, formatSeconds, RESIDUAL_GOAL } from '../report/format.js';
import type { LayerMetrics, Stages } from '../rfm/types.js';
import { scientific, type Terminal } from './terminal.js';

const PHASES = ['kernel', 'solve', 'agop', 'sqrt', 'features', 'metrics'] as const;
type Phase = (typeof PHASES)[number];

export interface RunProgress {
  onPhase(layer: number, phase: Phase): void;
  onLayer(metrics: LayerMetrics): void;
  /** Removes the bar. Safe to call twice. */
  stop(): void;
}

const stages = ({ input, agop, features }: Stages): string => [input, agop, features].map(scientific).join(' → ');

/** One line about a finished layer; `left` is the estimated time of the layers to come, in seconds. */
export function layerLine(metrics: LayerMetrics, depth: number, left: number): string {
  const { layer, solve } = metrics;
  const parts = [
    `layer ${String(layer).padStart(String(depth).length)}/${depth}`,
    `NC1 ${stages(metrics.nc1)}`,
    `NC2 ${stages(metrics.nc2)}`,
    `train ${formatPercent(metrics.trainAccuracy)}`,
  ];
  if (metrics.testAccuracy !== null) parts.push(`test ${formatPercent(metrics.testAccuracy)}`);
  const { deadRows } = metrics;
  if (deadRows.train + deadRows.test > 0) parts.push(`dead rows ${deadRows.train} + ${deadRows.test}`);
  parts.push(`residual ${solve.relativeResidual.toExponential(0)}`);
  if (solve.jitter > 0) parts.push(`jitter ${solve.jitter.toExponential(0)}`);
  const { samples, samplingError } = metrics.agop;
  if (samplingError > 0) parts.push(`AGOP of ${samples} rows ± ${formatPercent(samplingError)}`);
  parts.push(formatSeconds(metrics.seconds.total));
  if (layer < depth) parts.push(`about ${formatSeconds(Math.max(1, Math.round(left)))} left`);
  return parts.join('  ');
}

/**
 * What is left, from the layers so far. The first is left out as soon as there are others: it has another width, and
 * compiles the shaders.
 */
export function secondsLeft(seconds: readonly number[], depth: number): number {
  const typical = seconds.length > 1 ? seconds.slice(1) : seconds;
  const mean = typical.reduce((sum, value) => sum + value, 0) / Math.max(1, typical.length);
  return mean * (depth - seconds.length);
}

/** A remark about a solve that needed help or fell short, or null. */
export function solveRemark({ layer, solve }: Pick<LayerMetrics, 'layer' | 'solve'>): string | null {
  const found: string[] = [];
  if (!(solve.relativeResidual <= RESIDUAL_GOAL)) {
    found.push(
      `the solve stopped at a relative residual of ${scientific(solve.relativeResidual)}, above ${RESIDUAL_GOAL}`,
    );
  }
  if (solve.jitter > 0) found.push(`the solve needed a jitter of ${scientific(solve.jitter)} on the diagonal`);
  return found.length === 0 ? null : `layer ${layer}: ${found.join('; ')}`;
}

/** A remark about rows that have no features, or null. */
export function deadRemark({ layer, deadRows }: Pick<LayerMetrics, 'layer' | 'deadRows'>): string | null {
  const { train, test } = deadRows;
  if (train + test === 0) return null;
  return `layer ${layer}: all features of ${train} training and ${test} test rows are zero; they stay zero from here on`;
}

/** A line a layer on stderr, and below them a bar where stderr is a terminal. `done` are the seconds of layers before. */
export function runProgress(terminal: Terminal, depth: number, done: readonly number[] = []): RunProgress {
  const seconds = [...done];
  const bars =
    terminal.quiet || !process.stderr.isTTY
      ? null
      : new MultiBar({
          stream: process.stderr,
          format: '{bar} {value}/{total}  {what}',
          barCompleteChar: '█',
          barIncompleteChar: '░',
          barsize: 24,
          hideCursor: true,
          // Off, it would cut the lines of the layers at the edge of the terminal.
          linewrap: true,
          clearOnComplete: true,
          // Signals are handled by the command line itself.
          gracefulExit: false,
        });
  const bar = bars?.create(depth * PHASES.length, done.length * PHASES.length, { what: 'starting' });
  let reached = 0;
  let stopped = false;
  return {
    onPhase(layer, phase) {
      // A phase may come twice in a layer, with the test rows; the bar does not go back for it.
      reached = Math.max(reached, (layer - 1) * PHASES.length + PHASES.indexOf(phase));
      bar?.update(reached, { what: `layer ${layer}/${depth}: ${phase}` });
    },
    onLayer(metrics) {
      seconds.push(metrics.seconds.total);
      const line = layerLine(metrics, depth, secondsLeft(seconds, depth));
      const remarks = [solveRemark(metrics), deadRemark(metrics)].filter((remark) => remark !== null);
      for (const text of [line, ...remarks.map((remark) => `note: ${remark}`)]) {
        if (bars === null) terminal.note(text);
        else bars.log(`${text}\n`);
      }
      bar?.update(metrics.layer * PHASES.length);
    },
    stop() {
      if (stopped || bars === null) return;
      stopped = true;
      // Writes the lines that wait for the next frame.
      bars.update();
      bars.stop();
    },
  };
}
