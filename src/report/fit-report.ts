import type { ScoreName, Scores } from '../rfm/scores.js';
import { ensureOutputDirectory } from './atomic.js';
import { INLINE, PAPER, type Theme } from './charts.js';
import { chartSvg, drawChart } from './draw-chart.js';
import { confusionSpec, curveSpec, importancesSpec, SCORE_NAMES, truthSpec } from './fit-charts.js';
import type { FitDocument, FitTrial, Shown } from './fit-document.js';
import { type FitCharts, kernelText, renderFitPage } from './fit-page.js';
import { meanScores, scoreCell, scoreText, updatesText } from './fit-table.js';
import { routingText } from './fit-tree.js';
import { formatNumber, formatSeconds } from './format.js';
import { KNOWN_FILES } from './known-files.js';
import { type OutputFile, publish } from './publish.js';
import { svgToPng } from './raster.js';
import { tableText } from './text-table.js';

/** What the page shows beside metrics.json. */
export interface FitPictures {
  /** By which the fit was chosen. */
  score: ScoreName;
  /** The rows whose predictions are drawn, and of a regression the pairs. */
  part: Shown['part'];
  shown: Shown | null;
}

/** What is written beside metrics.json. */
export interface FitParts extends FitPictures {
  /** M, d × d, or its diagonal of d numbers. */
  metric: { shape: readonly number[]; data: Float64Array };
  /** predictions.csv. */
  predictions: string;
}

const scoreLine = (name: string, scores: Scores | null): string[] =>
  scores
    ? [
        `${name}  ${Object.entries(scores)
          .map(([key, value]) => `${SCORE_NAMES[key as ScoreName]} ${scoreText(key as ScoreName, value as number)}`)
          .join(', ')}`,
      ]
    : [];

/** Which fit was kept, or what the tree is. */
function keptLines({ best, iterations, tree, config }: FitDocument): string[] {
  if (tree === null) return [`kept        the fit after ${best} of ${iterations.length - 1} updates of M`];
  const score = config.score as ScoreName;
  const [splits, leaves] = [
    tree.splits.map(({ rows, threshold, entries }, k) => [
      `split ${k + 1}`,
      `${entries
        .slice(0, 3)
        .map(({ feature, weight }) => `${feature} (${formatNumber(weight)})`)
        .join(', ')} at ${formatNumber(threshold)}`,
      String(rows),
    ]),
    tree.leaves.map(({ rows, best: updates, iterations: fits }, k) => [
      `leaf ${k + 1}`,
      `kept after ${updatesText(updates)}, ${SCORE_NAMES[score]} ${scoreCell(fits.find(({ iteration }) => iteration === updates)?.validation, score)}`,
      String(rows),
    ]),
  ];
  const lines = tableText({ header: ['part', 'by', 'rows'], rows: [...splits, ...leaves], left: 2 });
  return [`tree        ${routingText(tree)}`, ...lines.map((line) => `  ${line}`)];
}

/** What a fit came to, in lines for people. */
export function summaryLines(document: FitDocument): string[] {
  const { scores, rows, features, settings, importances, changes, notes, folds } = document;
  const leading = importances.slice(0, 10).map(({ feature, value }) => [feature, formatNumber(value)]);
  const mean = folds && meanScores(folds.map((fold) => fold.scores));
  return [
    `${document.task}: ${String(document.config.target)} from ${features.length} features of ${rows.train} rows`,
    `kernel      ${kernelText(settings)}, ridge ${settings.ridge === null ? 'of each leaf' : formatNumber(settings.ridge)}, M ${settings.metricForm}`,
    ...keptLines(document),
    ...scoreLine('training  ', scores.train),
    ...scoreLine('validation', scores.validation),
    ...(mean ? scoreLine(`${folds.length} folds   `, mean) : []),
    ...scoreLine('test      ', scores.test),
    '',
    `features that count most, by the diagonal of M${document.tree ? ' (mean of the leaves, weighted by rows)' : ''}:`,
    ...tableText({ header: ['feature', 'M'], rows: leading, left: 1 }).map((line) => `  ${line}`),
    ...(changes.length > 0
      ? ['', 'columns that were dropped or changed:', ...changes.map((change) => `  ${change}`)]
      : []),
    ...(notes.length > 0 ? ['', ...notes.map((note) => `note: ${note}`)] : []),
    '',
    `${formatSeconds(document.seconds)} on ${document.adapter.description || 'the adapter'} (${document.adapter.type})`,
    // Names of columns and levels may have ends of lines, or worse for a terminal.
  ].map((line) => line.replace(/\p{Cc}/gu, ' '));
}

/** trials.csv. */
export function trialsText(trials: readonly FitTrial[]): string {
  const header = 'trial,kernel,exponent,multiple,metric_form,iteration,ridge,score,seconds,failure';
  const lines = trials.map((t) =>
    [
      t.trial,
      t.kernel,
      t.exponent ?? '',
      t.multiple ?? '',
      t.metricForm,
      t.iteration,
      t.ridges.at(-1) ?? '',
      t.score ?? '',
      t.seconds.toFixed(3),
      t.failure === null ? '' : JSON.stringify(t.failure.replaceAll('"', "'")),
    ].join(','),
  );
  return `${[header, ...lines].join('\n')}\n`;
}

/** The figures, and the page with them. */
export async function fitPictures(document: FitDocument, { score, part, shown }: FitPictures): Promise<OutputFile[]> {
  const { confusion, classes, config } = document;
  const specOf = (theme: Theme) => ({
    curve: curveSpec(document, score, theme),
    importances: importancesSpec(document, theme),
    predictions:
      confusion && classes
        ? confusionSpec(confusion, classes.names, part, theme)
        : truthSpec(shown ?? { part, points: [] }, String(config.target), theme),
  });
  const [paper, inline] = [specOf(PAPER), specOf(INLINE)];
  const labels = {
    curve: `${SCORE_NAMES[score]} over the updates of M.`,
    importances: 'The largest entries of the diagonal of M.',
    predictions: `Predictions of ${part} rows.`,
  };
  const files: OutputFile[] = [];
  const charts: Partial<FitCharts> = {};
  for (const name of ['curve', 'importances', 'predictions'] as const) {
    const svg = await chartSvg(paper[name], labels[name]);
    files.push({ name: `${name}.svg`, text: svg }, { name: `${name}.png`, text: await svgToPng(svg) });
    charts[name] = { drawn: await drawChart(inline[name], labels[name]), label: labels[name] };
  }
  return [...files, { name: 'report.html', text: renderFitPage(document, charts as FitCharts, score) }];
}

/**
 * Writes metrics.json, summary.txt, the figures, M.npy, predictions.csv and the page into a folder, which is made if needed.
 * @returns names of the files.
 */
export async function writeFitReport(dir: string, document: FitDocument, parts: FitParts): Promise<string[]> {
  await ensureOutputDirectory(dir);
  const { metric } = parts;
  const files: OutputFile[] = [
    { name: 'metrics.json', text: `${JSON.stringify(document, null, 2)}\n` },
    { name: 'summary.txt', text: `${summaryLines(document).join('\n')}\n` },
    { name: 'M.npy', shape: metric.shape, data: metric.data },
    { name: 'predictions.csv', text: parts.predictions },
    ...(document.trials ? [{ name: 'trials.csv', text: trialsText(document.trials) }] : []),
    ...(await fitPictures(document, parts)),
  ];
  return (await publish(dir, files, KNOWN_FILES.fit)).written;
}
