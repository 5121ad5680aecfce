import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KNOWN_FILES } from '../../src/report/known-files.js';
import { codeSpans, type Page, pages, ROOT, tables } from './markdown.js';

const page = (path: string): Page => pages().find((found) => found.path === path)!;

/** Texts of the program with … for what is filled in. */
const sources = ['src', 'scripts', 'bin'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|mjs)$/.test(name))
    .map((name) => readFileSync(join(ROOT, folder, name), 'utf8')),
);

/** Whether some source has the parts of a message in this order, a few lines from the first to the last. */
function isSaid(message: string): boolean {
  const parts = message
    .split('…')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const pattern = parts.map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('[^]{1,300}?');
  return sources.some((text) => new RegExp(pattern).test(text));
}

describe('troubleshooting', () => {
  const rows = tables(page('docs/troubleshooting.md')).filter(({ header }) => header[0] === 'message');
  const messages = rows.flatMap((table) => table.rows.map(([message]) => message.replace(/^`(.*)`$/, '$1')));

  it('quotes messages that the program has', () => {
    expect(messages.length).toBeGreaterThan(30);
    expect(messages.filter((message) => !isSaid(message))).toEqual([]);
    expect(isSaid('the residual of the moon is')).toBe(false);
  });

  it('quotes enough of each to tell it by', () => {
    expect(messages.filter((message) => message.replaceAll('…', '').trim().length < 8)).toEqual([]);
    expect(new Set(messages).size).toBe(messages.length);
  });
});

it('every figure that a command draws has its reading', () => {
  const told = new Set([...codeSpans(page('docs/figures.md'))].map(({ code }) => code));
  const drawn = Object.values(KNOWN_FILES).flatMap((names) =>
    names.filter((name): name is string => typeof name === 'string' && name.endsWith('.svg')),
  );
  expect(drawn.length).toBeGreaterThan(10);
  expect(drawn.filter((name) => !told.has(name))).toEqual([]);
  expect(told).toContain('gram-layer-NN.png');
});
