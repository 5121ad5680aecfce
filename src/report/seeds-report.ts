/** Several runs that differ in their seed alone: their mean and spread, layer by layer. */

import type { TopLevelSpec } from 'vega-lite';
import type { LayerMetrics, RunMetrics } from '../rfm/types.js';
import { ensureOutputDirectory } from './atomic.js';
import { chartSvg } from './charts.js';
import { runParts, wrapParts } from './format.js';
import { KNOWN_FILES } from './known-files.js';
import { type OutputFile, publish } from './publish.js';
import { FONT_FAMILY, svgToPng } from './raster.js';
import { layerTicks, logAxis } from './scales.js';

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
  { stage: 'input', label: 'input X', color: '#0072B2' },
  { stage: 'agop', label: 'after M¹⁄²', color: '#D55E00' },
  { stage: 'features', label: 'after random features', color: '#009E73' },
] as const;

/** Means over the layers with a band of one standard deviation of the logarithms, on a logarithmic axis. */
export function seedsSpec(name: 'nc1' | 'nc2', document: SeedsDocument, first: RunMetrics): TopLevelSpec {
  const values = document.layers
    .flatMap((layer) =>
      STAGES.map(({ stage, label }) => {
        const { mean, factor } = layer[name][stage];
        return { layer: layer.layer, stage: label, mean, low: mean / factor, high: mean * factor };
      }),
    )
    .filter(({ mean }) => mean > 0);
  const axis = logAxis(values.flatMap(({ low, high }) => [low, high]));
  const labels = Object.fromEntries(axis.ticks.map(({ value, label }) => [String(value), label]));
  const drawn = values.map((value) => ({
    ...value,
    low: Math.max(value.low, axis.floor),
    mean: Math.max(value.mean, axis.floor),
  }));
  const color = {
    field: 'stage',
    type: 'nominal',
    sort: null,
    scale: { domain: STAGES.map(({ label }) => label), range: STAGES.map(({ color }) => color) },
    legend: { title: null, orient: 'right' },
  } as const;
  const x = {
    field: 'layer',
    type: 'quantitative',
    scale: { nice: false, zero: false },
    axis: {
      title: 'layer',
      values: layerTicks(document.layers.map(({ layer }) => layer)),
      grid: false,
      labelExpr: "'' + datum.value",
    },
  } as const;
  const scale = { type: 'log', base: 10, domain: axis.domain, nice: false } as const;
  const y = {
    type: 'quantitative',
    scale,
    axis: {
      title: name.toUpperCase(),
      values: axis.ticks.map(({ value }) => value),
      labelExpr: `${JSON.stringify(labels)}[datum.value]`,
    },
  } as const;
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 560,
    height: 340,
    background: '#ffffff',
    autosize: 'none',
    padding: { left: 80, right: 200, top: 110, bottom: 52 },
    config: { font: FONT_FAMILY, view: { stroke: null } },
    title: {
      text: `${name.toUpperCase()}: mean and one standard deviation over seeds ${document.seeds.join(', ')}`,
      subtitle: wrapParts(runParts(first), 90),
      anchor: 'start',
      frame: 'group',
      fontSize: 15,
    },
    data: { values: drawn },
    layer: [
      {
        mark: { type: 'area', opacity: 0.2 },
        encoding: { x, y: { field: 'low', ...y }, y2: { field: 'high' }, color },
      },
      { mark: { type: 'line', strokeWidth: 2 }, encoding: { x, y: { field: 'mean', ...y }, color } },
      { mark: { type: 'point', filled: true, size: 36 }, encoding: { x, y: { field: 'mean', ...y }, color } },
    ],
  };
}

/**
 * Writes `seeds.json` and the figures nc1 and nc2 of runs that differ in their seed.
 * @returns names of the files.
 */
export async function writeSeedsReport(
  dir: string,
  runs: readonly RunMetrics[],
  folders: string[],
): Promise<{ document: SeedsDocument; files: string[] }> {
  await ensureOutputDirectory(dir);
  const document = seedsDocument(runs, folders);
  const files: OutputFile[] = [{ name: 'seeds.json', text: `${JSON.stringify(document, null, 2)}\n` }];
  for (const name of ['nc1', 'nc2'] as const) {
    const label = `${name.toUpperCase()} over ${document.layers.length} layers, mean and band over ${runs.length} seeds.`;
    const svg = await chartSvg(seedsSpec(name, document, runs[0]), label);
    files.push({ name: `${name}.svg`, text: svg }, { name: `${name}.png`, text: await svgToPng(svg) });
  }
  return { document, files: (await publish(dir, files, KNOWN_FILES.run)).written };
}
