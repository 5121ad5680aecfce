import type { TopLevelSpec } from 'vega-lite';
import type { LayerProbe, Measurement, TrainMetrics } from '../nn/types.js';
import type { Tip } from './chart-points.js';
import type { Theme } from './charts.js';
import { adapterLabel, formatNumber, powerOfTen, shorten, wrapParts } from './format.js';
import { FONT_FAMILY } from './raster.js';
import { COLLAPSED_NOTE, LOG_FLOOR, type LogAxis, logAxis, ticksBetween } from './scales.js';

/** The figures of a training. */
export const TRAIN_CHARTS = ['nc1', 'nfa', 'variance', 'loss', 'singular-values'] as const;
export type TrainChartName = (typeof TRAIN_CHARTS)[number];

const SUBTITLE_CHARACTERS = 92;
const PANEL = { width: 250, height: 190 };
const WIDE = { width: 600, height: 300 };

// Okabe and Ito's palette; dashes tell the series apart where there is no colour.
const COLORS = ['#0072B2', '#D55E00', '#009E73', '#AA4499', '#E69F00', '#56B4E9'];
const DASHES = [
  [1, 0],
  [7, 4],
  [2, 3],
  [8, 3, 2, 3],
  [12, 4],
  [4, 2],
];
/** Curves in one panel that colours and dashes tell apart. */
export const MOST_CURVES = COLORS.length;

/** One point of a curve: mean over the seeds, and one standard deviation to both sides. */
export interface Point {
  x: number;
  mean: number;
  low: number;
  high: number;
}

/** What the seeds have at one place of a curve. */
interface Sample {
  x: number;
  values: number[];
}

export interface Curve {
  label: string;
  samples: Sample[];
}

/**
 * Mean and standard deviation (n − 1) over seeds; values that are not finite are left out. With a floor both are those of the
 * logarithm: the mean is the geometric one, the band stays above 0, and smaller values, 0 among them, count as the floor.
 */
export function spread(values: readonly number[], floor: number | null): Omit<Point, 'x'> | null {
  const usable = values.filter((value) => Number.isFinite(value));
  if (usable.length === 0) return null;
  const scaled = floor === null ? usable : usable.map((value) => Math.log10(Math.max(value, floor)));
  const mean = scaled.reduce((sum, value) => sum + value, 0) / scaled.length;
  const variance = scaled.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, scaled.length - 1);
  const deviation = Math.sqrt(variance);
  const place = (value: number): number => (floor === null ? value : 10 ** value);
  return { mean: place(mean), low: place(mean - deviation), high: place(mean + deviation) };
}

/** What was measured at each epoch; `value` is null where nothing was to be. */
function overEpochs(metrics: TrainMetrics, value: (measurement: Measurement) => number | null): Sample[] {
  const epochs = [...new Set(metrics.seeds.flatMap(({ measurements }) => measurements.map(({ epoch }) => epoch)))];
  return epochs
    .sort((a, b) => a - b)
    .map((epoch) => ({
      x: epoch,
      values: metrics.seeds.flatMap(({ measurements }) =>
        measurements.flatMap((measurement) => (measurement.epoch === epoch ? (value(measurement) ?? []) : [])),
      ),
    }));
}

export interface Panel {
  title: string;
  curves: Curve[];
  x: string;
  y: string;
  log: boolean;
  size: { width: number; height: number };
  /** Colours by number instead of by name: layers have an order. */
  ordered?: boolean;
}

/** The ends of a logarithmic axis: a little beyond the values, and a factor of two at least. */
function logDomain(points: readonly Point[]): [number, number] {
  const values = points.flatMap(({ low, high }) => [low, high]);
  if (values.length === 0) return [0.1, 1];
  const middle = Math.sqrt(Math.min(...values) * Math.max(...values));
  return [
    Math.min(...values.map((v) => v / 1.15), middle / 1.5),
    Math.max(...values.map((v) => v * 1.15), middle * 1.5),
  ];
}

/** What a point says: means as they are, also where they are drawn on the line 0. */
function tipOf(point: Omit<Point, 'x'>, of: { title: string; label: string; x: string }, sample: Sample): Tip {
  const { mean, low, high } = point;
  const collapsed = sample.values.every((value) => !Number.isFinite(value) || Math.abs(value) < LOG_FLOOR);
  const band = sample.values.length > 1 ? { low, high } : {};
  const named = of.title === '' ? {} : { panel: of.title };
  return { ...named, series: of.label, axis: of.x, at: sample.x, value: collapsed ? 0 : mean, ...band };
}

