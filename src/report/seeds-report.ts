/** Several runs that differ in their seed alone: their mean and spread, layer by layer. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import { inputError } from '../errors.js';
import type { LayerMetrics, RunMetrics } from '../rfm/types.js';
import { ensureOutputDirectory } from './atomic.js';
import { type DrawnChart, numberCell } from './chart-points.js';
import { INLINE, PAPER, type Theme } from './charts.js';
import { chartSvg, drawChart } from './draw-chart.js';
import { escapeHtml, formatNumber, formatPercent, runParts } from './format.js';
import { KNOWN_FILES } from './known-files.js';
import { readMetricsJson, validated } from './metrics-files.js';
import { figureBlock, pageDocument, tableBlock, verdictBlock } from './page-shell.js';
import { type OutputFile, publish } from './publish.js';
import { svgToPng } from './raster.js';
import { bandFigure } from './train-charts.js';

export const SEEDS_SCHEMA = 'deep-rfm/seeds/1';

/** Of positive numbers: their geometric mean, and the factor of one standard deviation of their logarithms (n − 1). */
export interface Spread {
  mean: number;
  factor: number;
}

export interface SeedsDocument {
  schema: typeof SEEDS_SCHEMA;
  version: string;
  seeds: number[];
  /** Folders of the runs, beside the document. */
  folders: string[];
  layers: {
    layer: number;
    nc1: Record<'input' | 'agop' | 'features', Spread>;
    nc2: Record<'input' | 'agop' | 'features', Spread>;
    kernelRatio: Spread;
    /** Arithmetic mean and standard deviation; null without test rows. */
    testAccuracy: { mean: number; deviation: number } | null;
  }[];
}

/** NaN where one of the values has no logarithm; a factor of 1 for one value. */
export function spreadOf(values: readonly number[]): Spread {
  const logs = values.map(Math.log);
  const { mean, deviation } = meanOf(logs);
  return { mean: Math.exp(mean), factor: Math.exp(deviation) };
}

