/** Code that stands in documents: parts of files of the checkout, or whole files that are not in it. */

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Page, ROOT } from './markdown.js';

export interface CodeBlock {
  /** Page and line. */
  place: string;
  /** From the root of the checkout; undefined if the block names none. */
  file: string | undefined;
  text: string;
}

const CODE = new Set(['ts', 'js', 'mjs', 'wgsl']);

export const codeBlocks = (pages: readonly Page[]): CodeBlock[] =>
  pages.flatMap(({ path, fences }) =>
    fences
      .filter(({ language }) => CODE.has(language))
      .map(({ words, text, line }) => ({ place: `${path}:${line}`, file: words[0], text })),
  );

export const isQuote = ({ file }: CodeBlock): boolean => file !== undefined && existsSync(join(ROOT, file));

/** What is wrong with a block that quotes a file, or names none. */
export function quoteFault({ place, file, text }: CodeBlock): string | null {
  if (file === undefined) return `${place}: the block names no file`;
  const found = readFileSync(join(ROOT, file), 'utf8').includes(text);
  return found ? null : `${place}: this is not in ${file}`;
}

/** The checkout, by links, in a new folder in which the blocks are files. */
export function checkoutWith(blocks: readonly CodeBlock[]): string {
  const dir = mkdtempSync(join(tmpdir(), 'deep-rfm-docs-'));
  const folders = new Set(['.']);
  for (const { file } of blocks) {
    for (let folder = dirname(file!); folder !== '.'; folder = dirname(folder)) folders.add(folder);
  }
  for (const folder of [...folders].sort((a, b) => a.length - b.length)) {
    mkdirSync(join(dir, folder), { recursive: true });
    if (!existsSync(join(ROOT, folder))) continue;
    for (const name of readdirSync(join(ROOT, folder))) {
      if (!folders.has(join(folder, name))) symlinkSync(join(ROOT, folder, name), join(dir, folder, name));
    }
  }
  for (const { file, text } of blocks) writeFileSync(join(dir, file!), text);
  return dir;
}

/** What the type check says of the blocks in such a folder. */
export async function typeFaults(dir: string, blocks: readonly CodeBlock[]): Promise<string> {
  const files = blocks.flatMap(({ file }) => (file!.endsWith('.ts') ? [file!] : []));
  const project = join(dir, 'tsconfig.blocks.json');
  writeFileSync(
    project,
    JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), include: ['src/wgsl.d.ts', ...files] }),
  );
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  return promisify(execFile)(process.execPath, [tsc, '--noEmit', '-p', project], { cwd: dir }).then(
    () => '',
    (error: { stdout: string; message: string }) => error.stdout || error.message,
  );
}
