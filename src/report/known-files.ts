/** Which files each command writes, and whose results a folder holds. */

import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { type FileNames, filesOf } from './publish.js';

export type Writer = 'run' | 'train' | 'layer' | 'rfm' | 'fit' | 'bench' | 'theory' | 'compare';

const figures = (...names: string[]): string[] => names.flatMap((name) => [`${name}.svg`, `${name}.png`]);

/** Of a profile of the command. */
export const TRACE = 'trace.json';

/** Of a command that can go on. */
export const CHECKPOINT = join('checkpoint', 'state.bin');

/** All names that a command may write, in its folder itself. */
export const KNOWN_FILES: Readonly<Record<Writer, FileNames>> = {
  run: [
    'metrics.json',
    'metrics.csv',
    'seeds.json',
    ...figures('nc1', 'nc2', 'kernel'),
    'report.html',
    'predictions.npy',
    /^gram-layer-\d{2,}\.png$/,
    TRACE,
  ],
  train: [
    'metrics.json',
    'metrics.csv',
    ...figures('nc1', 'nfa', 'variance', 'loss', 'singular-values'),
    'report.html',
    TRACE,
  ],
  layer: [
    'kernel_matrix.npy',
    'alpha.npy',
    'agop.npy',
    'agop_sqrt.npy',
    'agop_features.npy',
    'features.npy',
    'metrics.json',
    TRACE,
  ],
  rfm: [
    'M.npy',
    'alpha.npy',
    'predictions.npy',
    'M_iterations.npy',
    'predictions_iterations.npy',
    'metrics.json',
    ...figures('kernel'),
    'report.html',
    TRACE,
  ],
  fit: [
    'metrics.json',
    'summary.txt',
    ...figures('curve', 'importances', 'predictions'),
    'M.npy',
    'predictions.csv',
    'trials.csv',
    'report.html',
    TRACE,
  ],
  bench: ['bench.json', 'bench.md', ...figures('bench', 'scaling'), 'report.html'],
  theory: ['theory.json', ...figures('collapse', 'kernel')],
  compare: [
    'compare.json',
    'compare.csv',
    ...figures('nc1', 'nc2', 'accuracy', 'nfa', 'infinite-width'),
    'report.html',
  ],
};

/** Results found in a folder. `by` is null for a file that has the name of a result and is none of this program. */
export interface Finding {
  by: Writer | null;
  file: string;
}

const SCHEMAS: readonly [file: string, schema: RegExp, by: Writer][] = [
  ['metrics.json', /^deep-rfm\/metrics\//, 'run'],
  ['metrics.json', /^deep-rfm\/train\//, 'train'],
  ['metrics.json', /^deep-rfm\/layer\//, 'layer'],
  ['metrics.json', /^deep-rfm\/rfm\//, 'rfm'],
  ['metrics.json', /^deep-rfm\/fit\//, 'fit'],
  ['seeds.json', /^deep-rfm\/seeds\//, 'run'],
  ['bench.json', /^deep-rfm\/bench\//, 'bench'],
  ['theory.json', /^deep-rfm\/theory-/, 'theory'],
  ['compare.json', /^deep-rfm\/compare\//, 'compare'],
];

function schemaOf(path: string): string | null {
  try {
    const document: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof document === 'object' && document !== null && 'schema' in document) return String(document.schema);
  } catch {}
  return null;
}

/** The command whose checkpoint a folder holds; null for none, or one of no known command. */
export function writerOf(path: string): Writer | null {
  try {
    const file = openSync(path, 'r');
    try {
      const start = Buffer.alloc(64);
      readSync(file, start, 0, start.length, 0);
      const by = /^deep-rfm (run|train|fit) checkpoint /.exec(start.toString('latin1'))?.[1];
      return (by as Writer | undefined) ?? null;
    } finally {
      closeSync(file);
    }
  } catch {
    return null;
  }
}

/** What a folder holds of results. */
export function findingsIn(dir: string): Finding[] {
  const found: Finding[] = [];
  for (const file of new Set(SCHEMAS.map(([name]) => name))) {
    if (!existsSync(join(dir, file))) continue;
    const schema = schemaOf(join(dir, file)) ?? '';
    const known = SCHEMAS.find(([name, pattern]) => name === file && pattern.test(schema));
    found.push({ by: known?.[2] ?? null, file });
  }
  // Earlier versions wrote no document.
  if (!found.some(({ by }) => by === 'rfm') && ['M.npy', 'alpha.npy'].every((name) => existsSync(join(dir, name))))
    found.push({ by: 'rfm', file: 'M.npy' });
  const state = join(dir, CHECKPOINT);
  if (existsSync(state)) found.push({ by: writerOf(state), file: CHECKPOINT });
  return found;
}

/** Files of these commands in a folder that `mine` does not write itself. */
export function filesOfOthers(dir: string, others: readonly (Writer | null)[], mine: Writer): string[] {
  const own = new Set(filesOf(dir, KNOWN_FILES[mine]));
  const files = others.flatMap((by) => (by === null ? [] : filesOf(dir, KNOWN_FILES[by])));
  return [...new Set(files)].filter((name) => !own.has(name)).sort();
}
