import type { TopLevelSpec } from 'vega-lite';
import type { LayerMetrics, RunMetrics, Stages } from '../rfm/types.js';
import type { Tip } from './chart-points.js';
import { FONT_SIZE, textWidth } from './draw-chart.js';
import { runParts, wrapParts } from './format.js';
import { FONT_FAMILY } from './raster.js';
import { accuracyFloor, COLLAPSED_NOTE, LOG_FLOOR, type LogAxis, layerTicks, logAxis } from './scales.js';

/** Colours of a chart's text and lines. Series keep theirs: they have a contrast of 3 on white and on dark. */
export interface Theme {
  ink: string;
  background: string | null;
  /** Whether dataset, method and adapter stand below the title. */
  describesRun: boolean;
}

/** For files, which are looked at and printed on their own. */
export const PAPER: Theme = { ink: '#1f2328', background: '#ffffff', describesRun: true };
/** For figures inside a page, which take the colours around them; the page says what was run. */
export const INLINE: Theme = { ink: 'currentColor', background: null, describesRun: false };

/** The charts of a run. */
export type ChartName = 'nc1' | 'nc2' | 'kernel' | 'kernel-entries' | 'accuracy' | 'time';

type ChartLayer = Extract<TopLevelSpec, { layer: unknown }>['layer'][number];
type Mark = 'circle' | 'square' | 'triangle-up';

interface Series {
  label: string;
  color: string;
  dash: number[];
  shape: Mark;
  value: (layer: LayerMetrics) => number;
}

const WIDTH = 640;
const HEIGHT = 340;
/** Height that vega gives to a title, besides the lines of its subtitle. */
const TITLE_HEIGHT = 39;
const LINE_HEIGHT = 16;
/** Space around the plot: labels and title of the axes, and the row of the legend. */
const MARGIN = { left: 88, right: 16, bottom: 52, legend: 13 };
/** Characters in a line of the subtitle that are sure to fit above the plot. */
const SUBTITLE_CHARACTERS = 84;

// Okabe and Ito's palette, which stays apart in the common forms of colour blindness. Dashes and marks tell the
// series apart where there is no colour.
const BLUE = '#0072B2';
const VERMILION = '#D55E00';
const GREEN = '#009E73';
const STYLES: ReadonlyArray<Pick<Series, 'color' | 'dash' | 'shape'>> = [
  { color: BLUE, dash: [1, 0], shape: 'circle' },
  { color: VERMILION, dash: [7, 4], shape: 'square' },
  { color: GREEN, dash: [2, 3], shape: 'triangle-up' },
];
// Neighbours in a bar differ in lightness, too.
const PHASES: ReadonlyArray<{ label: string; color: string; value: (layer: LayerMetrics) => number }> = [
  { label: 'kernel matrix', color: '#0072B2', value: (l) => l.seconds.kernel },
  { label: 'solve', color: '#E69F00', value: (l) => l.seconds.solve },
  { label: 'AGOP', color: '#AA4499', value: (l) => l.seconds.agop },
  { label: 'root of M', color: '#56B4E9', value: (l) => l.seconds.sqrt },
  { label: 'features', color: '#009E73', value: (l) => l.seconds.features },
  { label: 'metrics', color: '#D98CB3', value: (l) => l.seconds.metrics },
  { label: 'other', color: '#8A8A8A', value: otherSeconds },
];

const finiteOrZero = (value: number): number => (Number.isFinite(value) ? Math.max(0, value) : 0);

function otherSeconds({ seconds }: LayerMetrics): number {
  const named = [seconds.kernel, seconds.solve, seconds.agop, seconds.sqrt, seconds.features, seconds.metrics];
  return finiteOrZero(seconds.total - named.reduce((sum, value) => sum + finiteOrZero(value), 0));
}

const stageSeries = (of: (layer: LayerMetrics) => Stages): Series[] => [
  { ...STYLES[0]!, label: 'input X', value: (l) => of(l).input },
  { ...STYLES[1]!, label: 'after M¹⁄² (AGOP projection)', value: (l) => of(l).agop },
  { ...STYLES[2]!, label: 'after random features φ(W M¹⁄²X)', value: (l) => of(l).features },
];

interface LegendItem {
  label: string;
  color: string;
  dash?: number[];
  shape: Mark;
}

