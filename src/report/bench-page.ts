/** The page of a benchmark. */

import type { BenchDocument } from './bench-document.js';
import { ladders } from './bench-ladder.js';
import { benchHeading, hostTable, peerTable, READING, remarkLines, resultTable } from './bench-report.js';
import { scalingOf, scalingTable } from './bench-scaling.js';
import { READING_SCORES, scoreTable } from './bench-scores.js';
import type { DrawnChart } from './chart-points.js';
import { escapeHtml, formatNumber, formatPercent } from './format.js';
import { figureBlock, pageDocument, tableBlock, verdictBlock } from './page-shell.js';
import type { Table } from './text-table.js';

/** The fastest result, its share of the ceiling, and how the peers compare. Plain text. */
export function benchVerdict({ results, ratios, ceilings, hostCosts }: BenchDocument): string {
  const fastest = [...results].sort((a, b) => (b.gflops ?? 0) - (a.gflops ?? 0))[0];
  const sentences: string[] = [];
  if (fastest && (fastest.gflops ?? 0) > 0) {
    const share = (fastest.gflops ?? 0) / ceilings.gflops;
    sentences.push(
      `The fastest of ${results.length} results is ${fastest.op} ${fastest.shape} with ${formatNumber(fastest.gflops ?? 0)} GFLOP/s, ${formatPercent(share)} of the ${formatNumber(ceilings.gflops)} GFLOP/s from registers.`,
    );
  } else if (results.length > 0) sentences.push(`${results.length} results, none with a rate in GFLOP/s.`);
  if (hostCosts?.[0]) {
    const { shape, milliseconds } = hostCosts[0];
    sentences.push(`The host takes ${formatNumber(milliseconds.median)} ms a layer (${shape}).`);
  }
  if (ratios.length > 0) {
    const faster = ratios.filter(({ value }) => value > 1).length;
    const values = ratios.map(({ value }) => value).sort((a, b) => a - b);
    const middle = (values[(values.length - 1) >> 1] + values[values.length >> 1]) / 2;
    const range =
      values.length > 1 ? ` in the median, ${formatNumber(values[0])} to ${formatNumber(values.at(-1)!)} in all` : '';
    sentences.push(
      `Against peers deep-rfm is faster in ${faster} of ${ratios.length} comparisons, by a factor of ${formatNumber(middle)}${range}.`,
    );
  }
  return sentences.join(' ') || 'Nothing was measured.';
}

function htmlTable(name: string, caption: string, { header, rows, left }: Table): string {
  const head = header.map((cell) => `<th scope="col">${escapeHtml(cell)}</th>`).join('');
  const body = rows.map((row) =>
    row.map((cell, column) => `<td${column < left ? ' class="text"' : ''}>${escapeHtml(cell)}</td>`).join(''),
  );
  return tableBlock(
    name,
    caption,
    `<table class="layers"><caption>${escapeHtml(caption)}</caption><thead><tr>${head}</tr></thead><tbody>${body
      .map((cells) => `<tr>${cells}</tr>`)
      .join('\n')}</tbody></table>`,
  );
}

/** The report of a benchmark as one page. */
export function renderBenchPage(document: BenchDocument, charts: Readonly<Record<string, DrawnChart>>): string {
  const { results, peers, hostCosts, comparison, notes, version } = document;
  const list = (title: string, lines: readonly string[]): string =>
    lines.length === 0
      ? ''
      : `<section><h2>${title}</h2><ul>${lines.map((line) => `<li>${escapeHtml(line)}</li>`).join('')}</ul></section>`;
  const figure = (name: string, label: string): string =>
    charts[name] ? figureBlock(charts[name], { name, label }) : '';
  const scalings = scalingOf(document);
  const scored = scoreTable(document);
  const change = comparison ? ` The changes are against ${comparison.with}.` : '';
  return pageDocument({
    title: 'Benchmark of deep-rfm',
    header: `${verdictBlock(escapeHtml(benchVerdict(document)))}
${benchHeading(document)
  .map((line) => `<p>${escapeHtml(line.replace(/ +/g, ' '))}</p>`)
  .join('\n')}`,
    main: `<section><h2>Results</h2>
${figure('bench', 'GFLOP/s of each result, and the ceiling of this adapter')}
${results.length > 0 ? htmlTable('results', `${READING}${change}`, resultTable(document)) : ''}
${hostCosts ? htmlTable('host', 'The host alone', hostTable(hostCosts)) : ''}
${peers.length > 0 ? htmlTable('peers', 'Peers', peerTable(document)) : ''}
${scored.rows.length > 0 ? htmlTable('scores', READING_SCORES, scored) : ''}
${ladders(document)
  .map(({ op, table }) => htmlTable(`ladder-${op}`, `Ladder of ${op}`, table))
  .join('\n')}</section>
${
  scalings.length > 0
    ? `<section><h2>Cost of a layer against n</h2>
${figure('scaling', 'Time of a layer against the number of rows')}
${htmlTable('scaling', 'Milliseconds of each phase, and the fitted power of n', scalingTable(scalings))}</section>`
    : ''
}
${list('Remarks', remarkLines(document))}
${list('Notes', notes)}`,
    footer: `Made by deep-rfm ${escapeHtml(version)}. The numbers are in bench.json beside this page.`,
  });
}
