/** Figures and the page of a sweep: curves of groups over the layers, with bands over seeds. */

import type { DrawnChart } from './chart-points.js';
import { INLINE, PAPER, type Theme } from './charts.js';
import { drawChart } from './draw-chart.js';
import { escapeHtml, formatNumber } from './format.js';
import { figureBlock, pageDocument, tableBlock, verdictBlock } from './page-shell.js';
import type { OutputFile } from './publish.js';
import { svgToPng } from './raster.js';
import { bandFigure, type Curve, MOST_CURVES, type Panel } from './train-charts.js';

/** What is drawn of a quantity. */
export interface SweepFigure {
  /** Of its files. */
  name: string;
  title: string;
  log: boolean;
  /** Title and curves, one for each group, of every panel. */
  panels: { title: string; curves: Curve[] }[];
}

/** Mean and deviation of a group at its last layer. */
export interface SweepRow {
  label: string;
  seeds: number;
  /** By quantity. */
  cells: { mean: number; deviation: number }[];
}

export interface SweepPage {
  title: string;
  /** Below the title: counts, versions and adapters. */
  lines: string[];
  /** What has to be pointed out. */
  warnings: string[];
  quantities: string[];
  /** Whether the rows are of the last layer; else of the result as a whole. */
  layered: boolean;
  rows: SweepRow[];
  figures: SweepFigure[];
  /** Most seeds of a group. */
  seeds: number;
  version: string;
  /** Where the numbers are. */
  source: string;
}

/** Panels of at most as many curves as can be told apart. */
function panelsOf({ panels, log }: SweepFigure): Panel[] {
  return panels.flatMap(({ title, curves }) => {
    const count = Math.ceil(curves.length / MOST_CURVES);
    return Array.from(
      { length: count },
      (_, i): Panel => ({
        title: count === 1 ? title : `${title} (${i + 1} of ${count})`,
        curves: curves.slice(i * MOST_CURVES, (i + 1) * MOST_CURVES),
        ...{ x: 'layer', y: title, log, size: { width: 300, height: 220 } },
      }),
    );
  });
}

function draw(figure: SweepFigure, { title, seeds }: SweepPage, theme: Theme): Promise<DrawnChart> {
  const ownLegends = figure.panels.some(({ curves }) => curves.length > MOST_CURVES);
  const spec = bandFigure(figure.title, panelsOf(figure), { parts: [title], seeds, ownLegends }, theme);
  return drawChart(spec, `${figure.title}, by group.`);
}

const cellText = ({ mean, deviation }: SweepRow['cells'][number]): string => {
  if (!Number.isFinite(mean)) return 'n/a';
  return Number.isFinite(deviation) ? `${formatNumber(mean)} ± ${formatNumber(deviation)}` : formatNumber(mean);
};

const QUANTITY_NAMES: Readonly<Record<string, string>> = {
  'nc1.agop': 'NC1 after the AGOP',
  'nc1.features': 'NC1 of the features',
  'nc2.agop': 'NC2 after the AGOP',
  'nc2.features': 'NC2 of the features',
  nfa: 'correlation of AGOP and WᵀW',
  'kernels.ratio': 'J over its least value',
  'kernels.within': 'mean kernel value within classes',
  'kernels.between': 'mean kernel value between classes',
  trainAccuracy: 'training accuracy',
  testAccuracy: 'test accuracy',
};

function groupTable({ quantities, rows, layered }: SweepPage): string {
  const names = ['group', 'seeds', ...quantities.map((name) => QUANTITY_NAMES[name] ?? name)];
  const head = names.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
  const body = rows.map(
    ({ label, seeds, cells }) =>
      `<tr><th scope="row">${escapeHtml(label)}</th><td>${seeds}</td>${cells.map((cell) => `<td>${cellText(cell)}</td>`).join('')}</tr>`,
  );
  return tableBlock(
    'groups',
    'Values of each group',
    `<table class="layers">
<caption>Mean ± standard deviation over the seeds${layered ? ', at the last layer' : ''}.</caption>
<thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table>`,
  );
}

/** Which group has the least and which the most of the first quantity. Plain text. */
export function sweepVerdict({
  rows,
  quantities,
  layered,
}: Pick<SweepPage, 'rows' | 'quantities' | 'layered'>): string {
  const [name] = quantities;
  const known = rows
    .map(({ label, cells }) => ({ label, mean: cells[0]?.mean ?? Number.NaN }))
    .filter(({ mean }) => Number.isFinite(mean))
    .sort((a, b) => a.mean - b.mean);
  const [least, most] = [known[0], known.at(-1)];
  if (!least || !most || name === undefined) return 'No group has a value to compare.';
  const what = QUANTITY_NAMES[name] ?? name;
  const named = layered ? `At the last layer ${what}` : `${what.charAt(0).toUpperCase()}${what.slice(1)}`;
  const at = `${named} is ${formatNumber(least.mean)}`;
  if (least === most) return `${at} (${least.label}).`;
  const ratio = least.mean > 0 ? `, ${formatNumber(most.mean / least.mean)} times as much` : '';
  return `${at} for ${least.label}, the least, and ${formatNumber(most.mean)} for ${most.label}, the most${ratio}.`;
}

/** The page, which needs nothing else. */
function renderSweepPage(page: SweepPage, charts: readonly DrawnChart[]): string {
  const { title, lines, warnings, version } = page;
  const notes = warnings.map((line) => `<li>${escapeHtml(line)}</li>`).join('');
  const figures = charts.map((chart, i) => {
    const { name, title: label, log } = page.figures[i];
    return figureBlock(chart, { name, label, collapses: log });
  });
  return pageDocument({
    title,
    header: `${verdictBlock(escapeHtml(sweepVerdict(page)))}
${lines.map((line) => `<p>${escapeHtml(line)}</p>`).join('\n')}`,
    main: `${warnings.length === 0 ? '' : `<div class="note warn" role="note"><p><strong>Differences between the runs</strong></p><ul>${notes}</ul></div>`}
<section><h2>Groups</h2>
${groupTable(page)}</section>
<section><h2>Figures</h2>
${figures.join('\n') || '<p>These results have no layers to draw over.</p>'}</section>`,
    footer: `Made by deep-rfm ${escapeHtml(version)}. ${escapeHtml(page.source)}`,
  });
}

/** The figures of a sweep as SVG and PNG, and its page. */
export async function sweepFiles(page: SweepPage): Promise<OutputFile[]> {
  const files: OutputFile[] = [];
  const inline: DrawnChart[] = [];
  for (const figure of page.figures) {
    const { svg } = await draw(figure, page, PAPER);
    files.push({ name: `${figure.name}.svg`, text: svg }, { name: `${figure.name}.png`, text: await svgToPng(svg) });
    inline.push(await draw(figure, page, INLINE));
  }
  return [...files, { name: 'report.html', text: renderSweepPage(page, inline) }];
}
