import { MultiBar } from 'cli-progress';
import {
  formatPercent,
  formatSeconds,
  LARGE_CANCELLATION,
  LARGE_ROUNDING,
  RESIDUAL_GOAL,
  UNDEFINED_REASON,
  undefinedStages,
} from '../report/format.js';
import type { Phase } from '../rfm/context.js';
import type { LayerMetrics, Stages } from '../rfm/types.js';
import { atForcedEnd } from './interrupt.js';
import { scientific, type Terminal } from './terminal.js';

const PHASES = ['kernel', 'solve', 'agop', 'sqrt', 'features', 'metrics'] as const satisfies readonly Phase[];

export interface RunProgress {
  onPhase(layer: number, phase: Phase): void;
  onLayer(metrics: LayerMetrics): void;
  /** Shows that shaders have been compiled for so many seconds so far, and still are; false where there is no bar. */
  onCompiling(seconds: number): boolean;
  /** Removes the bar. Safe to call twice. */
  stop(): void;
}

const stages = ({ input, agop, features }: Stages): string => [input, agop, features].map(scientific).join(' → ');

/** Seconds of compilation from which on a line names them. */
const WORTH_NAMING = 0.05;

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
  const { total, compilation = 0 } = metrics.seconds;
  parts.push(formatSeconds(total));
  if (compilation >= WORTH_NAMING) parts.push(`compiling shaders: ${formatSeconds(compilation)}`);
  if (layer < depth) parts.push(`about ${formatSeconds(promised(left))} left`);
  return parts.join('  ');
}

/** Whole seconds, or half ones where a whole one would be a fifth of them. */
const promised = (seconds: number): number =>
  seconds < 5 ? Math.max(1, Math.round(2 * seconds) / 2) : Math.round(seconds);

/** What the figures and the page take at the end: so many Gram pictures, or seconds where none was drawn. */
const DRAWING = { pictures: 8, seconds: 2 };

/** How the time that is left is known. */
export interface RunTiming {
  depth: number;
  /** Layers whose Gram pictures are drawn. */
  gramLayers: readonly number[];
  /** Seconds that each later layer computes, from the first one. */
  later(first: LayerMetrics): number;
}

