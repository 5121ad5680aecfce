/** What a run vouches for: residuals, jitter, repairs, memory and time, beside its settings. */

import { kernelOf } from '../ops/kernels/kernels.js';
import type { LayerMetrics, RunMetrics, Stages } from '../rfm/types.js';
import {
  ACTIVATION_NAMES,
  adapterLabel,
  classesText,
  escapeHtml,
  formatBytes,
  formatNumber,
  formatPercent,
  formatSeconds,
  LARGE_CANCELLATION,
  LARGE_ROUNDING,
  presetRow,
  RESIDUAL_GOAL,
  UNDEFINED_REASON,
} from './format.js';
import { tableBlock } from './page-shell.js';

const stagesFinite = ({ input, agop, features }: Stages): boolean => [input, agop, features].every(Number.isFinite);

// Written so that a residual that is not a number counts as too large.
const missedGoal = (layer: LayerMetrics): boolean => !(layer.solve.relativeResidual <= RESIDUAL_GOAL);
const jittered = (layer: LayerMetrics): boolean => layer.solve.jitter !== 0;
const regularised = ({ solve }: LayerMetrics): boolean => solve.addedRidge !== undefined;
const cancelled = ({ agop }: LayerMetrics): boolean => agop.path === 'gram' && agop.cancellation >= LARGE_CANCELLATION;
const rounded = ({ argumentRounding = 0 }: LayerMetrics): boolean => argumentRounding >= LARGE_ROUNDING;
const undefinedMetric = (layer: LayerMetrics): boolean => !stagesFinite(layer.nc1) || !stagesFinite(layer.nc2);
const withDeadRows = ({ deadRows }: LayerMetrics): boolean => deadRows.train + deadRows.test > 0;

/** Whether something about a layer has to be pointed out. */
export const needsNote = (layer: LayerMetrics): boolean =>
  [missedGoal, jittered, regularised, cancelled, rounded, undefinedMetric, withDeadRows].some((applies) =>
    applies(layer),
  );

const layerList = (layers: readonly LayerMetrics[]): string =>
  `${layers.length === 1 ? 'Layer' : 'Layers'} ${layers.map((layer) => layer.layer).join(', ')}`;

export function repairNote({ layers, config }: RunMetrics): string {
  const items: string[] = [];
  const withJitter = layers.filter(jittered);
  if (withJitter.length > 0) {
    const largest = Math.max(...withJitter.map((layer) => layer.solve.jitter));
    items.push(
      `${layerList(withJitter)}: up to ${formatNumber(largest)} (jitter) was added to the diagonal of the kernel matrix, ` +
        `besides the ridge ${formatNumber(config.ridge)}, so that it could be factored.`,
    );
  }
  const coarse = layers.filter(missedGoal);
  if (coarse.length > 0) {
    const largest = Math.max(...coarse.map((layer) => layer.solve.relativeResidual));
    items.push(
      `${layerList(coarse)}: the solve did not reach a relative residual of ${formatNumber(RESIDUAL_GOAL)} ` +
        `(largest: ${formatNumber(largest)}).`,
    );
  }
  const withRidge = layers.filter(regularised);
  if (withRidge.length > 0) {
    const largest = Math.max(...withRidge.map(({ solve }) => solve.addedRidge ?? 0));
    items.push(
      `${layerList(withRidge)}: the system has no solution in float32, so up to ${formatNumber(largest)} was added to the ` +
        `ridge ${formatNumber(config.ridge)}.`,
    );
  }
  const cancelling = layers.filter(cancelled);
  if (cancelling.length > 0) {
    const largest = Math.max(...cancelling.map(({ agop }) => agop.cancellation));
    items.push(
      `${layerList(cancelling)}: the terms of the Gram form are up to ${formatNumber(largest)} times their sum, so that ` +
        `many digits of the AGOP are lost.`,
    );
  }
  const coarseCosines = layers.filter(rounded);
  if (coarseCosines.length > 0) {
    const largest = Math.max(...coarseCosines.map(({ argumentRounding = 0 }) => argumentRounding));
    items.push(
      `${layerList(coarseCosines)}: rounding of their arguments changes cosine features by up to ${formatNumber(largest)} ` +
        `on average.`,
    );
  }
  const unknown = layers.filter(undefinedMetric);
  if (unknown.length > 0) {
    items.push(
      `${layerList(unknown)}: ${UNDEFINED_REASON}, so NC1 or NC2 is not defined; it is left out of the curves.`,
    );
  }
  for (const layer of layers.filter(withDeadRows)) {
    const { train, test } = layer.deadRows;
    items.push(
      `${layerList([layer])}: all features of ${train} training and ${test} test rows are zero; they stay zero.`,
    );
  }
  if (items.length === 0) {
    return `<div class="note"><p>No repairs: no jitter was added, and every solve reached a relative residual of
      ${formatNumber(RESIDUAL_GOAL)} or less.</p></div>`;
  }
  return `<div class="note warn" role="note"><p><strong>Repairs and limits of this run</strong></p>
    <ul>${items.map((item) => `<li>${item}</li>`).join('')}</ul></div>`;
}

