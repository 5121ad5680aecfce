import type { TopLevelSpec } from 'vega-lite';
import type { ScoreName } from '../rfm/scores.js';
import type { Tip } from './chart-points.js';
import type { Theme } from './charts.js';
import type { FitDocument, Shown } from './fit-document.js';
import { shorten } from './format.js';
import { FONT_FAMILY } from './raster.js';

const BLUE = '#0072B2';
const VERMILION = '#D55E00';

/** Names of scores for people. */
export const SCORE_NAMES: Readonly<Record<ScoreName, string>> = {
  rmse: 'RMSE',
  mae: 'MAE',
  r2: 'R²',
  accuracy: 'accuracy',
  logLoss: 'log loss',
  brier: 'Brier score',
  auc: 'AUC',
  f1: 'F1',
};

interface Chart {
  title: string;
  width: number;
  height: number;
}

const frame = ({ title, width, height }: Chart, { ink, background }: Theme, rest: object): TopLevelSpec =>
  ({
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width,
    height,
    background,
    config: {
      font: FONT_FAMILY,
      aria: false,
      view: { stroke: null },
      axis: { labelColor: ink, titleColor: ink, gridColor: ink, gridOpacity: 0.13, domainColor: ink, tickColor: ink },
      legend: { labelColor: ink },
    },
    title: { text: title, anchor: 'start', frame: 'group', fontSize: 15, color: ink },
    ...rest,
  }) as TopLevelSpec;

const scoreAt = (scores: object, name: ScoreName): number => (scores as Record<string, number>)[name];

/** The score over the updates of M, on training and on validation rows: of the machine, or of each leaf. */
export function curveSpec(
  { iterations, best, tree }: Pick<FitDocument, 'iterations' | 'best' | 'tree'>,
  score: ScoreName,
  theme: Theme,
): TopLevelSpec {
  const machines = tree ? tree.leaves.map((leaf) => leaf.iterations) : [iterations];
  const values = machines.flatMap((fits, k) =>
    fits.flatMap(({ iteration, train, validation }) => [
      { iteration, rows: 'training', machine: `training ${k}`, value: scoreAt(train, score) },
      ...(validation
        ? [{ iteration, rows: 'validation', machine: `validation ${k}`, value: scoreAt(validation, score) }]
        : []),
    ]),
  );
  const encoding = {
    x: { field: 'iteration', type: 'quantitative', axis: { title: 'updates of M', tickMinStep: 1, grid: false } },
    y: { field: 'value', type: 'quantitative', scale: { zero: false }, axis: { title: SCORE_NAMES[score] } },
    color: {
      field: 'rows',
      type: 'nominal',
      scale: { domain: ['training', 'validation'], range: [BLUE, VERMILION] },
      legend: { title: null, orient: 'right' },
    },
    detail: { field: 'machine', type: 'nominal' },
  };
  return frame({ title: `${SCORE_NAMES[score]} over the updates of M`, width: 480, height: 280 }, theme, {
    data: {
      values: values
        .filter(({ value }) => Number.isFinite(value))
        .map((point) => {
          const leaf = tree ? `leaf ${Number(point.machine.split(' ')[1]) + 1}, ` : '';
          const tip: Tip = {
            series: `${leaf}${point.rows}`,
            axis: 'updates of M',
            at: point.iteration,
            value: point.value,
          };
          return { ...point, tip };
        }),
    },
    layer: [
      ...(best === null
        ? []
        : [
            {
              mark: { type: 'rule', strokeDash: [4, 4], color: '#8A8A8A' },
              encoding: { x: { datum: best, type: 'quantitative' } },
            },
          ]),
      { mark: { type: 'line', strokeWidth: 2 }, encoding },
      { mark: { type: 'point', filled: true, size: 44 }, encoding },
    ],
  });
}

/** Features that a chart has room for. */
const MOST_FEATURES = 20;

/** The largest entries of the diagonal of M. */
export function importancesSpec({ importances, tree }: FitDocument, theme: Theme): TopLevelSpec {
  const what = tree ? 'M over its largest entry, mean of the leaves' : 'M, over its largest entry';
  const values = importances.slice(0, MOST_FEATURES).map(({ feature, value }) => {
    const tip: Tip = { series: what, axis: 'feature', at: feature, value };
    return { feature: shorten(feature, 32), value, tip };
  });
  return frame(
    { title: 'Importance of features: the diagonal of M', width: 420, height: 20 * values.length + 10 },
    theme,
    {
      data: { values },
      mark: { type: 'bar', color: BLUE },
      encoding: {
        y: { field: 'feature', type: 'nominal', sort: null, axis: { title: null, labelLimit: 240 } },
        x: { field: 'value', type: 'quantitative', axis: { title: what } },
      },
    },
  );
}

/** Predictions against the truth, with the line on which both agree. */
export function truthSpec({ part, points }: Shown, target: string, theme: Theme): TopLevelSpec {
  const all = points.flatMap(({ truth, prediction }) => [truth, prediction]);
  const values = points.map((point) => {
    const tip: Tip = { series: 'prediction', axis: target, at: point.truth, value: point.prediction };
    return { ...point, tip };
  });
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const axis = (field: string, title: string): object => ({
    field,
    type: 'quantitative',
    scale: { domain: [low, high], nice: true, zero: false },
    axis: { title },
  });
  return frame({ title: `Predictions of ${part} rows`, width: 360, height: 360 }, theme, {
    layer: [
      {
        data: {
          values: [
            { truth: low, prediction: low },
            { truth: high, prediction: high },
          ],
        },
        mark: { type: 'line', color: '#8A8A8A', strokeDash: [4, 4] },
        encoding: { x: axis('truth', target), y: axis('prediction', 'prediction') },
      },
      {
        data: { values },
        mark: { type: 'point', filled: true, size: 18, opacity: 0.5, color: BLUE },
        encoding: { x: axis('truth', target), y: axis('prediction', 'prediction') },
      },
    ],
  });
}

/** The confusion matrix: each row of it by its share. */
export function confusionSpec(
  confusion: readonly (readonly number[])[],
  classes: readonly string[],
  part: string,
  theme: Theme,
): TopLevelSpec {
  const names = classes.map((name) => shorten(name, 20));
  const values = confusion.flatMap((row, t) => {
    const all = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, p) => {
      const tip: Tip = { series: `true class ${classes[t]}`, axis: 'predicted', at: classes[p], value: count };
      return { truth: names[t], predicted: names[p], count, share: all > 0 ? count / all : 0, tip };
    });
  });
  const position = (field: string, title: string): object => ({
    field,
    type: 'nominal',
    sort: null,
    axis: { title, labelLimit: 160 },
  });
  const size = Math.max(120, Math.min(480, 44 * classes.length));
  const encoding = { x: position('predicted', 'predicted'), y: position('truth', 'true class') };
  return frame({ title: `Predictions of ${part} rows`, width: size, height: size }, theme, {
    data: { values },
    layer: [
      {
        mark: 'rect',
        encoding: {
          ...encoding,
          color: {
            field: 'share',
            type: 'quantitative',
            scale: { domain: [0, 1], range: ['#ffffff', BLUE], interpolate: 'rgb' },
            legend: null,
          },
        },
      },
      ...(classes.length <= 15
        ? [
            {
              mark: { type: 'text', fontSize: 12 },
              encoding: {
                ...encoding,
                text: { field: 'count', type: 'quantitative' },
                color: { condition: { test: 'datum.share > 0.6', value: '#ffffff' }, value: '#1f2328' },
              },
            },
          ]
        : []),
    ],
  });
}