/** A layer that is done. */
export interface LayerTime {
  metrics: LayerMetrics;
  /** Seconds beyond those of its phases, for its checkpoint and its picture; null where an earlier command took them. */
  saving: number | null;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Seconds until the results are written, from the layers so far, without the compilation of shaders. What the first one
 * took counts as `later` says until there are others: it may have another width, and all is done there for the first time.
 */
export function secondsLeft(layers: readonly LayerTime[], { depth, gramLayers, later }: RunTiming): number {
  const [first, ...others] = layers;
  const each = others.length === 0 ? later(first.metrics) : mean(others.map(({ metrics }) => metrics.seconds.total));
  const hasPicture = (layer: number): boolean => gramLayers.includes(layer);
  const savingOf = (pictured: boolean): number | null => {
    const known = layers.filter(({ metrics, saving }) => saving !== null && hasPicture(metrics.layer) === pictured);
    return known.length === 0 ? null : mean(known.map(({ saving }) => saving ?? 0));
  };
  const picture = savingOf(true);
  const plain = savingOf(false) ?? 0;
  const drawing = picture === null ? DRAWING.seconds : DRAWING.pictures * picture;
  let left = (depth - layers.length) * each + drawing;
  for (let layer = layers.length + 1; layer <= depth; layer++) left += hasPicture(layer) ? (picture ?? plain) : plain;
  return left;
}

const STAGE_NAMES = { input: 'X', agop: 'M½X', features: 'the features' } as const;

/** A remark about NC1 or NC2 where it is not defined, or null. */
export function undefinedRemark(metrics: Pick<LayerMetrics, 'layer' | 'nc1' | 'nc2'>): string | null {
  const found = undefinedStages(metrics, STAGE_NAMES);
  return found === null ? null : `layer ${metrics.layer}: ${found}: not defined, since ${UNDEFINED_REASON}`;
}

/** What a solve needed, or fell short of. */
export function solveRemarks({ relativeResidual, jitter, addedRidge }: LayerMetrics['solve']): string[] {
  const found: string[] = [];
  if (addedRidge !== undefined) {
    found.push(
      `the system has no solution in float32, so ${scientific(addedRidge)} was added to the ridge; use a larger --ridge`,
    );
  }
  if (!(relativeResidual <= RESIDUAL_GOAL)) {
    found.push(`the solve stopped at a relative residual of ${scientific(relativeResidual)}, above ${RESIDUAL_GOAL}`);
  }
  if (jitter > 0) found.push(`the solve needed a jitter of ${scientific(jitter)} on the diagonal`);
  return found;
}

/** All that has to be said of a layer, on one line, or null. */
export function layerRemark({ layer, solve, agop, argumentRounding = 0 }: LayerMetrics): string | null {
  const found = solveRemarks(solve);
  if (agop.path === 'gram' && agop.cancellation >= LARGE_CANCELLATION) {
    found.push(
      `the terms of the Gram form are ${scientific(agop.cancellation)} times their sum, so that many digits of the AGOP are lost; use --agop jacobian`,
    );
  }
  if (argumentRounding >= LARGE_ROUNDING) {
    found.push(
      `rounding of their arguments changes cosine features by ${scientific(argumentRounding)} on average; use a smaller --gamma`,
    );
  }
  return found.length === 0 ? null : `layer ${layer}: ${found.join('; ')}`;
}

/** A remark about rows that have no features, or null. */
export function deadRemark({ layer, deadRows }: Pick<LayerMetrics, 'layer' | 'deadRows'>): string | null {
  const { train, test } = deadRows;
  if (train + test === 0) return null;
  return `layer ${layer}: all features of ${train} training and ${test} test rows are zero; they stay zero from here on`;
}

/** Seconds from a layer's first phase until now that its metrics do not count. */
function beyond(started: number, { seconds }: LayerMetrics): number {
  return Math.max(0, (performance.now() - started) / 1000 - seconds.total - (seconds.compilation ?? 0));
}

/** A line a layer on stderr, and below them a bar where stderr is a terminal. `done` are the layers of before. */
export function runProgress(terminal: Terminal, timing: RunTiming, done: readonly LayerMetrics[] = []): RunProgress {
  const { depth } = timing;
  const times: LayerTime[] = done.map((metrics) => ({ metrics, saving: null }));
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
  let doing = 'starting';
  let layerStarted = { layer: 0, at: 0 };
  let stopped = false;
  const stop = (): void => {
    if (stopped || bars === null) return;
    stopped = true;
    // Writes the lines that wait for the next frame.
    bars.update();
    bars.stop();
    forget();
  };
  // The bar hides the cursor.
  const forget = atForcedEnd(stop);
  return {
    onPhase(layer, phase) {
      if (layer !== layerStarted.layer) layerStarted = { layer, at: performance.now() };
      // A phase may come twice in a layer, with the test rows; the bar does not go back for it.
      reached = Math.max(reached, (layer - 1) * PHASES.length + PHASES.indexOf(phase));
      doing = `layer ${layer}/${depth}: ${phase}`;
      bar?.update(reached, { what: doing });
    },
    onLayer(metrics) {
      times.push({ metrics, saving: beyond(layerStarted.at, metrics) });
      const line = layerLine(metrics, depth, secondsLeft(times, timing));
      const remarks = [layerRemark(metrics), undefinedRemark(metrics), deadRemark(metrics)].filter(
        (remark) => remark !== null,
      );
      for (const text of [line, ...remarks.map((remark) => `note: ${remark}`)]) {
        if (bars === null) terminal.note(text);
        else bars.log(`${text}\n`);
      }
      bar?.update(metrics.layer * PHASES.length);
    },
    onCompiling(seconds) {
      bar?.update(reached, { what: `${doing}; compiling shaders: ${formatSeconds(Math.floor(seconds))}` });
      return bar !== undefined;
    },
    stop,
  };
}
