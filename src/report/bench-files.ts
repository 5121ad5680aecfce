/** What a benchmark leaves in its folder. */

import { ensureOutputDirectory } from './atomic.js';
import type { BenchDocument } from './bench-document.js';
import { benchSpec } from './bench-figure.js';
import { renderBenchPage } from './bench-page.js';
import { benchMarkdown } from './bench-report.js';
import { scalingOf, scalingSpec } from './bench-scaling.js';
import type { DrawnChart } from './chart-points.js';
import { INLINE, PAPER } from './charts.js';
import { chartSvg, drawChart } from './draw-chart.js';
import { formatNumber } from './format.js';
import { KNOWN_FILES } from './known-files.js';
import { type OutputFile, publish } from './publish.js';
import { svgToPng } from './raster.js';

/**
 * Writes bench.json, bench.md, report.html and, where there is something to draw, bench and scaling (SVG and PNG).
 * @returns their names.
 */
export async function writeBenchReport(dir: string, document: BenchDocument): Promise<string[]> {
  const numbers = { name: 'bench.json', text: `${JSON.stringify(document, null, 2)}\n` };
  return (await publish(dir, [numbers, ...(await benchFiles(document))], KNOWN_FILES.bench)).written;
}

/**
 * Draws the figures and the page of a benchmark again from its document, which stays as it is.
 * @returns names of the files that were written.
 */
export async function rewriteBenchReport(dir: string, document: BenchDocument): Promise<string[]> {
  await ensureOutputDirectory(dir, 'DIR');
  return (await publish(dir, await benchFiles(document), [])).written;
}

/** What follows from the document. */
async function benchFiles(document: BenchDocument): Promise<OutputFile[]> {
  const rates = `GFLOP/s of ${document.results.length} results, up to ${formatNumber(Math.max(...document.results.map((r) => r.gflops ?? 0)))}; ceiling ${formatNumber(document.ceilings.gflops)}.`;
  const powers = scalingOf(document).map(({ phase, exponent }) => `${phase} n^${exponent.toFixed(2)}`);
  const files: OutputFile[] = [{ name: 'bench.md', text: benchMarkdown(document) }];
  const charts: Record<string, DrawnChart> = {};
  for (const [name, spec, description] of [
    ['bench', benchSpec, rates],
    ['scaling', scalingSpec, `Time of a layer against n: ${powers.join(', ')}.`],
  ] as const) {
    const paper = spec(document, PAPER);
    const inline = spec(document, INLINE);
    if (paper === null || inline === null) continue;
    const svg = await chartSvg(paper, description);
    files.push({ name: `${name}.svg`, text: svg }, { name: `${name}.png`, text: await svgToPng(svg) });
    charts[name] = await drawChart(inline, description);
  }
  return [...files, { name: 'report.html', text: renderBenchPage(document, charts) }];
}
