import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inputError } from '../errors.js';
import { metricsJson } from '../rfm/run-document.js';
import type { GramPicture, RunMetrics } from '../rfm/types.js';
import { ensureOutputDirectory } from './atomic.js';
import type { DrawnChart } from './chart-points.js';
import { type ChartName, chartSpec, INLINE, PAPER, type Theme } from './charts.js';
import { drawChart } from './draw-chart.js';
import { formatNumber, formatPercent } from './format.js';
import { KNOWN_FILES } from './known-files.js';
import { metricsCsv } from './metrics-files.js';
import type { GramFile, PageCharts } from './page.js';
import { type OutputFile, publish } from './publish.js';
import { spectraSpec } from './spectra.js';

const GRAM_FILE = /^gram-layer-(\d{2,})\.png$/;
const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** What a chart shows, in words. */
function chartDescription(name: ChartName, { layers }: RunMetrics): string {
  const [first, last] = [layers[0]!, layers.at(-1)!];
  const over = `over ${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}`;
  switch (name) {
    case 'nc1':
    case 'nc2':
      return (
        `${name.toUpperCase()} ${over} on a logarithmic axis: ${formatNumber(first[name].input)} for the input of layer ` +
        `${first.layer}, ${formatNumber(last[name].features)} for the features of layer ${last.layer}.`
      );
    case 'kernel':
      return `J over the least value J* ${over} on a logarithmic axis: ${formatNumber(first.kernel?.ratio ?? Number.NaN)} to ${formatNumber(last.kernel?.ratio ?? Number.NaN)}.`;
    case 'kernel-entries':
      return (
        `Mean kernel entries ${over}: within classes ${formatNumber(first.kernel?.within ?? Number.NaN)} to ` +
        `${formatNumber(last.kernel?.within ?? Number.NaN)}, between them ${formatNumber(first.kernel?.between ?? Number.NaN)} to ` +
        `${formatNumber(last.kernel?.between ?? Number.NaN)}.`
      );
    case 'accuracy':
      return (
        `Accuracy ${over}: training ${formatPercent(first.trainAccuracy)} to ${formatPercent(last.trainAccuracy)}, ` +
        `test ${formatPercent(first.testAccuracy)} to ${formatPercent(last.testAccuracy)}.`
      );
    case 'time':
      return `Time of the phases ${over}.`;
  }
}

const draw = (name: ChartName, metrics: RunMetrics, theme: Theme): Promise<DrawnChart> =>
  drawChart(chartSpec(name, metrics, theme), chartDescription(name, metrics));

const NOTHING: DrawnChart = { svg: '', points: [] };

/** The charts of the page. */
async function inlineCharts(metrics: RunMetrics, learning: boolean): Promise<PageCharts> {
  const inline = (name: ChartName) => draw(name, metrics, INLINE);
  const spectra = spectraSpec(metrics, INLINE);
  return {
    nc1: await inline('nc1'),
    nc2: await inline('nc2'),
    kernel: learning ? await inline('kernel') : NOTHING,
    'kernel-entries': learning ? await inline('kernel-entries') : NOTHING,
    spectra: spectra ? await drawChart(spectra, 'Largest eigenvalues of M over the largest, by layer.') : NOTHING,
    accuracy: await inline('accuracy'),
    time: await inline('time'),
  };
}

const csvOf = (metrics: RunMetrics): OutputFile => ({ name: 'metrics.csv', text: metricsCsv(metrics) });

/** The files that follow from the metrics and the pictures; the page is the last, so that it implies the rest. */
async function figuresOf(metrics: RunMetrics, grams: readonly GramFile[]): Promise<OutputFile[]> {
  const [{ svgToPng }, { renderPage }] = await Promise.all([import('./raster.js'), import('./page.js')]);
  // Earlier versions measured no kernels.
  const learning = metrics.layers.some(({ kernel }) => Number.isFinite(kernel?.ratio));
  const drawn: { name: ChartName; svg: string }[] = [];
  for (const name of ['nc1', 'nc2', ...(learning ? (['kernel'] as const) : [])] as const) {
    drawn.push({ name, svg: (await draw(name, metrics, PAPER)).svg });
  }
  // Pixels come from other threads meanwhile.
  const [pngs, charts] = await Promise.all([
    Promise.all(drawn.map(({ svg }) => svgToPng(svg))),
    inlineCharts(metrics, learning),
  ]);
  const figures = drawn.flatMap(({ name, svg }, i): OutputFile[] => [
    { name: `${name}.svg`, text: svg },
    { name: `${name}.png`, text: pngs[i] },
  ]);
  return [csvOf(metrics), ...figures, { name: 'report.html', text: renderPage({ metrics, charts, grams }) }];
}

/**
 * Writes the report of a run into a folder, which is made if needed: `metrics.json`, `metrics.csv`, `nc1` and `nc2` as
 * SVG and PNG, `gram-layer-NN.png`, `report.html`. All take their places together; what an earlier run left beside them
 * is removed, since nothing would tell it from this one's: so `grams` has to hold every picture, after a resume, too;
 * those that are drawn already are taken as they are.
 * @param more files that are written with them, before the page.
 * @param figures whether figures and page are drawn; the pictures are there in any case, since nothing could draw them later.
 * @returns Names of the files, in the order in which they were written.
 */
export async function writeRunReport(
  dir: string,
  metrics: RunMetrics,
  grams: readonly (GramPicture | GramFile)[],
  more: readonly OutputFile[] = [],
  figures = true,
): Promise<string[]> {
  if (metrics.layers.length === 0) throw new Error('a report needs at least one layer');
  await ensureOutputDirectory(dir);
  const { gramFileName, gramPng } = await import('./gram.js');
  const drawn: GramFile[] = [];
  for (const gram of [...grams].sort((a, b) => a.layer - b.layer)) {
    drawn.push({ layer: gram.layer, png: 'png' in gram ? gram.png : await gramPng(gram) });
  }
  const files = [
    { name: 'metrics.json', text: metricsJson(metrics) },
    ...drawn.map(({ layer, png }) => ({ name: gramFileName(layer), text: png })),
    ...more,
    ...(figures ? await figuresOf(metrics, drawn) : [csvOf(metrics)]),
  ];
  return (await publish(dir, files, KNOWN_FILES.run)).written;
}

async function readGramFiles(dir: string): Promise<GramFile[]> {
  const files: GramFile[] = [];
  for (const name of await readdir(dir)) {
    const layer = Number(GRAM_FILE.exec(name)?.[1]);
    if (!Number.isInteger(layer)) continue;
    const png = await readFile(join(dir, name));
    // The signature, and the header with the size behind it.
    if (!png.subarray(0, 8).equals(PNG_SIGNATURE) || png.length < 24) {
      throw inputError(`${join(dir, name)}: expected a PNG picture, found something else; remove it or run again`);
    }
    files.push({ layer, png });
  }
  return files.sort((a, b) => a.layer - b.layer);
}

/**
 * Draws the figures and the page of a run again, from its metrics and the Gram pictures found in its folder, which both
 * stay as they are.
 * @returns Names of the files that were written.
 */
export async function rewriteRunReport(dir: string, metrics: RunMetrics): Promise<string[]> {
  const grams = await readGramFiles(dir);
  await ensureOutputDirectory(dir, 'DIR');
  return (await publish(dir, await figuresOf(metrics, grams), [])).written;
}