/** Marks of one layer are drawn as their rows say. A layer for each series took vega three times as long. */
const AS_GIVEN = {
  color: { field: 'color', type: 'nominal', scale: null },
  shape: { field: 'shape', type: 'nominal', scale: null },
  strokeDash: { field: 'dash', type: 'nominal', scale: null },
} as const;

const inPixels = (field: string) => ({ field, type: 'quantitative', scale: null, axis: null }) as const;

/** A row above the plot. Vega's own legend cannot show a dash and a mark in one key. */
function legend(items: readonly LegendItem[], theme: Theme): ChartLayer[] {
  let left = 0;
  const rows = items.map((item) => {
    const key = item.dash ? 30 : 12;
    const row = { ...item, left, right: left + key, middle: left + key / 2, text: left + key + 6, line: -16 };
    left = row.text + textWidth(item.label) + 20;
    return row;
  });
  const dashed = rows.filter(({ dash }) => dash);
  const data = { values: rows };
  const { color, shape, strokeDash } = AS_GIVEN;
  const y = inPixels('line');
  return [
    ...(dashed.length === 0
      ? []
      : [
          {
            data: { values: dashed },
            mark: { type: 'rule', strokeWidth: 2 } as const,
            encoding: { x: inPixels('left'), x2: { field: 'right' }, y, color, strokeDash },
          },
        ]),
    {
      data,
      mark: { type: 'point', filled: true, size: dashed.length > 0 ? 60 : 130, opacity: 1 },
      encoding: { x: inPixels('middle'), y, color, shape },
    },
    {
      data,
      mark: { type: 'text', align: 'left', baseline: 'middle', fontSize: FONT_SIZE, color: theme.ink },
      encoding: { x: inPixels('text'), y, text: { field: 'label' } },
    },
  ];
}

interface Frame {
  title: string;
  notes?: string[];
  metrics: RunMetrics;
  theme: Theme;
}

/** What every chart shares: title, subtitle, fonts, colours. */
function chart({ title, notes = [], metrics, theme }: Frame, layer: ChartLayer[]): TopLevelSpec {
  const { ink, background, describesRun } = theme;
  const subtitle = [...(describesRun ? wrapParts(runParts(metrics), SUBTITLE_CHARACTERS) : []), ...notes];
  const top = 10 + TITLE_HEIGHT + LINE_HEIGHT * subtitle.length + MARGIN.legend;
  const faint = { gridColor: ink, gridOpacity: 0.13, domainColor: ink, domainOpacity: 0.6, tickColor: ink };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: WIDTH,
    height: HEIGHT,
    // 'transparent' and not null, for which a white rectangle is drawn.
    background: background ?? 'transparent',
    // Sizes are set and not left to vega, which without a canvas takes text for a third wider than it is.
    autosize: 'none',
    padding: { left: MARGIN.left, right: MARGIN.right, top, bottom: MARGIN.bottom },
    title: {
      text: title,
      // An empty subtitle would take a line.
      ...(subtitle.length > 0 ? { subtitle } : {}),
      anchor: 'start',
      frame: 'group',
      offset: MARGIN.legend,
      fontSize: 16,
      subtitleFontSize: FONT_SIZE,
      subtitleLineHeight: LINE_HEIGHT,
      subtitlePadding: 6,
      color: ink,
      subtitleColor: ink,
    },
    layer,
    config: {
      font: FONT_FAMILY,
      // The figure has one description as a whole; one for each mark would be read out a hundred times.
      aria: false,
      view: { stroke: null },
      axis: {
        ...faint,
        labelColor: ink,
        titleColor: ink,
        labelFontSize: FONT_SIZE,
        titleFontSize: 13,
        titleFontWeight: 'normal',
        labelOverlap: false,
      },
      axisX: { titleY: 32 },
      axisY: { titleX: -66 },
    },
  };
}

// With the format 'd' vega would thin out the given values.
const layerAxis = (ticks: number[]) => ({
  title: 'layer',
  values: ticks,
  grid: false,
  labelExpr: "'' + datum.value",
  labelAngle: 0,
});

interface YScale {
  scale: { type: 'log'; base: 10; domain: number[]; nice: false } | { type: 'linear'; domain: number[]; nice: false };
  axis: Record<string, unknown>;
}

/** A collapsed layer's mark is a ring on the line of zero. */
const HOLLOW_WHERE_COLLAPSED = {
  fillOpacity: { condition: { test: 'datum.collapsed', value: 0 }, value: 1 },
  strokeWidth: { condition: { test: 'datum.collapsed', value: 2 }, value: 0 },
} as const;

