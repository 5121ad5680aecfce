/** The tree of a fit: what its splits and its leaves are. */

import type { ScoreName } from '../rfm/scores.js';
import type { Child } from '../rfm/tree.js';
import { SCORE_NAMES } from './fit-charts.js';
import type { FitTree } from './fit-document.js';
import { heads, scoreCell, table } from './fit-table.js';
import { escapeHtml, formatCell, formatNumber } from './format.js';

const childName = (child: Child): string => ('split' in child ? `split ${child.split + 1}` : `leaf ${child.leaf + 1}`);

/** How rows come to leaves, in words. */
export function routingText({ temperature, leaves, splits }: FitTree): string {
  const sizes = leaves.map(({ rows }) => rows);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const how =
    temperature === 0
      ? 'each row goes to one leaf'
      : `near a split both sides count, by a logistic of the distance over ${formatNumber(temperature)} interquartile ranges`;
  return `${leaves.length} leaves of ${least === most ? most : `${least} to ${most}`} rows, ${splits.length} split${splits.length === 1 ? '' : 's'}; ${how}`;
}

function splitTable({ splits }: FitTree): string {
  const rows = splits.map(({ rows, threshold, scale, left, right, entries }, k) => {
    const names = entries.map(({ feature, weight }) => `${escapeHtml(feature)} (${formatNumber(weight)})`).join(', ');
    return `<tr><th scope="row">${k + 1}</th><td>${rows}</td><td class="text">${names}</td><td>${formatCell(threshold)}</td><td>${formatCell(scale)}</td><td class="text">${childName(left)}</td><td class="text">${childName(right)}</td></tr>`;
  });
  return table(
    'splits',
    'Splits: rows whose projection on the direction is at most the median go left',
    heads('Split', 'Rows', 'Direction: features (weight)', 'Median', 'Interquartile range', 'Left', 'Right'),
    rows,
  );
}

function leafTable({ leaves }: FitTree, score: ScoreName): string {
  const rows = leaves.map(({ train, held, moved, best, bandwidth, ridge, iterations, importances }, k) => {
    const kept = iterations.find(({ iteration }) => iteration === best);
    const names = importances.slice(0, 3).map(({ feature }) => escapeHtml(feature));
    return `<tr><th scope="row">${k + 1}</th><td>${train}</td><td>${held + moved}</td><td>${best} of ${iterations.length - 1}</td><td>${formatCell(bandwidth)}</td><td>${formatCell(ridge)}</td><td>${scoreCell(kept?.train, score)}</td><td>${scoreCell(kept?.validation, score)}</td><td class="text">${names.join(', ')}</td></tr>`;
  });
  const name = SCORE_NAMES[score];
  return table(
    'leaves',
    'Leaves: each has a machine of its own',
    heads(
      'Leaf',
      'Rows',
      'Scored by',
      'Updates of M',
      'Bandwidth',
      'Ridge',
      `${name}, training`,
      `${name}, validation`,
      'What counts most',
    ),
    rows,
  );
}

function temperatureTable({ temperatures, temperature }: FitTree, score: ScoreName): string {
  if (temperatures.length === 0) return '';
  const rows = temperatures.map(
    (tried) =>
      `<tr><th scope="row">${tried.temperature === 0 ? '0: hard' : formatNumber(tried.temperature)}${tried.temperature === temperature ? ' (kept)' : ''}</th><td>${formatNumber(tried.score)}</td></tr>`,
  );
  return table(
    'temperatures',
    'Split temperatures that were tried, in interquartile ranges',
    heads('Temperature', `${SCORE_NAMES[score]}, validation`),
    rows,
  );
}

/** The tables of a tree. HTML. */
export const treeTables = (tree: FitTree, score: ScoreName): string =>
  `<p>${escapeHtml(routingText(tree))}.</p>
${splitTable(tree)}
${leafTable(tree, score)}
${temperatureTable(tree, score)}`;
