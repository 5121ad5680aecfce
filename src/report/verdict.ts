/** The finding of a run in one or two sentences, in figures. */

import type { LayerMetrics, RunMetrics } from '../rfm/types.js';
import { formatNumber, formatPercent } from './format.js';
import { LOG_FLOOR } from './scales.js';

/** A value of NC1 in a sentence. */
const nc1Text = (value: number): string =>
  !Number.isFinite(value)
    ? 'a value that is not defined'
    : value < LOG_FLOOR
      ? '0 (fully collapsed)'
      : formatNumber(value);

/**
 * By which factor a step of every layer divides NC1, as a geometric mean over the layers that have a positive NC1 before and
 * after; below 1 the step raises NC1. NaN where no layer has.
 */
export function nc1Factor(layers: readonly LayerMetrics[], step: 'agop' | 'features'): number {
  const logs = layers
    .map(({ nc1 }) => (step === 'agop' ? Math.log(nc1.input / nc1.agop) : Math.log(nc1.agop / nc1.features)))
    .filter((log) => Number.isFinite(log));
  return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
}

/** What a step does to NC1; `them` where it is more than one thing. */
const effect = (factor: number, them: boolean): string =>
  factor >= 1
    ? `divide${them ? '' : 's'} it by ${formatNumber(factor)}`
    : `multipl${them ? 'y' : 'ies'} it by ${formatNumber(1 / factor)}`;

/** Which step does the collapsing. */
function stepsText(layers: readonly LayerMetrics[]): string {
  const [agop, features] = [nc1Factor(layers, 'agop'), nc1Factor(layers, 'features')];
  if (!Number.isFinite(agop) || !Number.isFinite(features)) return '';
  const where = layers.length === 1 ? 'The' : 'In a layer (geometric mean) the';
  const more =
    agop > 1 && features > 1
      ? `: the AGOP does ${formatNumber(agop / features)} times the reduction of the features`
      : '';
  return ` ${where} AGOP step ${effect(agop, false)}, and the random features ${effect(features, true)}${more}.`;
}

function accuracyText(layers: readonly LayerMetrics[]): string {
  const [first, last] = [layers[0]!, layers.at(-1)!];
  if (first.testAccuracy === null || last.testAccuracy === null) return '';
  if (layers.length === 1) return ` Its predictor has ${formatPercent(last.testAccuracy)} of the test rows right.`;
  return ` Test accuracy went from ${formatPercent(first.testAccuracy)} at layer ${first.layer} to ${formatPercent(last.testAccuracy)} at layer ${last.layer}.`;
}

/** What a run found. Plain text. */
export function runVerdict({ layers }: Pick<RunMetrics, 'layers'>): string {
  const [first, last] = [layers[0]!, layers.at(-1)!];
  const [from, to] = [first.nc1.input, last.nc1.features];
  const verb = to < from ? 'fell' : to > from ? 'rose' : 'went';
  const over = layers.length === 1 ? 'in one layer' : `over ${layers.length} layers`;
  const nc1 = `NC1 ${verb} from ${nc1Text(from)} to ${nc1Text(to)} ${over}.`;
  return `${nc1}${stepsText(layers)}${accuracyText(layers)}`;
}
