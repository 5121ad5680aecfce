/** What the pages of all reports share: one file with style, figures, numbers and script, and no request to anywhere. */

import { createHash } from 'node:crypto';
import script from 'page-script:report';
import { type DrawnChart, pointsJson, pointsTable } from './chart-points.js';
import { escapeHtml } from './format.js';
import { PAGE_STYLE } from './page-style.js';

export interface PageShell {
  /** Plain text. */
  title: string;
  /** HTML. */
  header: string;
  main: string;
  footer: string;
}

/** The whole document. Only its own script runs, and nothing can be loaded, whatever the parts hold. */
export function pageDocument({ title, header, main, footer }: PageShell): string {
  const hash = createHash('sha256').update(script).digest('base64');
  const policy = `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header><h1>${escapeHtml(title)}</h1>
${header}</header>
<main>
${main}
</main>
<footer class="muted">${footer}</footer>
<script>${script}</script>
</body>
</html>
`;
}

export interface FigureText {
  /** Of its files. */
  name: string;
  /** For those who do not see it. */
  label: string;
  /** HTML; nothing where the figure's own title says it. */
  caption?: string;
  /** Whether a value of 0 is a fully collapsed layer. */
  collapses?: boolean;
}

/** A chart whose values the page's script shows, with a table of them. */
export function figureBlock(
  { svg, points }: DrawnChart,
  { name, label, caption = '', collapses = false }: FigureText,
): string {
  if (svg === '') return '';
  const table =
    points.length === 0
      ? ''
      : `<details><summary>Table</summary><div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(label)}, as a table">
${pointsTable(points, label)}</div></details>
<script type="application/json">${pointsJson(points, collapses)}</script>`;
  return `<figure class="chart" data-chart="${escapeHtml(name)}"><div class="scroll" tabindex="0" role="group" aria-label="${escapeHtml(label)}">${svg}</div>
${caption === '' ? '' : `<figcaption>${caption}</figcaption>`}${table}</figure>`;
}

/** A table in a region that scrolls by itself, with a name for its file. */
export const tableBlock = (name: string, label: string, table: string): string =>
  `<div class="table" data-table="${escapeHtml(name)}"><div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(label)}">${table}</div></div>`;

/** The finding in figures, before everything else. HTML. */
export const verdictBlock = (sentence: string): string => `<p class="verdict">${sentence}</p>`;