/** Ticks of a logarithmic axis; where values stand at its floor, that is the line 0. */
function logTicks(points: readonly Point[], { floor, clamped }: LogAxis) {
  if (!clamped || !points.some(({ low }) => low <= floor)) {
    const values = ticksBetween(...logDomain(points));
    const labels = Object.fromEntries(values.map((value) => [String(value), formatNumber(value)]));
    return { values, labelExpr: `${JSON.stringify(labels)}[datum.value]` };
  }
  const top = Math.max(...points.map(({ high }) => high));
  const decades = Math.floor(Math.log10(top / floor) + 1e-9);
  const step = Math.max(1, Math.ceil(decades / 5));
  const exponents = Array.from({ length: Math.floor(decades / step) }, (_, i) => (i + 1) * step);
  const values = [floor, ...exponents.map((exponent) => Number((floor * 10 ** exponent).toPrecision(6)))];
  return { values, labelExpr: `datum.value <= ${1.01 * floor} ? '0' : format(datum.value, '.0e')` };
}

/** A domain around values that are all the same: of a single number an axis would be labelled with six zeros. */
function apart(values: readonly number[]): { domain?: [number, number] } {
  const [value] = values;
  if (value === undefined || values.some((other) => other !== value)) return {};
  // Accuracies and correlations have no more.
  if (value === 1) return { domain: [0.9, 1] };
  const margin = 0.05 * Math.abs(value) || 0.5;
  return { domain: [value - margin, value + margin] };
}

const BAND = { type: 'area', opacity: 0.18 };
const LINE = { type: 'line', strokeWidth: 2 };
const POINT = { type: 'point', filled: true, size: 22, opacity: 1 };

function panelSpec({ title, curves, x, y, log, size, ordered = false }: Panel, whole: LogAxis, ink: string) {
  const values = curves.flatMap(({ label, samples }) =>
    samples.flatMap((sample) => {
      const point = spread(sample.values, log ? whole.floor : null);
      return point ? [{ x: sample.x, ...point, series: label, tip: tipOf(point, { title, label, x }, sample) }] : [];
    }),
  );
  const labels = curves.map(({ label }) => label);
  const legend = {
    orient: 'bottom',
    columns: ordered ? 6 : 3,
    labelLimit: 300,
    labelColor: ink,
    symbolType: 'stroke',
    symbolOpacity: 1,
    symbolStrokeWidth: 2.5,
    symbolSize: 400,
  };
  const color = {
    field: 'series',
    type: 'nominal',
    title: null,
    sort: labels,
    scale: ordered ? { domain: labels, scheme: 'viridis' } : { domain: labels, range: COLORS.slice(0, labels.length) },
    legend,
  };
  const strokeDash = {
    field: 'series',
    type: 'nominal',
    title: null,
    sort: labels,
    scale: { domain: labels, range: DASHES.slice(0, labels.length) },
    legend,
  };
  const ends = values.flatMap(({ low, high }) => [low, high]);
  const scale = log
    ? { type: 'log', domain: logDomain(values), nice: false }
    : { type: 'linear', zero: false, nice: true, ...(values.length === 0 ? { domain: [0, 1] } : apart(ends)) };
  const axis = { title: y, titlePadding: 8, ...(log && logTicks(values, whole)) };
  const encodeX = {
    field: 'x',
    type: 'quantitative',
    // Flush labels would stand beside the first and the last tick.
    axis: { title: x, grid: false, tickCount: 6, tickMinStep: 1, labelFlush: false, format: 'd' },
    // Without values there is no extent to find.
    scale: { nice: false, ...(values.length === 0 ? { domain: [0, 1] } : apart(values.map((point) => point.x))) },
  };
  const encodeY = (field: string) => ({ field, type: 'quantitative', scale, axis });
  const several = curves.some(({ samples }) => samples.some((sample) => sample.values.length > 1));
  return {
    ...size,
    title: { text: title, fontSize: 13, color: ink, anchor: 'start' },
    data: { values },
    layer: [
      ...(several ? [{ mark: BAND, encoding: { x: encodeX, y: encodeY('low'), y2: { field: 'high' }, color } }] : []),
      { mark: LINE, encoding: { x: encodeX, y: encodeY('mean'), color, ...(!ordered && { strokeDash }) } },
      // More marks than that would run together.
      ...(values.length > 60 * labels.length
        ? []
        : [{ mark: POINT, encoding: { x: encodeX, y: encodeY('mean'), color } }]),
    ],
  };
}

