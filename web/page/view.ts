/** What is shown of the layers: pictures, curves, table. */

import { divergingColor } from '../../src/report/colors.js';
import { ACTIVATION_NAMES, formatCell, formatPercent } from '../../src/report/format.js';
import { runVerdict } from '../../src/report/verdict.js';
import { lineChart, type Series } from './line-chart.js';
import type { DigitShown, LayerShown, Settings } from './protocol.js';
import { scatter } from './scatter.js';

/** Pictures stay out of the process that computes: the page would wait for it. */
const IN_MEMORY: CanvasRenderingContext2DSettings = { willReadFrequently: true };

/** A run as far as it is. */
export interface ShownRun {
  settings: Settings;
  layers: LayerShown[];
  digit: DigitShown | null;
}

export const byId = <T extends Element = HTMLElement>(id: string): T => document.getElementById(id) as unknown as T;

export const runName = ({ settings }: ShownRun): string =>
  `${ACTIVATION_NAMES[settings.activation]}, seed ${settings.seed}`;

function figure(content: Element, caption: string): HTMLElement {
  const made = document.createElement('figure');
  const text = document.createElement('figcaption');
  text.textContent = caption;
  made.append(content, text);
  return made;
}

function gramCanvas({ gram, metrics, projection }: LayerShown): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.setAttribute('role', 'img');
  canvas.setAttribute(
    'aria-label',
    `Cosine similarities of the ${projection.labels.length} rows after M½ of layer ${metrics.layer}, rows in class order`,
  );
  if (!gram) return canvas;
  canvas.width = gram.side;
  canvas.height = gram.side;
  (canvas.getContext('2d', IN_MEMORY) as CanvasRenderingContext2D).putImageData(
    new ImageData(gram.pixels, gram.side, gram.side),
    0,
    0,
  );
  return canvas;
}

/** Gram matrix and projection of one layer of every run, side by side. */
export function showPictures(runs: readonly ShownRun[], layer: number): void {
  byId('pictures').replaceChildren(
    ...runs.flatMap((run) => {
      const shown = run.layers[layer - 1];
      if (!shown) return [];
      const card = document.createElement('div');
      card.className = 'run';
      const head = document.createElement('h3');
      head.textContent = `${runName(run)}, layer ${layer}`;
      const pair = document.createElement('div');
      pair.className = 'pair';
      const star = run.digit?.places[layer - 1] ?? null;
      const { nc1, nc2, trainAccuracy, testAccuracy } = shown.metrics;
      const tested = testAccuracy === null ? '' : `, test ${formatPercent(testAccuracy)}`;
      pair.append(
        figure(gramCanvas(shown), `Gram matrix. NC1 ${formatCell(nc1.agop)}, NC2 ${formatCell(nc2.agop)} after M½.`),
        figure(
          scatter(shown.projection, star),
          `Features in the plane of their class means. Accuracy: training ${formatPercent(trainAccuracy)}${tested}.`,
        ),
      );
      card.append(head, pair);
      return [card];
    }),
  );
}

const STAGES = [
  ['input', 'X'],
  ['agop', 'after M½'],
  ['features', 'features'],
] as const;

function collapseSeries(runs: readonly ShownRun[], quantity: 'nc1' | 'nc2'): Series[] {
  // With two runs six curves; each keeps its colour and dash.
  return runs.flatMap((run) =>
    STAGES.map(([stage, label]) => ({
      label: runs.length > 1 ? `${label}: ${runName(run)}` : label,
      points: run.layers.map(({ metrics }) => ({ x: metrics.layer, y: metrics[quantity][stage] })),
    })),
  );
}

function accuracySeries(runs: readonly ShownRun[]): Series[] {
  return runs.flatMap((run) =>
    (
      [
        ['training', ({ metrics }: LayerShown) => metrics.trainAccuracy],
        ['test', ({ metrics }: LayerShown) => metrics.testAccuracy ?? Number.NaN],
      ] as const
    ).map(([label, of]) => ({
      label: runs.length > 1 ? `${label}: ${runName(run)}` : label,
      points: run.layers.map((layer) => ({ x: layer.metrics.layer, y: of(layer) })),
    })),
  );
}