/** Lines with marks over the layers, one for each series; where a value is not defined, they have a gap. */
function lines(
  metrics: RunMetrics,
  series: readonly Series[],
  y: YScale,
  place: (value: number) => number,
): ChartLayer[] {
  const layers = metrics.layers.map((layer) => layer.layer);
  const ticks = layerTicks(layers);
  const first = layers[0] ?? 1;
  const last = layers.at(-1) ?? 1;
  // Half a layer at both ends keeps marks off the axis, and a single layer in the middle.
  const margin = Math.max(0.5, (last - first) / 60);
  const encoding = {
    x: {
      field: 'layer',
      type: 'quantitative',
      axis: layerAxis(ticks),
      scale: { type: 'linear', domain: [first - margin, last + margin], nice: false, zero: false },
    },
    y: { field: 'value', type: 'quantitative', ...y },
  } satisfies ChartLayer['encoding'];
  const log = y.scale.type === 'log';
  const rows = series.flatMap(({ label, color, dash, shape, value }) =>
    metrics.layers.map(({ layer }, i) => {
      const raw = value(metrics.layers[i]!);
      const tip: Tip = { series: label, axis: 'layer', at: layer, value: raw };
      const defined = Number.isFinite(raw);
      return { label, color, dash, shape, layer, value: defined ? place(raw) : null, collapsed: raw < LOG_FLOOR, tip };
    }),
  );
  // More marks than that would run together into a band.
  const marked = rows.filter((row) => row.value !== null && (ticks.includes(row.layer) || row.layer === last));
  const { color, shape, strokeDash } = AS_GIVEN;
  return [
    {
      data: { values: rows },
      mark: { type: 'line', strokeWidth: 2, invalid: 'break-paths-show-domains' },
      encoding: { ...encoding, detail: { field: 'label' }, color, strokeDash },
    },
    {
      data: { values: marked },
      mark: { type: 'point', filled: true, size: 55, opacity: 1 },
      encoding: { ...encoding, color, shape, ...(log && HOLLOW_WHERE_COLLAPSED) },
    },
  ];
}

function logScale(axis: LogAxis, title: string): YScale {
  const labels = Object.fromEntries(axis.ticks.map(({ value, label }) => [String(value), label]));
  const labelled = `${JSON.stringify(labels)}[datum.value]`;
  return {
    scale: { type: 'log', base: 10, domain: axis.domain, nice: false },
    axis: {
      title,
      values: axis.ticks.map((tick) => tick.value),
      labelExpr: labelled,
      tickSize: { condition: { test: `${labelled} !== ''`, value: 6 }, value: 3 },
      // Times the opacity of every grid line.
      gridOpacity: { condition: { test: `${labelled} !== ''`, value: 1 }, value: 0 },
    },
  };
}

function collapseChart(frame: Omit<Frame, 'notes'>, title: string, of: (layer: LayerMetrics) => Stages): TopLevelSpec {
  const series = stageSeries(of);
  const values = frame.metrics.layers.flatMap((layer) => series.map(({ value }) => value(layer)));
  const axis = logAxis(values);
  const notes: string[] = [];
  if (axis.clamped) notes.push(COLLAPSED_NOTE);
  if (values.some((value) => !Number.isFinite(value))) notes.push('Values that are not defined are left out.');
  return chart({ ...frame, notes }, [
    ...lines(frame.metrics, series, logScale(axis, title), (value) => Math.max(value, axis.floor)),
    ...legend(series, frame.theme),
  ]);
}

function accuracyChart(frame: Frame): TopLevelSpec {
  const series: Series[] = [
    { ...STYLES[0]!, label: 'training', value: (l) => l.trainAccuracy },
    { ...STYLES[1]!, label: 'test', value: (l) => l.testAccuracy ?? Number.NaN },
  ];
  const shown = series.filter(({ value }) => frame.metrics.layers.some((layer) => Number.isFinite(value(layer))));
  const low = accuracyFloor(frame.metrics.layers.flatMap((layer) => shown.map(({ value }) => value(layer))));
  const y: YScale = {
    scale: { type: 'linear', domain: [low, 1], nice: false },
    axis: { title: 'accuracy', format: low < 0.95 ? '.0%' : '.1%', tickCount: 6 },
  };
  return chart(frame, [...lines(frame.metrics, shown, y, (value) => value), ...legend(shown, frame.theme)]);
}

