/** Enough of Markdown to check what the documents say against the program. */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export interface Fence {
  language: string;
  /** Words after the language: `run`, or the file that a block quotes. */
  words: readonly string[];
  text: string;
  line: number;
}

export interface Table {
  header: readonly string[];
  rows: readonly (readonly string[])[];
}

export interface Page {
  /** From the root of the checkout. */
  path: string;
  text: string;
  /** The lines outside fences; those of fences are empty. */
  prose: readonly string[];
  fences: readonly Fence[];
}

function split(path: string, text: string): Pick<Page, 'prose' | 'fences'> {
  const prose: string[] = [];
  const fences: Fence[] = [];
  let open: Fence | null = null;
  for (const [at, line] of text.split('\n').entries()) {
    const fence = /^\s*```([^`]*)$/.exec(line);
    if (fence && open === null) {
      const [language, ...words] = fence[1].trim().split(/\s+/);
      open = { language, words, text: '', line: at + 1 };
    } else if (fence && open !== null) {
      fences.push(open);
      open = null;
    } else if (open !== null) open.text += `${line}\n`;
    prose.push(fence || open ? '' : line);
  }
  if (open !== null) throw new Error(`${path}:${open.line}: the block has no end`);
  return { prose, fences };
}

/** Every page that people wrote: at the root, below docs/, and the one of bench/. docs/api is generated. */
export function pages(): Page[] {
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => !name.startsWith('api/'))
    .map((name) => `docs/${name}`);
  return [...readdirSync(ROOT), ...docs, 'bench/README.md']
    .filter((path) => path.endsWith('.md'))
    .sort()
    .map((path) => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      return { path, text, ...split(path, text) };
    });
}

/** Text between backticks, with the line it begins on. */
export function codeSpans({ prose }: Page): { code: string; line: number }[] {
  return [...prose.join('\n').matchAll(/(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)/g)].map((match) => ({
    code: match[2].replace(/\s*\n\s*/g, ' ').trim(),
    line: match.input.slice(0, match.index).split('\n').length,
  }));
}

/** The text without what stands between backticks. */
export const plainProse = ({ prose }: Page): string => prose.join('\n').replace(/(`+)[^`][\s\S]*?\1/g, '');

export function links({ prose }: Page): { target: string; line: number }[] {
  return prose.flatMap((text, at) =>
    [...text.matchAll(/\]\(([^()\s]+)\)/g)].map(([, target]) => ({ target, line: at + 1 })),
  );
}

/** What a heading is reached by: lower case, no punctuation, hyphens for blanks. */
export const anchors = ({ prose }: Page): Set<string> =>
  new Set(
    prose.flatMap((line) => {
      const [, heading] = /^#{1,6} (.*)$/.exec(line) ?? [];
      if (heading === undefined) return [];
      const words = heading.toLowerCase().replace(/[^\p{L}\p{N}\p{M} _-]/gu, '');
      return [words.trim().replaceAll(' ', '-')];
    }),
  );

const cells = (line: string): string[] =>
  line
    .replace(/^\s*\|/, '')
    .replace(/\|\s*$/, '')
    .split('|')
    .map((cell) => cell.trim());

export function tables({ prose }: Page): Table[] {
  const found: Table[] = [];
  for (let at = 1; at < prose.length; at++) {
    if (!/^\s*\|[ :|-]+\|\s*$/.test(prose[at])) continue;
    const end = prose.findIndex((line, i) => i > at && !line.trimStart().startsWith('|'));
    found.push({
      header: cells(prose[at - 1]),
      rows: prose.slice(at + 1, end < 0 ? undefined : end).map(cells),
    });
  }
  return found;
}