const spectrumSeries = (runs: readonly ShownRun[], layer: number): Series[] =>
  runs.flatMap((run) => {
    const { topEigenvalues = [] } = run.layers[layer - 1]?.metrics.agop ?? {};
    return topEigenvalues.length === 0
      ? []
      : [
          {
            label: runName(run),
            points: topEigenvalues.map((value, i) => ({ x: i + 1, y: value / topEigenvalues[0]! })),
          },
        ];
  });

/** NC1, NC2, accuracy, and the spectrum of M of one layer. */
export function showCurves(runs: readonly ShownRun[], layer: number, say: (text: string) => void): void {
  const spectrum = `Spectrum of M, layer ${layer}: eigenvalue / largest`;
  byId('curves').replaceChildren(
    ...(
      [
        ['nc1', { title: 'NC1: variability within the classes', x: 'layer', log: true }, collapseSeries(runs, 'nc1')],
        [
          'nc2',
          { title: 'NC2: distance of the means from a simplex', x: 'layer', log: true },
          collapseSeries(runs, 'nc2'),
        ],
        ['spectrum', { title: spectrum, x: 'number', log: true }, spectrumSeries(runs, layer)],
        ['accuracy', { title: 'Accuracy', x: 'layer', log: false }, accuracySeries(runs)],
      ] as const
    )
      .filter(([, , series]) => series.some(({ points }) => points.length > 0))
      .map(([name, of, series]) => {
        const made = document.createElement('figure');
        made.dataset.chart = name;
        made.append(lineChart(of, series, say));
        return made;
      }),
  );
}

const COLUMNS = [
  'run',
  'layer',
  'NC1 X',
  'NC1 M½X',
  'NC1 features',
  'NC2 X',
  'NC2 M½X',
  'NC2 features',
  'training',
  'test',
  'residual',
];

/** All values as a table. */
export function showTable(runs: readonly ShownRun[]): void {
  const cells = (tag: 'th' | 'td', texts: readonly string[]): HTMLTableRowElement => {
    const row = document.createElement('tr');
    for (const text of texts) {
      const cell = document.createElement(tag);
      if (tag === 'th') cell.setAttribute('scope', 'col');
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  };
  const table = byId<HTMLTableElement>('table');
  table.tHead!.replaceChildren(cells('th', COLUMNS));
  table.tBodies[0]!.replaceChildren(
    ...runs.flatMap((run) =>
      run.layers.map(({ metrics: { layer, nc1, nc2, trainAccuracy, testAccuracy, solve } }) =>
        cells('td', [
          runName(run),
          String(layer),
          ...[nc1.input, nc1.agop, nc1.features, nc2.input, nc2.agop, nc2.features].map(formatCell),
          ...[trainAccuracy, testAccuracy].map(formatPercent),
          formatCell(solve.relativeResidual),
        ]),
      ),
    ),
  );
}

/** The finding in a sentence for each run. */
export function showVerdict(runs: readonly ShownRun[]): void {
  byId('verdict').textContent = runs
    .filter(({ layers }) => layers.length > 0)
    .map((run) => {
      const layers = run.layers.map(({ metrics }) => metrics);
      return `${runs.length > 1 ? `${runName(run)}: ` : ''}${runVerdict({ layers })}`;
    })
    .join(' ');
}

/** The bar from −1 to +1. */
export function showScale(): void {
  const canvas = byId<HTMLCanvasElement>('scale');
  const pixels = new Uint8ClampedArray(4 * canvas.width);
  for (let i = 0; i < canvas.width; i++) pixels.set([...divergingColor((2 * i) / (canvas.width - 1) - 1), 255], 4 * i);
  (canvas.getContext('2d', IN_MEMORY) as CanvasRenderingContext2D).putImageData(
    new ImageData(pixels, canvas.width, 1),
    0,
    0,
  );
}