/** J / J* over the layers, on a logarithmic axis. */
function kernelChart(frame: Omit<Frame, 'notes'>): TopLevelSpec {
  const series: Series[] = [{ ...STYLES[0]!, label: 'J / J*', value: (l) => l.kernel?.ratio ?? Number.NaN }];
  const axis = logAxis(frame.metrics.layers.map((layer) => series[0]!.value(layer)));
  return chart(
    frame,
    lines(frame.metrics, series, logScale(axis, 'J / J*'), (value) => value),
  );
}

function kernelEntriesChart(frame: Omit<Frame, 'notes'>): TopLevelSpec {
  const series: Series[] = [
    { ...STYLES[0]!, label: 'within classes', value: (l) => l.kernel?.within ?? Number.NaN },
    { ...STYLES[1]!, label: 'between classes', value: (l) => l.kernel?.between ?? Number.NaN },
  ];
  const y: YScale = {
    scale: { type: 'linear', domain: [0, 1], nice: false },
    axis: { title: 'mean kernel entry', tickCount: 6 },
  };
  return chart(frame, [...lines(frame.metrics, series, y, (value) => value), ...legend(series, frame.theme)]);
}

function timeChart(frame: Frame): TopLevelSpec {
  const { layers } = frame.metrics;
  const totals = layers.map((layer) => PHASES.reduce((sum, { value }) => sum + finiteOrZero(value(layer)), 0));
  const highest = Math.max(...totals);
  const unit = highest < 1 ? { name: 'milliseconds', factor: 1000 } : { name: 'seconds', factor: 1 };
  const phases = PHASES.filter(
    ({ value }) => value !== otherSeconds || layers.some((layer, i) => otherSeconds(layer) > 0.005 * totals[i]!),
  );
  const base = new Float64Array(layers.length);
  const rows = phases.flatMap(({ label, color, value }) =>
    layers.map((layer, index) => {
      const seconds = finiteOrZero(value(layer));
      const from = base[index]!;
      base[index] = from + unit.factor * seconds;
      const tip: Tip = {
        series: `${label}, ${unit.name}`,
        axis: 'layer',
        at: layer.layer,
        value: unit.factor * seconds,
      };
      return { layer: layer.layer, from, to: base[index], color, tip };
    }),
  );
  const bars: ChartLayer = {
    data: { values: rows },
    mark: { type: 'bar', opacity: 1 },
    encoding: {
      x: {
        field: 'layer',
        type: 'ordinal',
        axis: { ...layerAxis(layerTicks(layers.map((layer) => layer.layer))), ticks: false, labelPadding: 6 },
        scale: { paddingInner: layers.length > 40 ? 0.1 : 0.25, paddingOuter: layers.length < 4 ? 2 : 0.2 },
      },
      y: {
        field: 'from',
        type: 'quantitative',
        stack: null,
        axis: { title: `${unit.name} a layer` },
        // An axis needs some height even where no time was measured.
        scale: { domain: [0, highest > 0 ? highest * unit.factor : 1], nice: true },
      },
      y2: { field: 'to' },
      color: AS_GIVEN.color,
    },
  };
  return chart(frame, [
    bars,
    ...legend(
      phases.map((phase) => ({ ...phase, shape: 'square' })),
      frame.theme,
    ),
  ]);
}

/** The vega-lite specification of a chart. */
export function chartSpec(name: ChartName, metrics: RunMetrics, theme: Theme = PAPER): TopLevelSpec {
  switch (name) {
    case 'nc1':
      return collapseChart(
        { title: 'NC1: variability within the classes', metrics, theme },
        'NC1 = tr Σ_W / tr Σ_B',
        (layer) => layer.nc1,
      );
    case 'nc2':
      return collapseChart(
        { title: 'NC2: distance of the class means from a simplex ETF', metrics, theme },
        'NC2 = mean squared entry of ŨŨᵀ − E',
        (layer) => layer.nc2,
      );
    case 'kernel':
      return kernelChart({ title: 'Kernel learning: J over the least value J*', metrics, theme });
    case 'kernel-entries':
      return kernelEntriesChart({ title: 'Mean entries of the kernel matrix', metrics, theme });
    case 'accuracy':
      return accuracyChart({ title: 'Accuracy of the kernel predictor at each layer', metrics, theme });
    case 'time':
      return timeChart({ title: 'Time in each phase', metrics, theme });
  }
}