export function settingsTable(metrics: RunMetrics): string {
  const { config, adapter, classCounts, layers } = metrics;
  const sizesOfClasses = classCounts.filter((count) => count > 0);
  const smallest = Math.min(...sizesOfClasses);
  const largest = Math.max(...sizesOfClasses);
  const sizes = smallest === largest ? `${smallest} rows each` : `${smallest} to ${largest} rows each`;
  const { label, formula } = kernelOf(config);
  const width =
    config.width === 0
      ? 'the width of the input'
      : config.width === 'inf'
        ? '∞ (their expectation)'
        : String(config.width);
  const gamma = config.activation === 'cos' ? `, γ = ${formatNumber(config.gamma)}` : '';
  const done = layers.length === config.depth ? '' : ` (asked for: ${config.depth})`;
  const kind = adapter.type === 'software' ? 'software: runs on the CPU' : 'hardware';
  const details = [adapter.vendor, adapter.architecture, adapter.device].filter((part) => part !== '').join(' ');
  const rows: Array<[string, string]> = [
    ['Dataset', escapeHtml(config.dataset)],
    ...presetRow(config.preset),
    ['Training rows', `${config.n}, ${classesText(classCounts)} (${sizes})`],
    ['Test rows', config.testN > 0 ? String(config.testN) : 'none'],
    ...(config.metric === undefined ? [] : [['Metric before layer 1', escapeHtml(config.metric)] as [string, string]]),
    ['Layers', `${layers.length}${done}`],
    ['Kernel', `${label}, ${formula}, L = ${formatNumber(config.bandwidth)}, ridge λ = ${formatNumber(config.ridge)}`],
    [
      'Random features',
      `${ACTIVATION_NAMES[config.activation]}, width ${width}${gamma}${config.width === 'inf' ? '' : `, seed ${config.seed}`}`,
    ],
    ['AGOP', agopSetting(metrics)],
    ['Adapter', `${escapeHtml(adapterLabel(adapter))} <span class="tag">${kind}</span>`],
    ['deep-rfm', escapeHtml(metrics.version)],
  ];
  if (details !== '') rows.splice(8, 0, ['Adapter details', escapeHtml(details)]);
  return pairTable('settings', 'Settings', rows);
}

/** Names and values, of which the values may be HTML. */
export const pairTable = (name: string, caption: string, rows: readonly (readonly [string, string])[]): string =>
  tableBlock(
    name,
    caption,
    `<table class="settings"><caption>${caption}</caption><tbody>${rows
      .map(([head, value]) => `<tr><th scope="row">${head}</th><td>${value}</td></tr>`)
      .join('')}</tbody></table>`,
  );

/** The largest of a quantity, and the layer that has it. */
function largest(layers: readonly LayerMetrics[], of: (layer: LayerMetrics) => number): string {
  const values = layers.map(of);
  const most = Math.max(...values.filter((value) => !Number.isNaN(value)));
  const unknown = values.some((value) => Number.isNaN(value)) ? '; not known in some layers' : '';
  if (!Number.isFinite(most)) return 'n/a';
  if (most === 0) return `none${unknown}`;
  return `${formatNumber(most)} (layer ${layers[values.indexOf(most)]!.layer})${unknown}`;
}

/** Residuals, jitter, repairs, memory and time of a run as a table. */
export function certificateTable({ layers, memory, deviceLosses, seconds, config }: RunMetrics): string {
  const compilations = layers.map((layer) => layer.seconds.compilation ?? Number.NaN);
  const compilation = compilations.reduce((sum, value) => sum + value, 0);
  const share =
    memory.predictedBytes > 0 ? `, ${formatPercent(memory.peakBytes / memory.predictedBytes)} of the plan` : '';
  const methods = [...new Set(layers.map(({ solve }) => solve.method))].map(escapeHtml).join(', ');
  return pairTable('certificate', 'Certificate', [
    [
      'Largest residual ‖(K + λI)α − Y‖ / ‖Y‖',
      `${largest(layers, ({ solve }) => solve.relativeResidual)}; goal ${formatNumber(RESIDUAL_GOAL)}`,
    ],
    ['Solver', `${methods}; refinements: ${Math.max(...layers.map(({ solve }) => solve.refinements))} at most`],
    ['Largest jitter', largest(layers, ({ solve }) => solve.jitter)],
    ['Largest addition to the ridge', largest(layers, ({ solve }) => solve.addedRidge ?? 0)],
    ['Largest cancellation in the AGOP', largest(layers, ({ agop }) => agop.cancellation)],
    ['Rank of M', layers.map(({ agop }) => agop.rank ?? 'n/a').join(', ')],
    ...(config.activation === 'cos'
      ? [
          [
            'Largest rounding of cosine features',
            largest(layers, ({ argumentRounding }) => argumentRounding ?? Number.NaN),
          ] as const,
        ]
      : []),
    [
      'Layers with repairs or limits',
      layers
        .filter(needsNote)
        .map(({ layer }) => layer)
        .join(', ') || 'none',
    ],
    [
      'Devices lost',
      deviceLosses === 0 ? 'none' : `${deviceLosses}; each time the layer was begun again on a new device`,
    ],
    ['Device memory, planned', formatBytes(memory.predictedBytes)],
    ['Device memory, peak', `${formatBytes(memory.peakBytes)}${share}`],
    ['Total time', formatSeconds(seconds)],
    [
      'Of it shader compilation',
      Number.isNaN(compilation) ? 'not told apart by the version that wrote this' : formatSeconds(compilation),
    ],
  ]);
}

function agopSetting({ config, layers }: RunMetrics): string {
  if (config.agopSamples > 0) {
    const errors = layers.map(({ agop }) => agop.samplingError);
    const range = `${formatPercent(Math.min(...errors))} to ${formatPercent(Math.max(...errors))}`;
    return `Jacobians at ${config.agopSamples} rows; standard error of their mean ${range}`;
  }
  return config.agop === 'auto' ? 'Gram space or Jacobians, chosen at each layer' : agopName(config.agop);
}

export const agopName = (path: string): string => (path === 'gram' ? 'Gram space' : 'Jacobians');
