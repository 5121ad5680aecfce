import type { SeedRecord, TrainMetrics } from '../nn/types.js';
import { ensureOutputDirectory } from './atomic.js';
import type { DrawnChart } from './chart-points.js';
import { INLINE, PAPER, type Theme } from './charts.js';
import { drawChart } from './draw-chart.js';
import { KNOWN_FILES } from './known-files.js';
import { type OutputFile, publish } from './publish.js';
import { TRAIN_CHARTS, type TrainChartName, trainChartSpec } from './train-charts.js';

/** Singular values kept of a layer, except at a seed's first and last measurement, which keep all. */
const KEPT_VALUES = 64;

const DESCRIPTIONS: Readonly<Record<TrainChartName, string>> = {
  nc1: 'NC1 over the epochs for the input, the right singular part and the output of each layer, on logarithmic axes.',
  nfa: 'Correlation of the AGOP and of its square root with the weights of each layer over the epochs.',
  variance: 'Shares of the variance between and within classes after the last hidden layer over the epochs.',
  loss: 'Training and test loss over the epochs on a logarithmic axis.',
  'singular-values': 'Singular values of the weights of each layer on logarithmic axes, before and after training.',
};

/** Numbers with six significant digits: what is measured has no more. */
const rounded = (value: number): number => (Number.isFinite(value) ? Number(value.toPrecision(6)) : value);

/** What metrics.json holds: long spectra in the middle of training are cut. */
function compact(record: SeedRecord): SeedRecord {
  const last = record.measurements.length - 1;
  return {
    ...record,
    measurements: record.measurements.map((measurement, i) => ({
      ...measurement,
      layers: measurement.layers.map((probe) => ({
        ...probe,
        singularValues: probe.singularValues
          .slice(0, i === 0 || i === last ? probe.singularValues.length : KEPT_VALUES)
          .map(rounded),
      })),
    })),
  };
}

const COLUMNS = [
  'seed',
  'epoch',
  'train_loss',
  'train_accuracy',
  'test_loss',
  'test_accuracy',
  'variance_between',
  'variance_within',
  'layer',
  'nc1_input',
  'nc1_right',
  'nc1_output',
  'nc1_agop',
  'nc2_input',
  'nc2_right',
  'nc2_output',
  'nc2_agop',
  'nfa',
  'nfa_sqrt',
  'fact_correlation',
  'fact_difference',
  'effective_rank',
  'largest_singular_value',
  'smallest_principal_angle',
  'largest_principal_angle',
];

/** A row for each seed, measurement and layer; empty where nothing could be measured. */
export function trainCsv({ seeds }: TrainMetrics): string {
  const cell = (value: number | undefined): string =>
    value === undefined || !Number.isFinite(value) ? '' : String(value);
  const lines = seeds.flatMap(({ seed, measurements }) =>
    measurements.flatMap(({ epoch, train, test, variance, layers }) =>
      layers.map(({ layer, nc1, nc2, ...probe }) =>
        [
          seed,
          epoch,
          train.loss,
          train.accuracy,
          test?.loss,
          test?.accuracy,
          variance.between,
          variance.within,
          layer,
          ...[nc1, nc2].flatMap(({ input, right, output, agop }) => [input, right, output, agop]),
          probe.nfa,
          probe.nfaSqrt,
          probe.fact?.correlation,
          probe.fact?.difference,
          probe.effectiveRank,
          probe.singularValues[0],
          probe.principalAngles[0],
          probe.principalAngles.at(-1),
        ]
          .map(cell)
          .join(','),
      ),
    ),
  );
  return `${[COLUMNS.join(','), ...lines].join('\n')}\n`;
}

const draw = (name: TrainChartName, metrics: TrainMetrics, theme: Theme): Promise<DrawnChart> =>
  drawChart(trainChartSpec(name, metrics, theme), DESCRIPTIONS[name]);

const csvOf = (metrics: TrainMetrics): OutputFile => ({ name: 'metrics.csv', text: trainCsv(metrics) });

/** What follows from the metrics; the page is the last, so that it implies the rest. */
async function figuresOf(metrics: TrainMetrics): Promise<OutputFile[]> {
  const { svgToPng } = await import('./raster.js');
  const { renderTrainPage } = await import('./train-page.js');
  const files: OutputFile[] = [csvOf(metrics)];
  const inline: Partial<Record<TrainChartName, DrawnChart>> = {};
  for (const name of TRAIN_CHARTS) {
    const { svg } = await draw(name, metrics, PAPER);
    files.push({ name: `${name}.svg`, text: svg }, { name: `${name}.png`, text: await svgToPng(svg) });
    inline[name] = await draw(name, metrics, INLINE);
  }
  const page = renderTrainPage(metrics, inline as Record<TrainChartName, DrawnChart>);
  return [...files, { name: 'report.html', text: page }];
}

/**
 * Writes `metrics.json`, `metrics.csv`, the figures as SVG and PNG, and `report.html` into a folder, which is made if
 * needed; all take their places together. They are made of the numbers that metrics.json holds, so that
 * `rewriteTrainReport` makes the same again.
 * @param figures whether figures and page are drawn.
 * @returns names of the files.
 */
export async function writeTrainReport(dir: string, metrics: TrainMetrics, figures = true): Promise<string[]> {
  await ensureOutputDirectory(dir);
  const kept: TrainMetrics = { ...metrics, seeds: metrics.seeds.map(compact) };
  const numbers = { name: 'metrics.json', text: `${JSON.stringify(kept, null, 1)}\n` };
  const rest = figures ? await figuresOf(kept) : [csvOf(kept)];
  return (await publish(dir, [numbers, ...rest], KNOWN_FILES.train)).written;
}

/**
 * Draws the figures and the page of a training again from its metrics, which stay as they are.
 * @returns names of the files that were written.
 */
export async function rewriteTrainReport(dir: string, metrics: TrainMetrics): Promise<string[]> {
  await ensureOutputDirectory(dir, 'DIR');
  return (await publish(dir, await figuresOf(metrics), [])).written;
}
