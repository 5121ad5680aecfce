/** Curves over the layers as SVG: values on hover, a mark and a dash for each. */

import { formatCell } from '../../src/report/format.js';
import { LOG_FLOOR, logAxis } from '../../src/report/scales.js';

export interface Series {
  label: string;
  points: { x: number; y: number }[];
}

const COLORS = ['#0072B2', '#D55E00', '#009E73', '#AA4499', '#E69F00', '#56B4E9'];
const DASHES = ['', '7 4', '2 3', '8 3 2 3', '12 4', '4 2'];
const NS = 'http://www.w3.org/2000/svg';
const SIZE = { width: 420, height: 260, left: 56, right: 12, top: 34, bottom: 40 };
const LEGEND_LINE = 16;

export function element(name: string, attributes: Record<string, string | number>, text?: string): SVGElement {
  const made = document.createElementNS(NS, name) as SVGElement;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

interface Axis {
  ticks: readonly { value: number; label: string }[];
  /** Share of the height, from below. */
  place(value: number): number;
}

function verticalAxis(values: number[], log: boolean): Axis {
  if (!log) {
    const low = Math.min(0.9, ...values.filter(Number.isFinite));
    const floor = Math.max(0, Math.floor(low * 10) / 10);
    // In whole tenths from 1 down, or in fifths.
    const step = floor < 0.4 ? 2 : 1;
    const ticks = Array.from({ length: Math.floor((10 - 10 * floor + 1e-9) / step) + 1 }, (_, i) => {
      const tenths = 10 - i * step;
      return { value: tenths / 10, label: `${10 * tenths} %` };
    });
    return { ticks, place: (value) => (value - floor) / (1 - floor) };
  }
  const axis = logAxis(values);
  const [low, high] = axis.domain.map(Math.log10) as [number, number];
  const ticks = axis.ticks.filter(({ label }) => label !== '');
  const step = Math.ceil(ticks.length / 8);
  return {
    ticks: ticks.filter((_, i) => i % step === 0),
    place: (value) => (Math.log10(Math.max(value, axis.floor)) - low) / (high - low),
  };
}

/** A figure with a title for those who do not see it; `said` receives the value under the pointer. */
export function lineChart(
  of: { title: string; x: string; log: boolean },
  series: readonly Series[],
  said: (text: string) => void,
): SVGSVGElement {
  const extra = Math.max(0, series.length - 1) * LEGEND_LINE;
  const height = SIZE.height + extra;
  const top = SIZE.top + extra + LEGEND_LINE;
  const svg = element('svg', {
    ...{ viewBox: `0 0 ${SIZE.width} ${height}`, role: 'img' },
    'aria-label': `${of.title}: ${series
      .map(({ label, points }) => `${label} ${points.map(({ y }) => formatCell(y)).join(', ')}`)
      .join('; ')}`,
  }) as SVGSVGElement;
  const plot = { width: SIZE.width - SIZE.left - SIZE.right, height: height - top - SIZE.bottom };
  const all = series.flatMap(({ points }) => points);
  const [first, last] = [Math.min(...all.map(({ x }) => x)), Math.max(...all.map(({ x }) => x))];
  const axis = verticalAxis(
    all.map(({ y }) => y),
    of.log,
  );
  const px = (x: number): number => SIZE.left + (plot.width * (x - first + 0.5)) / (last - first + 1);
  const py = (y: number): number => top + plot.height * (1 - axis.place(y));
  svg.append(element('text', { x: 0, y: 14, fill: 'currentColor', 'font-size': 14, 'font-weight': 600 }, of.title));
  for (const { value, label } of axis.ticks) {
    const y = py(value);
    svg.append(
      element('line', {
        x1: SIZE.left,
        x2: SIZE.width - SIZE.right,
        y1: y,
        y2: y,
        stroke: 'currentColor',
        'stroke-opacity': 0.15,
      }),
      element(
        'text',
        { x: SIZE.left - 6, y: y + 4, fill: 'currentColor', 'font-size': 11, 'text-anchor': 'end' },
        label,
      ),
    );
  }
  const labelled = Math.ceil((last - first + 1) / 12);
  for (let x = first; x <= last; x += labelled) {
    svg.append(
      element(
        'text',
        { x: px(x), y: height - 22, fill: 'currentColor', 'font-size': 11, 'text-anchor': 'middle' },
        String(x),
      ),
    );
  }
  svg.append(
    element(
      'text',
      { x: SIZE.left + plot.width / 2, y: height - 6, fill: 'currentColor', 'font-size': 12, 'text-anchor': 'middle' },
      of.x,
    ),
  );
  const places: { x: number; y: number; text: string }[] = [];
  series.forEach(({ label, points }, i) => {
    const color = COLORS[i % COLORS.length]!;
    const dash = DASHES[i % DASHES.length]!;
    const y = SIZE.top - 4 + i * LEGEND_LINE;
    svg.append(
      element('line', {
        x1: 0,
        x2: 28,
        y1: y - 4,
        y2: y - 4,
        stroke: color,
        'stroke-width': 2,
        'stroke-dasharray': dash,
      }),
      element('text', { x: 34, y, fill: 'currentColor', 'font-size': 12 }, label),
    );
    const there = points.filter((point) => Number.isFinite(point.y));
    const d = there.map((point, j) => `${j === 0 ? 'M' : 'L'}${px(point.x)} ${py(point.y)}`).join('');
    svg.append(element('path', { d, fill: 'none', stroke: color, 'stroke-width': 2, 'stroke-dasharray': dash }));
    for (const point of there) {
      // A collapsed layer is a ring on the line 0.
      const collapsed = of.log && point.y < LOG_FLOOR;
      svg.append(
        element('circle', {
          ...{ cx: px(point.x), cy: py(point.y), r: 3, stroke: color, 'stroke-width': 2 },
          fill: collapsed ? 'none' : color,
        }),
      );
      const value = collapsed
        ? '0 (fully collapsed)'
        : of.log
          ? formatCell(point.y)
          : `${(100 * point.y).toFixed(1)} %`;
      places.push({ x: px(point.x), y: py(point.y), text: `${label}, ${of.x} ${point.x}: ${value}` });
    }
  });
  svg.addEventListener('pointermove', (event) => {
    const matrix = svg.getScreenCTM();
    if (!matrix || places.length === 0) return;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const distance = (place: { x: number; y: number }): number => Math.hypot(place.x - at.x, place.y - at.y);
    const nearest = places.reduce((best, place) => (distance(place) < distance(best) ? place : best));
    said(distance(nearest) < 40 ? nearest.text : '');
  });
  return svg;
}