/** What was trained, for the line below a title. */
export function trainParts({ config, adapter }: TrainMetrics): string[] {
  return [
    shorten(config.dataset, 40),
    `n = ${config.n}`,
    `${config.model}, ${config.depth} hidden layers of ${config.width}`,
    `gain ${formatNumber(config.init)}`,
    `${config.optimizer}, rate ${formatNumber(config.learningRate)}`,
    `${config.seeds.length} ${config.seeds.length === 1 ? 'seed' : 'seeds'}`,
    `adapter: ${adapterLabel(adapter, 60)}`,
  ];
}

/** What is said below the title about means, and about values that cannot be drawn where they are. */
function notesOf(seeds: number, panels: readonly Panel[], axis: LogAxis): string[] {
  const notes: string[] = [];
  const log = panels.some((panel) => panel.log);
  if (seeds > 1) {
    const kind = log ? 'Geometric mean' : 'Mean';
    notes.push(`${kind} over ${seeds} seeds; the band is one standard deviation${log ? ' of the logarithm' : ''}.`);
  }
  const floor = powerOfTen(Math.round(Math.log10(axis.floor)));
  if (axis.clamped) notes.push(seeds > 1 ? `${COLLAPSED_NOTE} In means it counts as ${floor}.` : COLLAPSED_NOTE);
  if (panels.some((panel) => valuesOf(panel).some((value) => !Number.isFinite(value)))) {
    notes.push(`Values that are not defined are left out${seeds > 1 ? ': mean and band are of the other seeds' : ''}.`);
  }
  return notes;
}

const valuesOf = ({ curves }: Panel): number[] =>
  curves.flatMap(({ samples }) => samples.flatMap(({ values }) => values));

function figure(title: string, panels: readonly Panel[], metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  return bandFigure(title, panels, { parts: trainParts(metrics), seeds: metrics.config.seeds.length }, theme);
}

/**
 * Panels of curves with bands over seeds.
 * @param of `parts`: what stands below the title, where the theme has it; `seeds`: how many a curve has at most;
 * `ownLegends`: whether the panels have curves of different names.
 */
export function bandFigure(
  title: string,
  panels: readonly Panel[],
  of: { parts: readonly string[]; seeds: number; ownLegends?: boolean },
  theme: Theme,
): TopLevelSpec {
  const { ink, background, describesRun } = theme;
  const axis = logAxis(panels.filter(({ log }) => log).flatMap(valuesOf));
  const subtitle = [
    ...(describesRun ? wrapParts(of.parts, SUBTITLE_CHARACTERS) : []),
    ...notesOf(of.seeds, panels, axis),
  ];
  const faint = { gridColor: ink, gridOpacity: 0.13, domainColor: ink, domainOpacity: 0.6, tickColor: ink };
  const spec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: background ?? 'transparent',
    padding: 14,
    title: {
      text: title,
      ...(subtitle.length > 0 ? { subtitle } : {}),
      anchor: 'start',
      fontSize: 16,
      subtitleFontSize: 12,
      subtitleLineHeight: 16,
      subtitlePadding: 6,
      offset: 12,
      color: ink,
      subtitleColor: ink,
    },
    columns: panels.length === 1 ? 1 : 2,
    concat: panels.map((panel) => panelSpec(panel, axis, ink)),
    ...(of.ownLegends && { resolve: { scale: { color: 'independent', strokeDash: 'independent' } } }),
    config: {
      font: FONT_FAMILY,
      aria: false,
      view: { stroke: null },
      concat: { spacing: 22 },
      axis: {
        ...faint,
        labelColor: ink,
        titleColor: ink,
        labelFontSize: 11,
        titleFontSize: 12,
        titleFontWeight: 'normal',
      },
      legend: { labelFontSize: 11 },
    },
  };
  // The parts are put together at run time, which is more than the types of the format can follow.
  return spec as unknown as TopLevelSpec;
}

const layersOf = ({ seeds }: TrainMetrics): number[] =>
  (seeds[0]?.measurements[0]?.layers ?? []).map(({ layer }) => layer);

const layerOf = ({ layers }: Measurement, layer: number): LayerProbe | undefined =>
  layers.find((probe) => probe.layer === layer);

function nc1Chart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const stages = [
    { label: 'Φ', key: 'input' },
    { label: 'S VᵀΦ', key: 'right' },
    { label: 'ReLU(U S VᵀΦ)', key: 'output' },
  ] as const;
  const panels = layersOf(metrics).map((layer): Panel => {
    const curves = stages.map(({ label, key }) => ({
      label,
      samples: overEpochs(metrics, (measurement) => layerOf(measurement, layer)?.nc1[key] ?? null),
    }));
    return { title: `layer ${layer}`, curves, x: 'epoch', y: 'NC1', log: true, size: PANEL };
  });
  return figure('NC1 of a layer’s input, of its right singular part, and of its output', panels, metrics, theme);
}

