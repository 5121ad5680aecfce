import { isGain, type ScoreName, type Scores } from '../rfm/scores.js';
import type { DrawnChart } from './chart-points.js';
import { SCORE_NAMES } from './fit-charts.js';
import type { FitDocument, FitTrial } from './fit-document.js';
import { meanScores, scoreCell, scoreText, table } from './fit-table.js';
import { routingText, treeTables } from './fit-tree.js';
import {
  adapterLabel,
  escapeHtml,
  formatBytes,
  formatCell,
  formatNumber,
  formatPercent,
  formatSeconds,
} from './format.js';
import { figureBlock, pageDocument, verdictBlock } from './page-shell.js';
import { pairTable } from './run-certificate.js';

/** The charts of a fit, and what they show for those who do not see them. */
export type FitCharts = Record<'curve' | 'importances' | 'predictions', { drawn: DrawnChart; label: string }>;

const entriesOf = (scores: Scores): [ScoreName, number][] => Object.entries(scores) as [ScoreName, number][];

const figure = (charts: FitCharts, name: keyof FitCharts, caption: string): string =>
  figureBlock(charts[name].drawn, { name, label: charts[name].label, caption });

function scoresTable({ scores, rows }: FitDocument): string {
  const parts = (['train', 'validation', 'test'] as const).filter((part) => scores[part] !== null);
  const names = entriesOf(scores.train).map(([name]) => name);
  const label = { train: 'training', validation: 'validation', test: 'test' } as const;
  const head = names.map((name) => `<th scope="col">${SCORE_NAMES[name]}</th>`).join('');
  const lines = parts.map((part) => {
    const own = new Map(entriesOf(scores[part] as Scores));
    const cells = names.map((name) => `<td>${scoreText(name, own.get(name) ?? Number.NaN)}</td>`).join('');
    return `<tr><th scope="row">${label[part]}, ${rows[part]} rows</th>${cells}</tr>`;
  });
  return table('scores', 'Scores of the fit that was kept', `<th scope="col">Rows</th>${head}`, lines);
}

/** The kernel with its bandwidth. */
export const kernelText = ({ formula, bandwidth }: FitDocument['settings']): string =>
  bandwidth === null ? `${formula}, L of each leaf` : `${formula}, L = ${formatNumber(bandwidth)}`;

/** The ridge, and of a relative one what it is to the number of rows. */
function ridgeText({ settings: { ridge, ridgeForm }, rows, tree }: FitDocument): string {
  if (ridge === null) return ridgeForm === 'relative' ? 'of each leaf, relative to its rows' : 'of each leaf';
  return ridgeForm === 'relative' && tree === null
    ? `${formatNumber(ridge)}, ${formatNumber(ridge / rows.train)} times the number of training rows`
    : formatNumber(ridge);
}

const updateRows = ({ best, iterations, tree }: FitDocument): [string, string][] =>
  tree
    ? [['Tree', escapeHtml(routingText(tree))]]
    : [['Updates of M', `${best} of the fit that was kept, ${iterations.length - 1} made`]];

function settingsTable(document: FitDocument): string {
  const { settings, rows, features, classes, adapter, memory, seconds, version, config } = document;
  const counts = classes
    ? classes.names
        .map((name, c) => `${name}: ${classes.counts[c]}`)
        .slice(0, 12)
        .join(', ')
    : '';
  const entries: [string, string][] = [
    ['Table', escapeHtml(String(config.table))],
    ['Target', `${escapeHtml(String(config.target))}, ${document.task}`],
    ...(classes
      ? ([['Classes', `${classes.names.length} (${escapeHtml(counts)}${classes.names.length > 12 ? ', …' : ''})`]] as [
          string,
          string,
        ][])
      : []),
    ['Rows', `${rows.train} to learn from, ${rows.validation} to score by, ${rows.test} test rows`],
    ['Features', String(features.length)],
    ['Kernel', escapeHtml(kernelText(settings))],
    ['Ridge', ridgeText(document)],
    ['M', settings.metricForm],
    ...updateRows(document),
    ['Adapter', escapeHtml(adapterLabel(adapter))],
    ['Device memory', `${formatBytes(memory.peakBytes)} at most (predicted: ${formatBytes(memory.predictedBytes)})`],
    ['Total time', formatSeconds(seconds)],
    ['deep-rfm', escapeHtml(version)],
  ];
  return pairTable('settings', 'Settings and resources', entries);
}

