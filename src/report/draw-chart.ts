/** Specifications become SVG here, by vega without a browser or canvas. */

import type { TopLevelSpec } from 'vega-lite';
import { type DrawnChart, originOf, tipsIn } from './chart-points.js';

/** Of labels and legends. */
export const FONT_SIZE = 12;

/** Width of a text in DejaVu Sans, one of the widest faces: within a few per cent, never clearly too small. */
export const textWidth = (text: string, size = FONT_SIZE): number =>
  [...text].reduce((sum, c) => sum + (/[ijlftrI.,:()¹²⁄ ]/.test(c) ? 0.38 : /[mwMWOφ]/.test(c) ? 0.85 : 0.62), 0) *
  size;

/** What vega lays texts out by. */
interface TextMetrics {
  width(item: { fontSize?: number; fontWeight?: string | number }, text: unknown): number;
}

/** The figure has one description as a whole: vega's roles of its parts have no names. */
const withoutRoles = (svg: string): string =>
  svg.replace(/ (?:role="graphics-\w+"|aria-(?:roledescription|label|hidden)="[^"]*")/g, '');

/** Without the characters that XML has no place for: names of columns and classes may have them. */
const asXml = (svg: string): string =>
  svg.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd');

/** Draws a chart as SVG, without a browser or canvas. `label` describes it to those who do not see it. */
export const chartSvg = async (spec: TopLevelSpec, label: string): Promise<string> =>
  (await drawChart(spec, label)).svg;

/** The same with the points of its marks. */
export async function drawChart(spec: TopLevelSpec, label: string): Promise<DrawnChart> {
  // Loaded here and not above: vega takes half a second, which commands that draw nothing need not wait for.
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  // Without a canvas vega takes text for a third wider than it is, which leaves figures with an empty third. Its types
  // leave this out.
  const { textMetrics } = vega as unknown as { textMetrics: TextMetrics };
  textMetrics.width = ({ fontSize = 11, fontWeight }, text) =>
    textWidth(String(text ?? ''), fontSize) * (fontWeight === 'bold' ? 1.12 : 1);
  // The specifications are this program's own: what vega would say about them is no word to users.
  const compiled = vegaLite.compile(spec, { logger: vega.logger(vega.Error) }).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', logLevel: vega.Error });
  try {
    const svg = withoutRoles(await view.toSVG());
    const { x, y } = originOf(svg);
    const { root } = view.scenegraph() as unknown as { root: Parameters<typeof tipsIn>[0] };
    const description = label.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
    return {
      svg: asXml(svg.replace('<svg ', `<svg role="img" aria-label="${description}" `)),
      points: tipsIn(root, x, y),
    };
  } finally {
    view.finalize();
  }
}
