/** The figures and the page of a classic RFM: how near its kernel comes to the best one, update by update. */

import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import { KERNEL_NAMES, kernelOf } from '../ops/kernels/kernels.js';
import { ensureOutputDirectory } from './atomic.js';
import { type DrawnChart, numberCell } from './chart-points.js';
import { INLINE, PAPER, type Theme } from './charts.js';
import { chartSvg, drawChart } from './draw-chart.js';
import { adapterLabel, escapeHtml, formatNumber, formatSeconds, RESIDUAL_GOAL } from './format.js';
import { adapterSchema, count, measured, validated } from './metrics-files.js';
import { figureBlock, pageDocument, tableBlock, verdictBlock } from './page-shell.js';
import { type OutputFile, publish } from './publish.js';
import { svgToPng } from './raster.js';
import { pairTable } from './run-certificate.js';
import { bandFigure, type Panel } from './train-charts.js';

export const RFM_SCHEMA = 'deep-rfm/rfm/1';

const rfmSchema = z.object({
  schema: z.literal(RFM_SCHEMA),
  version: z.string(),
  config: z.object({
    x: z.string(),
    y: z.string(),
    testX: z.string().nullable(),
    metric: z.string().nullable(),
    n: count,
    d: count,
    outputs: count,
    testRows: count,
    kernel: z.enum(KERNEL_NAMES),
    bandwidth: z.number(),
    exponent: z.number().optional(),
    ridge: z.number(),
    iterations: count,
  }),
  adapter: adapterSchema,
  /** Of each fit: before the first update of M, and after each. */
  solves: z
    .array(
      z.object({
        method: z.string(),
        relativeResidual: measured,
        refinements: count,
        jitter: z.number(),
        addedRidge: z.number().optional(),
      }),
    )
    .min(1),
  kernels: z.array(
    z.object({
      objective: measured,
      optimum: measured,
      ratio: measured,
      within: measured,
      between: measured,
      rows: count,
    }),
  ),
  seconds: z.number(),
});

/** metrics.json of `rfm`. */
export type RfmDocument = z.infer<typeof rfmSchema>;

/** Whether targets form classes, of which kernel learning speaks. */
const hasClasses = ({ kernels }: RfmDocument): boolean =>
  kernels.length > 0 && kernels.every(({ ratio }) => Number.isFinite(ratio));

/** J/J* and the mean kernel entries over the updates of M; null where the targets form no classes. */
function kernelFigure(document: RfmDocument, theme: Theme): TopLevelSpec | null {
  if (!hasClasses(document)) return null;
  const { kernels, config, adapter } = document;
  const over = (label: string, of: (kernel: RfmDocument['kernels'][number]) => number) => ({
    label,
    samples: kernels.map((kernel, i) => ({ x: i, values: [of(kernel)] })),
  });
  const size = { width: 290, height: 240 };
  const panels: Panel[] = [
    {
      ...{ title: 'J over the least value J*', x: 'updates of M', y: 'J / J*', log: true, size },
      curves: [over('J / J*', ({ ratio }) => ratio)],
    },
    {
      ...{ title: 'Mean kernel entries', x: 'updates of M', y: 'entry', log: false, size },
      curves: [over('within classes', ({ within }) => within), over('between classes', ({ between }) => between)],
    },
  ];
  const parts = [`n = ${config.n}`, `${kernelOf(config).label} kernel`, `adapter: ${adapterLabel(adapter, 60)}`];
  return bandFigure('Kernel learning', panels, { parts, seeds: 1, ownLegends: true }, theme);
}

/** What an RFM found. Plain text. */
export function rfmVerdict(document: RfmDocument): string {
  const { kernels, solves, config } = document;
  const residual = `The largest relative residual of its ${solves.length} fits is ${formatNumber(Math.max(...solves.map(({ relativeResidual }) => relativeResidual)))}.`;
  if (!hasClasses(document)) {
    return `${config.iterations} updates of M. ${residual} The targets form no classes, so J* is not known.`;
  }
  const [first, last] = [kernels[0], kernels.at(-1)!];
  return (
    `Over ${config.iterations} updates of M, J/J* went from ${formatNumber(first.ratio)} to ${formatNumber(last.ratio)}; mean kernel entries ` +
    `within classes from ${formatNumber(first.within)} to ${formatNumber(last.within)}, between them from ${formatNumber(first.between)} to ${formatNumber(last.between)}. ${residual}`
  );
}