function meanOf(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** The document of runs that differ in their seed; layers that not all of them have are left out. */
export function seedsDocument(runs: readonly RunMetrics[], folders: string[]): SeedsDocument {
  const depth = Math.min(...runs.map(({ layers }) => layers.length));
  const stages = (of: (layer: LayerMetrics) => LayerMetrics['nc1'], l: number) => {
    const spread = (stage: 'input' | 'agop' | 'features') => spreadOf(runs.map(({ layers }) => of(layers[l])[stage]));
    return { input: spread('input'), agop: spread('agop'), features: spread('features') };
  };
  return {
    schema: SEEDS_SCHEMA,
    version: runs[0].version,
    seeds: runs.map(({ config }) => config.seed),
    folders,
    layers: Array.from({ length: depth }, (_, l) => {
      const accuracies = runs.map(({ layers }) => layers[l].testAccuracy);
      return {
        layer: l + 1,
        nc1: stages(({ nc1 }) => nc1, l),
        nc2: stages(({ nc2 }) => nc2, l),
        kernelRatio: spreadOf(runs.map(({ layers }) => layers[l].kernel?.ratio ?? Number.NaN)),
        testAccuracy: accuracies.includes(null) ? null : meanOf(accuracies as number[]),
      };
    }),
  };
}

const STAGES = [
  { stage: 'input', label: 'input X' },
  { stage: 'agop', label: 'after M¹⁄²' },
  { stage: 'features', label: 'after random features' },
] as const;

const TITLES = {
  nc1: 'NC1: variability within the classes',
  nc2: 'NC2: distance of the class means from a simplex',
} as const;

/** Means of the stages over the layers with a band of one standard deviation of the logarithms, on a logarithmic axis. */
export function seedsSpec(name: 'nc1' | 'nc2', runs: readonly RunMetrics[], theme: Theme): TopLevelSpec {
  const depth = Math.min(...runs.map(({ layers }) => layers.length));
  const curves = STAGES.map(({ stage, label }) => ({
    label,
    samples: Array.from({ length: depth }, (_, l) => ({
      x: l + 1,
      values: runs.map(({ layers }) => layers[l][name][stage]),
    })),
  }));
  const size = { width: 600, height: 320 };
  const panel = { title: '', curves, x: 'layer', y: name.toUpperCase(), log: true, size };
  const parts = [...runParts(runs[0]), `seeds ${runs.map(({ config }) => config.seed).join(', ')}`];
  return bandFigure(TITLES[name], [panel], { parts, seeds: runs.length }, theme);
}

/** What the seeds have in common. Plain text. */
export function seedsVerdict({ layers, seeds }: SeedsDocument): string {
  const [first, last] = [layers[0], layers.at(-1)!];
  const text = ({ mean, factor }: Spread): string =>
    mean === 0 || !Number.isFinite(mean)
      ? '0 in some seed (fully collapsed)'
      : `${formatNumber(mean)} ×÷ ${formatNumber(factor)}`;
  const accuracy = last.testAccuracy
    ? ` Test accuracy at the last layer is ${formatPercent(last.testAccuracy.mean)} ± ${formatPercent(last.testAccuracy.deviation)}.`
    : '';
  return (
    `Over ${seeds.length} seeds NC1 went from ${text(first.nc1.input)} to ${text(last.nc1.features)} over ${layers.length} ` +
    `${layers.length === 1 ? 'layer' : 'layers'} (geometric mean and one standard deviation).${accuracy}`
  );
}

function seedsTable({ layers }: SeedsDocument): string {
  const cells = ({ mean, factor }: Spread): string => `${numberCell(mean)}${numberCell(factor)}`;
  const rows = layers.map(
    ({ layer, nc1, nc2, testAccuracy }) =>
      `<tr><th scope="row">${layer}</th>${STAGES.map(({ stage }) => cells(nc1[stage])).join('')}${STAGES.map(
        ({ stage }) => cells(nc2[stage]),
      ).join(
        '',
      )}${numberCell(testAccuracy?.mean ?? Number.NaN)}${numberCell(testAccuracy?.deviation ?? Number.NaN)}</tr>`,
  );
  const group = (title: string): string => `<th scope="colgroup" colspan="2">${title}</th>`;
  const heads = ['NC1', 'NC2'].flatMap((name) => STAGES.map(({ label }) => group(`${name}, ${label}`)));
  const below = heads.map(() => '<th scope="col">mean</th><th scope="col">×÷</th>').join('');
  return tableBlock(
    'seeds',
    'Mean and deviation of each layer',
    `<table class="layers"><caption>Geometric mean over the seeds and the factor of one standard deviation; of the test accuracy mean and standard deviation.</caption>
<thead><tr><th scope="col" rowspan="2">Layer</th>${heads.join('')}${group('Test accuracy')}</tr>
<tr>${below}<th scope="col">mean</th><th scope="col">±</th></tr></thead><tbody>${rows.join('\n')}</tbody></table>`,
  );
}

function renderSeedsPage(document: SeedsDocument, runs: readonly RunMetrics[], charts: readonly DrawnChart[]): string {
  const figures = (['nc1', 'nc2'] as const).map((name, i) =>
    figureBlock(charts[i], { name, label: TITLES[name], collapses: true }),
  );
  return pageDocument({
    title: `Deep RFM on ${runs[0].config.dataset}, ${runs.length} seeds`,
    header: `${verdictBlock(escapeHtml(seedsVerdict(document)))}
<p>${escapeHtml(runParts(runs[0]).join(' · '))}. The page of each seed is in its folder: ${escapeHtml(document.folders.join(', '))}.</p>`,
    main: `<section><h2>Neural collapse over the layers</h2>
${figures.join('\n')}</section>
<section><h2>Values</h2>
${seedsTable(document)}</section>`,
    footer: `Made by deep-rfm ${escapeHtml(document.version)}. The numbers are in seeds.json beside this page.`,
  });
}

/** What follows from the runs. */
async function figuresOf(document: SeedsDocument, runs: readonly RunMetrics[]): Promise<OutputFile[]> {
  const files: OutputFile[] = [];
  const charts: DrawnChart[] = [];
  for (const name of ['nc1', 'nc2'] as const) {
    const label = `${name.toUpperCase()} over ${document.layers.length} layers, mean and band over ${runs.length} seeds.`;
    const svg = await chartSvg(seedsSpec(name, runs, PAPER), label);
    files.push({ name: `${name}.svg`, text: svg }, { name: `${name}.png`, text: await svgToPng(svg) });
    charts.push(await drawChart(seedsSpec(name, runs, INLINE), label));
  }
  return [...files, { name: 'report.html', text: renderSeedsPage(document, runs, charts) }];
}

/**
 * Writes `seeds.json`, the figures nc1 and nc2, and the page of runs that differ in their seed.
 * @returns names of the files.
 */
export async function writeSeedsReport(
  dir: string,
  runs: readonly RunMetrics[],
  folders: string[],
): Promise<{ document: SeedsDocument; files: string[] }> {
  await ensureOutputDirectory(dir);
  const document = seedsDocument(runs, folders);
  const files = [
    { name: 'seeds.json', text: `${JSON.stringify(document, null, 2)}\n` },
    ...(await figuresOf(document, runs)),
  ];
  return { document, files: (await publish(dir, files, KNOWN_FILES.run)).written };
}

/**
 * Folders of the seeds that seeds.json names.
 * @throws input error where it names none.
 */
export async function readSeedFolders(dir: string): Promise<string[]> {
  const path = join(dir, 'seeds.json');
  const schema = z.object({ schema: z.literal(SEEDS_SCHEMA), folders: z.array(z.string()).min(1) });
  let document: unknown;
  try {
    document = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw inputError(`${path}: expected JSON, but ${error instanceof Error ? error.message : error}; make it again`);
  }
  return validated(schema, document, path, 'run --seeds').folders;
}

/**
 * Draws the figures and the page of several seeds again, from the metrics.json of each.
 * @returns names of the files that were written.
 */
export async function rewriteSeedsReport(dir: string): Promise<string[]> {
  const folders = await readSeedFolders(dir);
  const runs = await Promise.all(folders.map((folder) => readMetricsJson(join(dir, folder))));
  return (await publish(dir, await figuresOf(seedsDocument(runs, folders), runs), [])).written;
}