const list = (items: readonly string[]): string =>
  `<ul>${items.map((item) => `<li>${escapeHtml(item)}</li>`).join('')}</ul>`;

function notesBox({ changes, notes }: FitDocument): string {
  const parts = [
    ...(notes.length > 0 ? [`<p><strong>Notes</strong></p>${list(notes)}`] : []),
    changes.length > 0
      ? `<p><strong>Columns that were dropped or changed</strong></p>${list(changes)}`
      : '<p>No column was dropped or changed.</p>',
  ];
  return `<div class="note${notes.length > 0 ? ' warn' : ''}" role="note">${parts.join('')}</div>`;
}

function eigenvectorTable({ eigenvectors }: FitDocument): string {
  const rows = eigenvectors.map(({ value, share, entries }, i) => {
    const names = entries.map(({ feature, weight }) => `${escapeHtml(feature)} (${formatNumber(weight)})`).join(', ');
    return `<tr><th scope="row">${i + 1}</th><td>${formatCell(value)}</td><td>${formatPercent(share)}</td><td class="text">${names}</td></tr>`;
  });
  return table(
    'eigenvalues',
    'Largest eigenvalues of M, and the features that count most in their vectors',
    '<th scope="col"></th><th scope="col">Eigenvalue</th><th scope="col">Share of the trace</th><th scope="col">Features (weight)</th>',
    rows,
  );
}

function iterationTable({ iterations, best }: FitDocument, score: ScoreName): string {
  const rows = iterations.map(({ iteration, bandwidth, train, validation, solve }) => {
    const own = (scores: Scores | null): string => scoreCell(scores, score);
    return `<tr><th scope="row">${iteration}${iteration === best ? ' (kept)' : ''}</th><td>${formatCell(bandwidth)}</td><td>${own(train)}</td><td>${own(validation)}</td><td>${formatCell(solve.relativeResidual)}</td></tr>`;
  });
  const name = SCORE_NAMES[score];
  return table(
    'fits',
    'The fits',
    `<th scope="col">Updates of M</th><th scope="col">Bandwidth</th><th scope="col">${name}, training</th><th scope="col">${name}, validation</th><th scope="col">Residual</th>`,
    rows,
  );
}

function searchSection({ trials, folds }: FitDocument, score: ScoreName): string {
  const parts: string[] = [];
  if (folds) {
    const rows = folds.map(({ fold, iteration, scores }) => {
      const cells = entriesOf(scores).map(([name, value]) => `<td>${scoreText(name, value)}</td>`);
      return `<tr><th scope="row">${fold}</th><td>${iteration}</td>${cells.join('')}</tr>`;
    });
    const means = entriesOf(meanScores(folds.map((fold) => fold.scores)));
    const cells = means.map(([name, value]) => `<td>${scoreText(name, value)}</td>`);
    rows.push(`<tr><th scope="row">mean</th><td></td>${cells.join('')}</tr>`);
    const heads = entriesOf(folds[0].scores).map(([name]) => `<th scope="col">${SCORE_NAMES[name]}</th>`);
    parts.push(
      table(
        'folds',
        'Held-out scores of each fold',
        `<th scope="col">Fold</th><th scope="col">Updates of M</th>${heads.join('')}`,
        rows,
      ),
    );
  }
  if (trials) {
    const sign = isGain(score) ? -1 : 1;
    const rank = (t: FitTrial): number => (t.score === null ? Number.POSITIVE_INFINITY : sign * t.score);
    const sorted = [...trials].sort((a, b) => rank(a) - rank(b));
    const rows = sorted
      .slice(0, 10)
      .map(
        (t) =>
          `<tr><th scope="row">${t.trial}</th><td class="text">${escapeHtml(t.kernel)}</td><td>${t.exponent === null ? '–' : formatNumber(t.exponent)}</td><td>${t.multiple === null ? '–' : formatNumber(t.multiple)}</td><td class="text">${t.metricForm}</td><td>${formatNumber(t.ridges.at(-1) ?? Number.NaN)}</td><td>${t.iteration}</td><td>${formatNumber(t.score ?? Number.NaN)}</td></tr>`,
      );
    parts.push(
      table(
        'trials',
        `The ten best of ${trials.length} trials; all are in trials.csv`,
        ['Trial', 'Kernel', 'Exponent', 'Bandwidth / median', 'M', 'Ridge', 'Updates of M', SCORE_NAMES[score]]
          .map((name) => `<th scope="col">${name}</th>`)
          .join(''),
        rows,
      ),
    );
  }
  return parts.length > 0 ? `<section><h2>Search and folds</h2>${parts.join('\n')}</section>` : '';
}