function fitTable({ solves, kernels }: RfmDocument): string {
  const rows = solves.map(({ method, relativeResidual, refinements, jitter, addedRidge }, i) => {
    const { objective, ratio, within, between } = kernels[i] ?? {};
    const cells = [objective, ratio, within, between, relativeResidual].map((value) => numberCell(value ?? Number.NaN));
    const coarse = !(relativeResidual <= RESIDUAL_GOAL) || jitter !== 0 || addedRidge !== undefined;
    return `<tr${coarse ? ' class="repaired"' : ''}><th scope="row">${i}</th>${cells.join('')}<td class="text">${escapeHtml(method)}</td><td>${refinements}</td>${numberCell(jitter)}${numberCell(addedRidge ?? 0)}</tr>`;
  });
  const heads = ['Updates of M', 'J', 'J/J*', 'within', 'between', 'residual', 'solver', 'refinements', 'jitter'];
  return tableBlock(
    'fits',
    'Values of each fit',
    `<table class="layers"><caption>Each fit. Marked: a residual above ${formatNumber(RESIDUAL_GOAL)}, or something added to the diagonal.</caption>
<thead><tr>${[...heads, 'added ridge'].map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`,
  );
}

function renderRfmPage(document: RfmDocument, chart: DrawnChart | null): string {
  const { config, adapter, seconds, version } = document;
  const { label, formula } = kernelOf(config);
  const files = [config.x, config.y, config.testX, config.metric].filter((file) => file !== null);
  const figure = chart
    ? figureBlock(chart, {
        ...{ name: 'kernel', label: 'Kernel learning' },
        caption: 'J/J* toward 1: the kernel comes near the best one for its targets, which is 1 within classes.',
      })
    : '';
  return pageDocument({
    title: `RFM on ${config.x}`,
    header: `${verdictBlock(escapeHtml(rfmVerdict(document)))}
<p>Kernel regression on ${config.n} rows whose metric M is learned: after each fit M is the average gradient outer product of
its predictor.</p>`,
    main: `${figure ? `<section><h2>Kernel learning</h2>\n${figure}</section>` : ''}
<section><h2>Fits</h2>
${fitTable(document)}</section>
<section><h2>Settings</h2>
${pairTable('settings', 'Settings', [
  ['Files', escapeHtml(files.join(', '))],
  ['Rows', `${config.n} × ${config.d}, ${config.outputs} targets; ${config.testRows} test rows`],
  ['Kernel', `${label}, ${formula}, L = ${formatNumber(config.bandwidth)}, ridge λ = ${formatNumber(config.ridge)}`],
  ['Updates of M', String(config.iterations)],
  ['Adapter', escapeHtml(adapterLabel(adapter))],
  ['Total time', formatSeconds(seconds)],
  ['deep-rfm', escapeHtml(version)],
])}</section>`,
    footer: `Made by deep-rfm ${escapeHtml(version)}. The numbers are in metrics.json and the arrays beside this page.`,
  });
}

/**
 * The figures and the page of a metrics.json of `rfm`.
 * @param source names the document in a message.
 * @throws input error where a field is wrong.
 */
export async function rfmFiles(document: unknown, source: string): Promise<OutputFile[]> {
  const found = validated(rfmSchema, document, source, 'rfm');
  const [paper, inline] = [kernelFigure(found, PAPER), kernelFigure(found, INLINE)];
  const label = 'J over J* and mean kernel entries over the updates of M.';
  const files: OutputFile[] = [];
  if (paper) {
    const svg = await chartSvg(paper, label);
    files.push({ name: 'kernel.svg', text: svg }, { name: 'kernel.png', text: await svgToPng(svg) });
  }
  const chart = inline && (await drawChart(inline, label));
  return [...files, { name: 'report.html', text: renderRfmPage(found, chart) }];
}

/**
 * Draws the figures and the page of an RFM again from its document, which stays as it is.
 * @returns names of the files that were written.
 */
export async function rewriteRfmReport(dir: string, document: unknown, source: string): Promise<string[]> {
  const files = await rfmFiles(document, source);
  await ensureOutputDirectory(dir, 'DIR');
  return (await publish(dir, files, [])).written;
}
