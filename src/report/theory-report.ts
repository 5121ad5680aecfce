import type { TopLevelSpec } from 'vega-lite';
import type { CollapsePrediction, Fit } from '../rfm/theory.js';
import type { CollapseLayer } from '../rfm/theory-collapse.js';
import type { KernelPoint } from '../rfm/theory-kernel-path.js';
import type { AdapterSummary } from '../runtime/adapter.js';
import { ensureOutputDirectory } from './atomic.js';
import { chartSvg } from './draw-chart.js';
import { adapterLabel, formatNumber, shorten } from './format.js';
import { KNOWN_FILES } from './known-files.js';
import { type OutputFile, publish } from './publish.js';
import { FONT_FAMILY, svgToPng } from './raster.js';
import { logAxis } from './scales.js';

export const COLLAPSE_SCHEMA = 'deep-rfm/theory-collapse/1';
export const KERNEL_SCHEMA = 'deep-rfm/theory-kernel/1';

/** What `theory collapse` prints with --json. */
export interface CollapseDocument {
  schema: typeof COLLAPSE_SCHEMA;
  version: string;
  config: {
    sizes: number[];
    lambdaMap: number;
    lambdaHat: number;
    /** As it was asked for: 1, star, printed or a number. */
    kappaName: string;
    kappa: number;
    depth: number;
    seed: number;
  };
  adapter: AdapterSummary;
  prediction: CollapsePrediction;
  /** The factor by which the Gram error falls in a layer. */
  predictedRate: number;
  /** Null where no layers show it. */
  measuredRate: number | null;
  /** The root of the factor by which NC1 falls, and what it is to be. */
  nc1Rate: { predicted: number; measured: number | null };
  /** Layers of the fits; null where there are too few. */
  fit: Pick<Fit, 'from' | 'to'> | null;
  /** NC1 after the feature map, and the Gram error against YᵀY: what they tend to, and of the last layer. */
  floors: { features: { predicted: number; measured: number }; gram: { predicted: number; measured: number } };
  layers: CollapseLayer[];
  seconds: number;
}

/** What `theory kernel` prints with --json. */
export interface KernelDocument {
  schema: typeof KERNEL_SCHEMA;
  version: string;
  config: { sizes: number[]; targets: 'one-hot' | 'pm1'; ridge: number; seed: number };
  adapter: AdapterSummary;
  /** J* and the best kernel's entries between classes, classes × classes. */
  optimum: { objective: number; entries: number[][]; gap: number };
  points: KernelPoint[];
  seconds: number;
}

const BLUE = '#0072B2';
const VERMILION = '#D55E00';
const GREEN = '#009E73';

interface Curve {
  name: string;
  color: string;
  dash: number[];
  points: { x: number; y: number }[];
}

/** Curves over layers, or over shares of the best kernel, on a logarithmic axis. */
function curvesSpec(
  text: { title: string; subtitle: string[]; x: string; y: string },
  curves: readonly Curve[],
): TopLevelSpec {
  const values = curves.flatMap(({ name, points }) => points.map(({ x, y }) => ({ name, x, y })));
  const axis = logAxis(values.map(({ y }) => y));
  const labels = Object.fromEntries(axis.ticks.map(({ value, label }) => [String(value), label]));
  const shown = values.map((point) => ({ ...point, y: Math.max(point.y, axis.floor) }));
  const range = curves.map(({ color }) => color);
  const domain = curves.map(({ name }) => name);
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 520,
    height: 340,
    background: '#ffffff',
    autosize: 'none',
    padding: { left: 80, right: 250, top: 80, bottom: 52 },
    config: { font: FONT_FAMILY, view: { stroke: null } },
    title: { text: text.title, subtitle: text.subtitle, anchor: 'start', frame: 'group', fontSize: 15 },
    data: { values: shown },
    layer: [{ mark: { type: 'line', strokeWidth: 2 } }, { mark: { type: 'point', filled: true, size: 36 } }],
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        scale: { nice: false, zero: false },
        axis: { title: text.x, grid: false },
      },
      y: {
        field: 'y',
        type: 'quantitative',
        scale: { type: 'log', base: 10, domain: axis.domain, nice: false },
        axis: {
          title: text.y,
          values: axis.ticks.map(({ value }) => value),
          labelExpr: `${JSON.stringify(labels)}[datum.value]`,
        },
      },
      color: {
        field: 'name',
        type: 'nominal',
        sort: null,
        scale: { domain, range },
        legend: { title: null, orient: 'right', labelLimit: 235 },
      },
      strokeDash: {
        field: 'name',
        type: 'nominal',
        sort: null,
        scale: { domain, range: curves.map(({ dash }) => dash) },
        legend: null,
      },
    },
  };
}

