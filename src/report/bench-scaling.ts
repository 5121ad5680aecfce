import type { TopLevelSpec } from 'vega-lite';
import type { BenchDocument } from './bench-document.js';
import type { Tip } from './chart-points.js';
import { PAPER, type Theme } from './charts.js';
import { adapterLabel, shorten } from './format.js';
import { FONT_FAMILY } from './raster.js';
import type { Table } from './text-table.js';

/** Time of one phase at each n, and the power of n that fits it. */
export interface Scaling {
  phase: string;
  points: { n: number; milliseconds: number }[];
  /** Slope of the least-squares line through the logarithms. */
  exponent: number;
}

/** n of a shape such as `n=1000 d=784`. */
const rowsOf = (shape: string): number => Number(/\bn=(\d+)/.exec(shape)?.[1] ?? Number.NaN);

/** Phases of the layers that were measured at two sizes or more; empty where there are none. */
export function scalingOf({ results }: Pick<BenchDocument, 'results'>): Scaling[] {
  const layers = results.flatMap(({ op, shape, phases }) =>
    op === 'layer' && phases ? [{ n: rowsOf(shape), phases }] : [],
  );
  layers.sort((a, b) => a.n - b.n);
  if (new Set(layers.map(({ n }) => n)).size < 2) return [];
  return Object.keys(layers[0].phases).map((phase) => {
    const points = layers.map(({ n, phases }) => ({ n, milliseconds: phases[phase] ?? Number.NaN }));
    return { phase, points, exponent: slope(points) };
  });
}

function slope(points: Scaling['points']): number {
  const logs = points
    .filter(({ milliseconds }) => milliseconds > 0)
    .map(({ n, milliseconds }) => [Math.log(n), Math.log(milliseconds)] as const);
  const mean = (at: 0 | 1): number => logs.reduce((sum, log) => sum + log[at], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  const spread = logs.reduce((sum, log) => sum + (log[0] - x) ** 2, 0);
  return logs.reduce((sum, log) => sum + (log[0] - x) * (log[1] - y), 0) / spread;
}

const ms = (value: number): string => (value >= 1000 ? value.toFixed(0) : value.toPrecision(3));

/** Milliseconds of each phase at each n, and the fitted exponent. */
export function scalingTable(scalings: readonly Scaling[]): Table {
  const sizes = scalings[0].points.map(({ n }) => `n = ${n}`);
  return {
    header: ['phase', ...sizes, 'grows as'],
    rows: scalings.map(({ phase, points, exponent }) => [
      phase,
      ...points.map(({ milliseconds }) => ms(milliseconds)),
      `n^${exponent.toFixed(2)}`,
    ]),
    left: 1,
  };
}

const COLOURS = ['#0072B2', '#E69F00', '#AA4499', '#56B4E9', '#009E73', '#D98CB3', '#1f2328'];

/** Time against n, both on logarithmic axes, a line a phase; the label beside its end tells the exponent. */
export function scalingSpec(document: BenchDocument, theme: Theme = PAPER): TopLevelSpec | null {
  const scalings = scalingOf(document);
  if (scalings.length === 0) return null;
  const { ink } = theme;
  const label = ({ phase, exponent }: Scaling): string => `${phase}, n^${exponent.toFixed(2)}`;
  const values = scalings.flatMap((scaling) =>
    scaling.points
      .filter(({ milliseconds }) => milliseconds > 0)
      .map(({ n, milliseconds }) => {
        const seconds = milliseconds / 1000;
        const tip: Tip = { series: `${scaling.phase}, seconds`, axis: 'n', at: n, value: seconds };
        return { n, seconds, phase: label(scaling), tip };
      }),
  );
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 520,
    height: 340,
    background: theme.background ?? 'transparent',
    autosize: 'none',
    padding: { left: 72, right: 190, top: 64, bottom: 52 },
    config: {
      font: FONT_FAMILY,
      aria: false,
      view: { stroke: null },
      axis: { labelColor: ink, titleColor: ink, gridColor: ink, gridOpacity: 0.13, domainColor: ink, tickColor: ink },
      legend: { labelColor: ink, titleColor: ink },
    },
    title: {
      text: 'Time of a layer against the number of rows',
      subtitle: [shorten(adapterLabel(document.adapter, 60), 75)],
      anchor: 'start',
      frame: 'group',
      fontSize: 15,
      color: ink,
      subtitleColor: ink,
    },
    data: { values },
    layer: [{ mark: { type: 'line', strokeWidth: 2 } }, { mark: { type: 'point', filled: true, size: 45 } }],
    encoding: {
      x: {
        field: 'n',
        type: 'quantitative',
        scale: { type: 'log', nice: false },
        axis: { title: 'rows n', values: scalings[0].points.map(({ n }) => n), format: 'd' },
      },
      y: { field: 'seconds', type: 'quantitative', scale: { type: 'log' }, axis: { title: 'seconds', tickCount: 6 } },
      color: {
        field: 'phase',
        type: 'nominal',
        sort: null,
        scale: { domain: scalings.map(label), range: COLOURS },
        legend: { title: 'phase, fitted power', orient: 'right', labelLimit: 180 },
      },
    },
  };
}
