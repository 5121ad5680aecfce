/** Figures and the page of a sweep: curves of groups over the layers, with bands over seeds. */

import { chartSvg, INLINE, PAPER, type Theme } from './charts.js';
import { escapeHtml, formatNumber } from './format.js';
import { PAGE_STYLE } from './page-style.js';
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
  rows: SweepRow[];
  figures: SweepFigure[];
  /** Most seeds of a group. */
  seeds: number;
  version: string;
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

function draw(figure: SweepFigure, { title, seeds }: SweepPage, theme: Theme): Promise<string> {
  const ownLegends = figure.panels.some(({ curves }) => curves.length > MOST_CURVES);
  const spec = bandFigure(figure.title, panelsOf(figure), { parts: [title], seeds, ownLegends }, theme);
  return chartSvg(spec, `${figure.title}, by group.`);
}

const cellText = ({ mean, deviation }: SweepRow['cells'][number]): string => {
  if (!Number.isFinite(mean)) return 'n/a';
  return Number.isFinite(deviation) ? `${formatNumber(mean)} ± ${formatNumber(deviation)}` : formatNumber(mean);
};

function groupTable({ quantities, rows }: SweepPage): string {
  const head = ['group', 'seeds', ...quantities].map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
  const body = rows.map(
    ({ label, seeds, cells }) =>
      `<tr><th scope="row">${escapeHtml(label)}</th><td>${seeds}</td>${cells.map((cell) => `<td>${cellText(cell)}</td>`).join('')}</tr>`,
  );
  return `<div class="scroll" tabindex="0" role="region" aria-label="Values of each group"><table class="layers">
<caption>Mean ± standard deviation over the seeds, at the last layer.</caption>
<thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table></div>`;
}

/** The page, which needs nothing else. `charts` are the figures as SVG. */
function renderSweepPage(page: SweepPage, charts: readonly string[]): string {
  const { title, lines, warnings, version } = page;
  const notes = warnings.map((line) => `<li>${escapeHtml(line)}</li>`).join('');
  const figures = charts.map(
    (svg, i) =>
      `<figure class="chart"><div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(page.figures[i].title)}">${svg}</div></figure>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header><h1>${escapeHtml(title)}</h1>
${lines.map((line) => `<p>${escapeHtml(line)}</p>`).join('\n')}</header>
<main>
${warnings.length === 0 ? '' : `<div class="note warn" role="note"><p><strong>Differences between the runs</strong></p><ul>${notes}</ul></div>`}
<section><h2>Groups</h2>
${groupTable(page)}</section>
<section><h2>Figures</h2>
${figures.join('\n') || '<p>These results have no layers to draw over.</p>'}</section>
</main>
<footer class="muted">Made by deep-rfm ${escapeHtml(version)}. The numbers are in runs.csv and groups.csv beside this page.</footer>
</body>
</html>
`;
}

/** The figures of a sweep as SVG and PNG, and its page. */
export async function sweepFiles(page: SweepPage): Promise<OutputFile[]> {
  const files: OutputFile[] = [];
  const inline: string[] = [];
  for (const figure of page.figures) {
    const svg = await draw(figure, page, PAPER);
    files.push({ name: `${figure.name}.svg`, text: svg }, { name: `${figure.name}.png`, text: await svgToPng(svg) });
    inline.push(await draw(figure, page, INLINE));
  }
  return [...files, { name: 'report.html', text: renderSweepPage(page, inline) }];
}