const sizesText = (sizes: readonly number[]): string =>
  sizes.every((size) => size === sizes[0])
    ? `${sizes.length} classes of ${sizes[0]} rows`
    : `${sizes.length} classes of ${Math.min(...sizes)} to ${Math.max(...sizes)} rows`;

/** Gram error and NC1 over the layers, each with a line that falls at the predicted rate. */
export function collapseSpec(document: CollapseDocument): TopLevelSpec {
  const { config, layers, prediction, fit, adapter } = document;
  const at = Math.min(fit?.to ?? layers.length, layers.length) - 1;
  const predicted = (value: (layer: CollapseLayer) => number, factor: number) =>
    layers.map(({ layer }) => ({ x: layer, y: value(layers[at]) * factor ** (layer - layers[at].layer) }));
  const curve = (name: string, color: string, value: (layer: CollapseLayer) => number, factor: number): Curve[] => [
    { name, color, dash: [1, 0], points: layers.map((layer) => ({ x: layer.layer, y: value(layer) })) },
    { name: `${name}, predicted rate`, color, dash: [4, 4], points: predicted(value, factor) },
  ];
  return curvesSpec(
    {
      title: 'Collapse of linearised Deep RFM',
      subtitle: [
        `${sizesText(config.sizes)}; λ_map ${formatNumber(config.lambdaMap)}, λ̂ ${formatNumber(config.lambdaHat)}, κ ${config.kappaName}`,
        shorten(adapterLabel(adapter, 60), 75),
      ],
      x: 'layer',
      y: 'Gram error; NC1',
    },
    [
      ...curve('Gram error', BLUE, ({ gramError }) => gramError, prediction.rate),
      ...curve('NC1 after M½', VERMILION, ({ nc1 }) => nc1.agop, prediction.within ** 2),
      {
        name: 'NC1 after the feature map',
        color: GREEN,
        dash: [1, 0],
        points: layers.map(({ layer, nc1 }) => ({ x: layer, y: nc1.features })),
      },
    ],
  );
}

/** J/J* − 1 on the way to the best kernel. */
export function kernelSpec({ config, points, adapter }: KernelDocument): TopLevelSpec {
  return curvesSpec(
    {
      title: 'Kernel learning: distance of the objective from its least value',
      subtitle: [
        `${sizesText(config.sizes)}; ${config.targets === 'pm1' ? '±1' : 'one-hot'} targets, ridge ${formatNumber(config.ridge)}`,
        shorten(adapterLabel(adapter, 60), 75),
      ],
      x: 'share t of the best kernel in (1 − t) k + t k*',
      y: 'J / J* − 1',
    },
    [
      {
        name: 'J / J* − 1',
        color: BLUE,
        dash: [1, 0],
        points: points.map(({ share, ratio }) => ({ x: share, y: ratio - 1 })),
      },
    ],
  );
}

const json = (document: unknown): string => `${JSON.stringify(document, null, 2)}\n`;

/**
 * Writes `theory.json` and its figure into a folder, which is made if needed.
 * @returns names of the files.
 */
export async function writeTheoryReport(dir: string, document: CollapseDocument | KernelDocument): Promise<string[]> {
  await ensureOutputDirectory(dir);
  const collapse = document.schema === COLLAPSE_SCHEMA;
  const [name, spec] = collapse
    ? (['collapse', collapseSpec(document)] as const)
    : (['kernel', kernelSpec(document)] as const);
  const label = collapse
    ? `Gram error and NC1 over ${document.layers.length} layers, on a logarithmic axis.`
    : 'J / J* − 1 on the way to the best kernel, on a logarithmic axis.';
  const svg = await chartSvg(spec, label);
  const files: OutputFile[] = [
    { name: 'theory.json', text: json(document) },
    { name: `${name}.svg`, text: svg },
    { name: `${name}.png`, text: await svgToPng(svg) },
  ];
  return (await publish(dir, files, KNOWN_FILES.theory)).written;
}
