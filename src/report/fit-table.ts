import type { ScoreName, Scores } from '../rfm/scores.js';
import { formatNumber, formatPercent } from './format.js';
import { tableBlock } from './page-shell.js';

/** A score as people read it. */
export const scoreText = (name: ScoreName, value: number): string =>
  name === 'accuracy' ? formatPercent(value) : formatNumber(value);

/** A score of several, as people read it; – where there are none. */
export const scoreCell = (scores: Scores | null | undefined, name: ScoreName): string =>
  scores ? scoreText(name, (scores as unknown as Record<string, number>)[name]) : '–';

/** So many updates of M, in words. */
export const updatesText = (count: number): string => `${count} update${count === 1 ? '' : 's'} of M`;

/** A table of the page. `name` is that of its file. */
export const table = (name: string, caption: string, head: string, rows: readonly string[]): string =>
  tableBlock(
    name,
    caption,
    `<table class="layers"><caption>${caption}</caption>
<thead><tr>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table>`,
  );

/** The heads of columns. */
export const heads = (...names: readonly string[]): string =>
  names.map((name) => `<th scope="col">${name}</th>`).join('');

/** The mean of each score over several. */
export function meanScores(all: readonly Scores[]): Scores {
  const names = Object.keys(all[0]);
  const value = (scores: Scores, name: string): number => (scores as unknown as Record<string, number>)[name];
  return Object.fromEntries(
    names.map((name) => [name, all.reduce((sum, scores) => sum + value(scores, name) / all.length, 0)]),
  ) as unknown as Scores;
}