/** What a fit came to. Plain text. */
export function fitVerdict({ scores, rows, config, importances, best, tree, folds }: FitDocument): string {
  const part = scores.test ? 'test' : scores.validation ? 'validation' : 'train';
  // Scores of the rows that were learned from say little; those of folds are of rows that were held out.
  const held = part === 'train' && folds ? folds : null;
  const named = entriesOf(held ? meanScores(held.map((fold) => fold.scores)) : (scores[part] as Scores))
    .map(([name, value]) => `${SCORE_NAMES[name]} ${scoreText(name, value)}`)
    .join(', ');
  const own = part === 'train' ? `its own ${rows.train} training rows` : `${rows[part]} ${part} rows`;
  const where = held ? `rows that ${held.length} folds held out, in the mean` : own;
  const leading = importances.slice(0, 3).map(({ feature }) => feature);
  const updates = best === 0 ? 'No update of M improved it' : `M was updated ${best === 1 ? 'once' : `${best} times`}`;
  const metric = tree ? `A tree of ${tree.leaves.length} leaves, each with a machine of its own` : updates;
  return `${String(config.target)} on ${where}: ${named}. ${metric}; what counts most: ${leading.join(', ')}.`;
}

const IMPORTANCES =
  'How much the predictor changes with each feature, by the diagonal of M. Numbers were divided by their standard deviation before; features of categories are 0 or 1.';

/** The fits, or the tree and what its leaves are. */
function fitsSection(document: FitDocument, charts: FitCharts, score: ScoreName): string {
  const { tree } = document;
  if (tree === null) {
    return `<section><h2>Updates of M</h2>${figure(charts, 'curve', 'The dashed line is the fit that was kept.')}
${iterationTable(document, score)}</section>`;
  }
  return `<section><h2>Tree</h2>${treeTables(tree, score)}
${figure(charts, 'curve', 'A line for each leaf. The leaf keeps the fit with the best score.')}</section>`;
}

/** The report as one page that needs nothing else. */
export function renderFitPage(document: FitDocument, charts: FitCharts, score: ScoreName): string {
  const { tree } = document;
  const mean = tree ? ' M is the mean of the leaves, weighted by their training rows.' : '';
  const what = tree
    ? 'A tree of Recursive Feature Machines: rows are halved along what matters most until a machine takes them. A machine is kernel ridge regression whose metric M is the average gradient outer product of the fit before.'
    : 'A Recursive Feature Machine: kernel ridge regression whose metric M is the average gradient outer product of the fit before.';
  return pageDocument({
    title: `${String(document.config.target)} from ${String(document.config.table)}`,
    header: `${verdictBlock(escapeHtml(fitVerdict(document)))}
<p>${what}</p>`,
    main: `<section><h2>Scores</h2>${scoresTable(document)}</section>
${notesBox(document)}
<section><h2>Predictions</h2>${figure(charts, 'predictions', document.confusion ? 'Rows of each true class by the class that was predicted.' : 'On the dashed line predictions are the truth.')}</section>
<section><h2>Features</h2>${figure(charts, 'importances', `${IMPORTANCES}${mean}`)}
${eigenvectorTable(document)}</section>
${fitsSection(document, charts, score)}
${searchSection(document, score)}
<section><h2>Settings</h2>
${settingsTable(document)}</section>`,
    footer: `Made by deep-rfm ${escapeHtml(document.version)}. The numbers are in metrics.json beside this page.`,
  });
}
