import type { TopLevelSpec } from 'vega-lite';
import type { LayerProbe, Measurement, TrainMetrics } from '../nn/types.js';
import type { Theme } from './charts.js';
import { adapterLabel, formatNumber, shorten, wrapParts } from './format.js';
import { FONT_FAMILY } from './raster.js';

/** The figures of a training. */
export const TRAIN_CHARTS = ['nc1', 'nfa', 'variance', 'loss', 'singular-values'] as const;
export type TrainChartName = (typeof TRAIN_CHARTS)[number];

const SUBTITLE_CHARACTERS = 92;
const PANEL = { width: 250, height: 190 };
const WIDE = { width: 600, height: 300 };

// Okabe and Ito's palette; dashes tell the series apart where there is no colour.
const COLORS = ['#0072B2', '#D55E00', '#009E73', '#AA4499'];
const DASHES = [
  [1, 0],
  [7, 4],
  [2, 3],
  [8, 3, 2, 3],
];

/** One point of a curve: mean over the seeds, and one standard deviation to both sides. */
export interface Point {
  x: number;
  mean: number;
  low: number;
  high: number;
}

/**
 * Mean and standard deviation (n − 1) over seeds. With `log` both are those of the logarithm: the mean is the geometric
 * one and the band stays above 0. Values that are not finite (or not positive) are left out.
 */
export function spread(values: readonly number[], log: boolean): Omit<Point, 'x'> | null {
  const usable = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  if (usable.length === 0) return null;
  const scaled = log ? usable.map(Math.log10) : usable;
  const mean = scaled.reduce((sum, value) => sum + value, 0) / scaled.length;
  const variance = scaled.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, scaled.length - 1);
  const deviation = Math.sqrt(variance);
  const place = (value: number): number => (log ? 10 ** value : value);
  return { mean: place(mean), low: place(mean - deviation), high: place(mean + deviation) };
}

/** A curve over the measured epochs. */
function overEpochs(metrics: TrainMetrics, value: (measurement: Measurement) => number, log: boolean): Point[] {
  const epochs = [...new Set(metrics.seeds.flatMap(({ measurements }) => measurements.map(({ epoch }) => epoch)))];
  return epochs
    .sort((a, b) => a - b)
    .flatMap((epoch) => {
      const found = metrics.seeds.flatMap(({ measurements }) =>
        measurements.filter((measurement) => measurement.epoch === epoch).map(value),
      );
      const point = spread(found, log);
      return point ? [{ x: epoch, ...point }] : [];
    });
}

interface Curve {
  label: string;
  points: Point[];
}

