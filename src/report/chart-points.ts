/** The numbers behind a chart's marks, and where the marks stand: what a page shows under the pointer and in its table. */

import { escapeHtml, formatCell } from './format.js';

/** What a mark stands for. A specification gives it to each row of its data, as `tip`. */
export interface Tip {
  /** Of a figure with several. */
  panel?: string;
  series: string;
  /** What `at` counts: 'layer', 'epoch', … */
  axis: string;
  at: number | string;
  /** As it was measured, also where it is drawn elsewhere. */
  value: number;
  /** Ends of the band. */
  low?: number;
  high?: number;
}

/** A tip in the units of the SVG's view box; null where nothing is drawn. */
export interface PlacedTip extends Tip {
  place: { x: number; y: number } | null;
}

/** A chart as SVG, and its points. */
export interface DrawnChart {
  svg: string;
  points: readonly PlacedTip[];
}

/** What is used of vega's scene graph: groups hold marks, and marks hold items. */
interface SceneItem {
  x?: number;
  y?: number;
  width?: number;
  height?: number;
  defined?: boolean;
  datum?: { tip?: Tip };
  items?: SceneMark[];
}
interface SceneMark {
  marktype: string;
  items: SceneItem[];
}

/**
 * The tips below a mark of vega's scene graph, in the order of drawing. Of lines each corner, of bars the middle of their
 * upper end. Areas, and symbols where there are lines, repeat what these have.
 */
export function tipsIn(root: SceneMark, x: number, y: number): PlacedTip[] {
  const tips = tipsOf(['line', 'rect'], root, x, y);
  return tips.length > 0 ? tips : tipsOf(['symbol'], root, x, y);
}

function tipsOf(types: readonly string[], mark: SceneMark, x: number, y: number): PlacedTip[] {
  return mark.items.flatMap((item): PlacedTip[] => {
    const [left, top] = [x + (item.x ?? 0), y + (item.y ?? 0)];
    if (mark.marktype === 'group') return (item.items ?? []).flatMap((below) => tipsOf(types, below, left, top));
    const { tip } = item.datum ?? {};
    if (!tip || !types.includes(mark.marktype)) return [];
    const middle = mark.marktype === 'rect' ? { x: left + (item.width ?? 0) / 2, y: top } : { x: left, y: top };
    const there = item.defined !== false && Number.isFinite(middle.x) && Number.isFinite(middle.y);
    return [{ ...tip, place: there ? middle : null }];
  });
}

/** Where the drawing begins in the view box of vega's SVG. */
export function originOf(svg: string): { x: number; y: number } {
  const [, x = '0', y = '0'] = /<g [^>]*transform="translate\(([-\d.]+),([-\d.]+)\)"/.exec(svg) ?? [];
  return { x: Number(x), y: Number(y) };
}

const seriesName = ({ panel, series }: Tip): string => (panel ? `${panel}: ${series}` : series);

const valueText = (value: number): string => (value === 0 ? '0 (fully collapsed)' : formatCell(value));

function tipText(tip: Tip, collapses: boolean): string {
  const text = collapses ? valueText(tip.value) : formatCell(tip.value);
  const { low, high } = tip;
  const band = low !== undefined && high !== undefined && low < high;
  const range = band ? ` (${formatCell(low)} to ${formatCell(high)})` : '';
  const at =
    typeof tip.at === 'number' ? `${tip.axis} ${Number.isInteger(tip.at) ? tip.at : formatCell(tip.at)}` : tip.at;
  return `${seriesName(tip)}, ${at}: ${text}${range}`;
}

/** Where no more is left out than a reader sees: a tenth of a unit. */
const rounded = (value: number): number => Math.round(10 * value) / 10;

/**
 * The points for the page's script, as JSON that is safe inside a script element.
 * @param collapses whether a value of 0 is a collapsed layer.
 */
export function pointsJson(points: readonly PlacedTip[], collapses: boolean): string {
  const placed = points.flatMap(({ place, ...tip }) =>
    place === null ? [] : [{ x: rounded(place.x), y: rounded(place.y), text: tipText(tip, collapses) }],
  );
  return JSON.stringify(placed).replaceAll('<', '\\u003c');
}

/** A cell that shows a few digits and holds all of them. */
export const numberCell = (value: number): string =>
  Number.isFinite(value) ? `<td data-v="${value}">${formatCell(value)}</td>` : '<td data-v="">n/a</td>';

/**
 * The values of a chart as a table: a column for each series, a row for each place of the axis, or as many as a series has
 * values there.
 */
export function pointsTable(points: readonly PlacedTip[], caption: string): string {
  const names = [...new Set(points.map(seriesName))];
  const rows: [at: string, row: Map<string, Tip>][] = [];
  const latest = new Map<string, Map<string, Tip>>();
  for (const tip of points) {
    const at = String(tip.at);
    let row = latest.get(at);
    if (!row || row.has(seriesName(tip))) {
      row = new Map<string, Tip>();
      latest.set(at, row);
      rows.push([at, row]);
    }
    row.set(seriesName(tip), tip);
  }
  const banded = new Set(
    points.filter(({ low, high }) => low !== undefined && high !== undefined && low < high).map(seriesName),
  );
  const heads = names.flatMap((name) => [name, ...(banded.has(name) ? [`${name}, from`, `${name}, to`] : [])]);
  const head = [points[0]?.axis ?? '', ...heads].map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
  const body = rows.map(([at, row]) => {
    const cells = names.flatMap((name) => {
      const { value = Number.NaN, low = Number.NaN, high = Number.NaN } = row.get(name) ?? {};
      return [value, ...(banded.has(name) ? [low, high] : [])].map(numberCell);
    });
    return `<tr><th scope="row">${escapeHtml(at)}</th>${cells.join('')}</tr>`;
  });
  return `<table><caption>${escapeHtml(caption)}</caption><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table>`;
}
