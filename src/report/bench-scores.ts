/** Scores of estimators in a benchmark: ours beside the peers', of the same held-out rows. */

import { isGain, type ScoreName } from '../rfm/scores.js';
import type { BenchDocument } from './bench-document.js';
import type { Table } from './text-table.js';

/** A score may be this share worse than a peer's and still count as the same. */
const SAME = 0.005;

const shown = (value: number): string => value.toPrecision(5);

/** Two decimals; what rounds to 0 has no sign. */
const perCent = (share: number): string => `${(Math.round(10_000 * share) / 100 + 0).toFixed(2)} %`;

/** How much better ours is, as a share of the peer's: above 0 where it is better. */
export const advantage = (name: string, ours: number, theirs: number): number =>
  ((isGain(name as ScoreName) ? 1 : -1) * (ours - theirs)) / Math.abs(theirs);

/** A row for each score and each peer that has it; without peers a row for each score. */
export function scoreTable({ results, peers }: BenchDocument): Table {
  const rows = results.flatMap(({ op, shape, variant, scores = {} }) => {
    const own = peers.filter((peer) => peer.op === op && peer.shape === shape);
    return Object.entries(scores).flatMap(([name, ours]) => {
      const start = [op, shape, variant, name];
      const others = own.filter((peer) => peer.scores?.[name] !== undefined);
      if (others.length === 0) return [[...start, '–', '–', shown(ours), '–', '–']];
      return others.map(({ name: peer, method, scores: found }) => {
        const theirs = found?.[name] ?? Number.NaN;
        const better = advantage(name, ours, theirs);
        const verdict = better >= -SAME ? '' : ', worse';
        return [...start, peer, method, shown(ours), shown(theirs), `${perCent(better)}${verdict}`];
      });
    });
  });
  return {
    header: ['op', 'shape', 'variant', 'score', 'peer', 'method', 'ours', "peer's", 'ours better by'],
    rows,
    left: 6,
  };
}

/** What the columns of `scoreTable` mean. */
export const READING_SCORES =
  'Scores of rows that no side fitted or chose by. ours better by: share of the score; worse: by more than 0.5 %.';