interface Panel {
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
function logDomain(curves: readonly Curve[]): [number, number] {
  const values = curves.flatMap(({ points }) => points.flatMap(({ low, high }) => [low, high]));
  if (values.length === 0) return [0.1, 1];
  const middle = Math.sqrt(Math.min(...values) * Math.max(...values));
  return [
    Math.min(...values.map((v) => v / 1.15), middle / 1.5),
    Math.max(...values.map((v) => v * 1.15), middle * 1.5),
  ];
}

function panelSpec({ title, curves, x, y, log, size, ordered = false }: Panel, ink: string) {
  const values = curves.flatMap(({ label, points }) => points.map((point) => ({ ...point, series: label })));
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
  const scale = log
    ? { type: 'log', domain: logDomain(curves), nice: false }
    : { type: 'linear', zero: false, nice: true };
  const axis = { title: y, titlePadding: 8, ...(log && { format: '.0e', tickCount: 6 }) };
  const encodeX = {
    field: 'x',
    type: 'quantitative',
    // Flush labels would stand beside the first and the last tick.
    axis: { title: x, grid: false, tickCount: 6, labelFlush: false },
    scale: { nice: false },
  };
  const encodeY = (field: string) => ({ field, type: 'quantitative', scale, axis });
  const crowded = values.length > 60 * labels.length;
  return {
    ...size,
    title: { text: title, fontSize: 13, color: ink, anchor: 'start' },
    data: { values },
    layer: [
      {
        mark: { type: 'area', opacity: 0.18 },
        encoding: { x: encodeX, y: encodeY('low'), y2: { field: 'high' }, color },
      },
      {
        mark: { type: 'line', strokeWidth: 2 },
        encoding: { x: encodeX, y: encodeY('mean'), color, ...(!ordered && { strokeDash }) },
      },
      ...(crowded
        ? []
        : [
            {
              mark: { type: 'point', filled: true, size: 22, opacity: 1 },
              encoding: { x: encodeX, y: encodeY('mean'), color },
            },
          ]),
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

function figure(
  title: string,
  notes: readonly string[],
  panels: readonly Panel[],
  metrics: TrainMetrics,
  theme: Theme,
): TopLevelSpec {
  const { ink, background, describesRun } = theme;
  const subtitle = [...(describesRun ? wrapParts(trainParts(metrics), SUBTITLE_CHARACTERS) : []), ...notes];
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
    concat: panels.map((panel) => panelSpec(panel, ink)),
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

const seedNote = ({ config }: TrainMetrics, log: boolean): string[] =>
  config.seeds.length < 2
    ? []
    : [
        `${log ? 'Geometric mean' : 'Mean'} over ${config.seeds.length} seeds; the band is one standard deviation${log ? ' of the logarithm' : ''}.`,
      ];

function nc1Chart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const stages = [
    { label: 'Φ', key: 'input' },
    { label: 'S VᵀΦ', key: 'right' },
    { label: 'ReLU(U S VᵀΦ)', key: 'output' },
  ] as const;
  const panels = layersOf(metrics).map((layer): Panel => {
    const curves = stages.map(({ label, key }) => ({
      label,
      points: overEpochs(metrics, (measurement) => layerOf(measurement, layer)?.nc1[key] ?? Number.NaN, true),
    }));
    return { title: `layer ${layer}`, curves, x: 'epoch', y: 'NC1', log: true, size: PANEL };
  });
  return figure(
    'NC1 of a layer’s input, of its right singular part, and of its output',
    seedNote(metrics, true),
    panels,
    metrics,
    theme,
  );
}

function nfaChart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const kinds = [
    { title: 'AGOP and WᵀW', of: (probe: LayerProbe) => probe.nfa },
    { title: 'AGOP¹⁄² and WᵀW', of: (probe: LayerProbe) => probe.nfaSqrt },
  ];
  const panels = kinds.map(({ title, of }): Panel => {
    const curves = layersOf(metrics).map((layer) => ({
      label: `layer ${layer}`,
      points: overEpochs(
        metrics,
        (measurement) => {
          const probe = layerOf(measurement, layer);
          return probe ? of(probe) : Number.NaN;
        },
        false,
      ),
    }));
    return { title, curves, x: 'epoch', y: 'correlation', log: false, size: PANEL, ordered: true };
  });
  return figure(
    'Neural feature ansatz: correlation of the AGOP with the weights',
    seedNote(metrics, false),
    panels,
    metrics,
    theme,
  );
}

function varianceChart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const curves: Curve[] = [
    {
      label: 'between classes, tr Σ_B / tr Σ_T',
      points: overEpochs(metrics, ({ variance }) => variance.between, false),
    },
    { label: 'within classes, tr Σ_W / tr Σ_T', points: overEpochs(metrics, ({ variance }) => variance.within, false) },
  ];
  const panel: Panel = { title: '', curves, x: 'epoch', y: 'share of the variance', log: false, size: WIDE };
  return figure('Variance after the last hidden layer', seedNote(metrics, false), [panel], metrics, theme);
}

function lossChart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const longest = metrics.seeds.reduce((most, { epochs }) => Math.max(most, epochs.length), 0);
  const steps = Array.from({ length: longest }, (_, i) => i).flatMap((i) => {
    const point = spread(
      metrics.seeds.flatMap(({ epochs }) => (epochs[i] ? [epochs[i].loss] : [])),
      true,
    );
    return point ? [{ x: i + 1, ...point }] : [];
  });
  const curves: Curve[] = [
    { label: 'training, mean of an epoch’s steps', points: steps },
    { label: 'training rows, measured', points: overEpochs(metrics, ({ train }) => train.loss, true) },
    { label: 'test rows, measured', points: overEpochs(metrics, ({ test }) => test?.loss ?? Number.NaN, true) },
  ].filter(({ points }) => points.length > 0);
  const panel: Panel = { title: '', curves, x: 'epoch', y: `loss (${metrics.config.loss})`, log: true, size: WIDE };
  return figure('Loss', seedNote(metrics, true), [panel], metrics, theme);
}

function singularValueChart(metrics: TrainMetrics, theme: Theme): TopLevelSpec {
  const at = (layer: number, pick: (measurements: readonly Measurement[]) => Measurement | undefined): Point[] => {
    const spectra = metrics.seeds.flatMap(({ measurements }) => {
      const found = pick(measurements);
      const values = found ? (layerOf(found, layer)?.singularValues ?? []) : [];
      return values.length > 0 ? [values] : [];
    });
    const length = spectra.length === 0 ? 0 : Math.min(...spectra.map((values) => values.length));
    return Array.from({ length }, (_, i) => i).flatMap((i) => {
      const point = spread(
        spectra.map((values) => values[i] / values[0]),
        true,
      );
      return point ? [{ x: i + 1, ...point }] : [];
    });
  };
  const panels = layersOf(metrics).map((layer): Panel => {
    const first = metrics.seeds[0]?.measurements[0]?.epoch ?? 0;
    const last = metrics.seeds[0]?.measurements.at(-1)?.epoch ?? 0;
    const curves: Curve[] = [{ label: `epoch ${first}`, points: at(layer, (list) => list[0]) }];
    if (last !== first) curves.push({ label: `epoch ${last}`, points: at(layer, (list) => list.at(-1)) });
    return { title: `layer ${layer}`, curves, x: 'number', y: 'singular value / largest', log: true, size: PANEL };
  });
  return figure('Singular values of the weights', seedNote(metrics, true), panels, metrics, theme);
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