function nfaChart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const kinds = [
    { title: 'AGOP and WᵀW', of: (probe: LayerProbe) => probe.nfa },
    { title: 'AGOP¹⁄² and WᵀW', of: (probe: LayerProbe) => probe.nfaSqrt },
    ...(metrics.config.weightDecay > 0
      ? [{ title: 'FACT and WᵀW', of: (probe: LayerProbe) => probe.fact?.correlation ?? null }]
      : []),
  ];
  const panels = kinds.map(({ title, of }): Panel => {
    const curves = layersOf(metrics).map((layer) => ({
      label: `layer ${layer}`,
      samples: overEpochs(metrics, (measurement) => {
        const probe = layerOf(measurement, layer);
        return probe ? of(probe) : null;
      }),
    }));
    return { title, curves, x: 'epoch', y: 'correlation', log: false, size: PANEL, ordered: true };
  });
  return figure('Neural feature ansatz: correlation of the AGOP with the weights', panels, metrics, theme);
}

function varianceChart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const curves: Curve[] = [
    {
      label: 'between classes, tr Σ_B / tr Σ_T',
      samples: overEpochs(metrics, ({ variance }) => variance.between),
    },
    { label: 'within classes, tr Σ_W / tr Σ_T', samples: overEpochs(metrics, ({ variance }) => variance.within) },
  ];
  const panel: Panel = { title: '', curves, x: 'epoch', y: 'share of the variance', log: false, size: WIDE };
  return figure('Variance after the last hidden layer', [panel], metrics, theme);
}

function lossChart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const longest = metrics.seeds.reduce((most, { epochs }) => Math.max(most, epochs.length), 0);
  const steps = Array.from({ length: longest }, (_, i) => ({
    x: i + 1,
    values: metrics.seeds.flatMap(({ epochs }) => (epochs[i] ? [epochs[i].loss] : [])),
  }));
  const curves: Curve[] = [
    { label: 'training, mean of an epoch’s steps', samples: steps },
    { label: 'training rows, measured', samples: overEpochs(metrics, ({ train }) => train.loss) },
    { label: 'test rows, measured', samples: overEpochs(metrics, ({ test }) => test?.loss ?? null) },
  ].filter(({ samples }) => samples.some(({ values }) => values.length > 0));
  const panel: Panel = { title: '', curves, x: 'epoch', y: `loss (${metrics.config.loss})`, log: true, size: WIDE };
  return figure('Loss', [panel], metrics, theme);
}

function singularValueChart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const at = (layer: number, pick: (measurements: readonly Measurement[]) => Measurement | undefined): Sample[] => {
    const spectra = metrics.seeds.flatMap(({ measurements }) => {
      const found = pick(measurements);
      const values = found ? (layerOf(found, layer)?.singularValues ?? []) : [];
      return values.length > 0 ? [values] : [];
    });
    const length = spectra.length === 0 ? 0 : Math.min(...spectra.map((values) => values.length));
    return Array.from({ length }, (_, i) => ({ x: i + 1, values: spectra.map((values) => values[i] / values[0]) }));
  };
  const panels = layersOf(metrics).map((layer): Panel => {
    const first = metrics.seeds[0]?.measurements[0]?.epoch ?? 0;
    const last = metrics.seeds[0]?.measurements.at(-1)?.epoch ?? 0;
    const curves: Curve[] = [{ label: `epoch ${first}`, samples: at(layer, (list) => list[0]) }];
    if (last !== first) curves.push({ label: `epoch ${last}`, samples: at(layer, (list) => list.at(-1)) });
    return { title: `layer ${layer}`, curves, x: 'number', y: 'singular value / largest', log: true, size: PANEL };
  });
  return figure('Singular values of the weights', panels, metrics, theme);
}

/** The vega-lite specification of a figure. */
export function trainChartSpec(name: TrainChartName, metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  switch (name) {
    case 'nc1':
      return nc1Chart(metrics, theme);
    case 'nfa':
      return nfaChart(metrics, theme);
    case 'variance':
      return varianceChart(metrics, theme);
    case 'loss':
      return lossChart(metrics, theme);
    case 'singular-values':
      return singularValueChart(metrics, theme);
  }
}
