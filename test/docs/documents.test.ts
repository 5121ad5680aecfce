import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { runInNewContext } from 'node:vm';
import { afterAll, describe, expect, it } from 'vitest';
import { clusters, deepRfmHere, workFolder, writeArrays } from '../cli/program.js';
import { checkoutWith, codeBlocks, isQuote, quoteFault, typeFaults } from './blocks.js';
import { anchors, codeSpans, links, type Page, pages, plainProse, ROOT, tables } from './markdown.js';
import { accept, argumentsOf, commandsOf, flagsByCommand, helpOf } from './shell.js';

const PAGES = pages();
const { version, scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  scripts: Record<string, string>;
};
const FLAGS = flagsByCommand();
const ALL_FLAGS = new Set([...FLAGS.values()].flatMap((flags) => [...flags]));
/** What it says about the past may no longer hold. */
const PRESENT = PAGES.filter(({ path }) => path !== 'CHANGELOG.md');

/** What `found` complains about, with the page and line. */
const complaints = (
  checked: readonly Page[],
  found: (page: Page) => Iterable<[line: number, fault: string]>,
): string[] => checked.flatMap((page) => [...found(page)].map(([line, fault]) => `${page.path}:${line}: ${fault}`));

/** What a call throws; null if nothing. */
function faultOf(call: () => void): string | null {
  try {
    call();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

it('the README has at most 150 lines', () => {
  const { text } = PAGES.find(({ path }) => path === 'README.md')!;
  expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(150);
});

describe('command lines', () => {
  it('the program takes those in blocks, and npm has their scripts', () => {
    let seen = 0;
    const found = complaints(PRESENT, function* ({ fences }) {
      for (const { text, line } of fences.filter(({ language }) => language === 'sh')) {
        for (const command of commandsOf(text)) {
          const args = argumentsOf(command);
          const fault = args && faultOf(() => accept(args));
          if (fault) yield [line, `${command.join(' ')}: ${fault}`];
          if (args) seen++;
          const [tool, verb, script] = command.filter((word) => !/^\w+=/.test(word));
          const name = verb === 'run' ? script : verb;
          const own = tool === 'npm' && (verb === 'run' || verb === 'test');
          if (own && !scripts[name]) yield [line, `package.json has no script ${name}`];
        }
      }
    });
    expect(found).toEqual([]);
    expect(seen).toBeGreaterThan(20);
  });

  it('the program takes those of its help', () => {
    const faults = [undefined, ...FLAGS.keys()].flatMap((name) => {
      const examples = helpOf(name)
        .replace(/\\\n\s*/g, ' ')
        .matchAll(/^ {2}\$ (.*)$/gm);
      return [...examples].flatMap(([, example]) => {
        const args = argumentsOf(commandsOf(example)[0]);
        const fault = args ? faultOf(() => accept(args)) : 'is not of this program';
        return fault ? [`${example}: ${fault}`] : [];
      });
    });
    expect(faults).toEqual([]);
  });

  it('flags in the text are those of the program, and of the command before them', () => {
    const found = complaints(PRESENT, function* (page) {
      for (const { code, line } of codeSpans(page)) {
        const [first, second = '…'] = code.replace(/^npx /, '').split(' ');
        const command = first === 'deep-rfm' ? second : first;
        const known = first.startsWith('--') ? ALL_FLAGS : FLAGS.get(command);
        if (first === 'deep-rfm' && !known && !/^[<.…]/.test(second)) yield [line, `there is no command ${second}`];
        for (const [flag] of known ? code.matchAll(/--[a-z][a-z0-9-]*/g) : []) {
          if (!known!.has(flag)) yield [line, `${code}: there is no flag ${flag}`];
        }
      }
      const [bare] = /(?<=\s)--[a-z][a-z0-9-]*/.exec(plainProse(page)) ?? [];
      if (bare) yield [0, `${bare} stands outside of backticks, where nothing checks it`];
    });
    expect(found).toEqual([]);
  });

  it('commands and flags in the text of the bundle are those of the program', () => {
    const text = readFileSync(join(ROOT, 'scripts', 'bundle', 'README.txt'), 'utf8');
    const found = [...text.matchAll(/\.\/deep-rfm( [a-z]+)?(.*)$/gm)];
    expect(found.length).toBeGreaterThan(3);
    for (const [line, command = '', rest] of found) {
      const known = command === '' ? ALL_FLAGS : FLAGS.get(command.trim());
      for (const [flag] of rest.matchAll(/--[a-z][a-z0-9-]*/g)) expect(known?.has(flag), line).toBe(true);
      expect(known, line).toBeDefined();
    }
  });

  it('every command stands in the table of the README, every script on some page', () => {
    const { text } = PAGES.find(({ path }) => path === 'README.md')!;
    for (const command of FLAGS.keys()) expect(text).toContain(`| \`${command}\` |`);
    const all = PAGES.map((page) => page.text).join('\n');
    // npm runs those that begin so by itself.
    const called = Object.keys(scripts).filter((name) => !/^(pre|post)/.test(name));
    const missing = called.filter((name) => !new RegExp(`npm (run )?${name}\\b`).test(all));
    expect(missing).toEqual([]);
  });
});

/** Names of files below a folder, from the root. */
const below = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map(
    (name) => `${folder}/${name.replaceAll('\\', '/')}`,
  );

describe('what pages point to', () => {
  it('links lead to files and headings that exist', () => {
    const found = complaints(PAGES, function* (page) {
      for (const { target, line } of links(page)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [file, anchor] = target.split('#');
        const path = file === '' ? page.path : normalize(join(dirname(page.path), file)).replaceAll('\\', '/');
        if (!existsSync(join(ROOT, path))) yield [line, `${target}: there is no ${path}`];
        else if (anchor !== undefined) {
          const to = PAGES.find((other) => other.path === path);
          if (!to || !anchors(to).has(anchor)) yield [line, `${target}: ${path} has no heading ${anchor}`];
        }
      }
    });
    expect(found).toEqual([]);
  });

  it('every page is reached from the README', () => {
    const reached = new Set(['README.md']);
    for (const path of reached) {
      const page = PAGES.find((candidate) => candidate.path === path);
      for (const { target } of page ? links(page) : []) {
        if (target.includes('.md'))
          reached.add(normalize(join(dirname(path), target.split('#')[0])).replaceAll('\\', '/'));
      }
    }
    expect(PAGES.map(({ path }) => path).filter((path) => !reached.has(path))).toEqual([]);
  });

  it('files named in the text exist', () => {
    const found = complaints(PRESENT, function* (page) {
      for (const { code, line } of codeSpans(page)) {
        const named = /^(src|shaders|test|bench|scripts|docs|findings|examples|bin)\/(?!api\/)[\w./-]*$/.test(code);
        if (named && !existsSync(join(ROOT, code))) yield [line, `there is no ${code}`];
      }
    });
    expect(found).toEqual([]);
  });

  it('functions and shaders named in tables exist', () => {
    const sources = below('src').filter((path) => path.endsWith('.ts'));
    const source = sources.map((path) => readFileSync(join(ROOT, path), 'utf8')).join('\n');
    const shaders = below('shaders').map((path) => path.split('/').at(-1)!);
    const exists = {
      function: (name: string) => new RegExp(`export (async )?(function|const) ${name}\\b`).test(source),
      shaders: (name: string) => {
        const pattern = new RegExp(`^${name.replace('*', '.*')}.wgsl$`);
        return shaders.some((shader) => pattern.test(shader));
      },
    };
    let seen = 0;
    const found = complaints(PRESENT, function* (page) {
      for (const { header, rows } of tables(page)) {
        for (const [column, title] of header.entries()) {
          const [kind] = title.split(' ');
          if (kind !== 'function' && kind !== 'shaders') continue;
          for (const [, name] of rows.flatMap((row) => [...row[column].matchAll(/`([\w*]+)`/g)])) {
            seen++;
            if (!exists[kind](name)) yield [0, `there is no ${kind} ${name}`];
          }
        }
      }
    });
    expect(found).toEqual([]);
    expect(seen).toBeGreaterThan(30);
  });

  it('versions in the text are that of the program', () => {
    const found = complaints(PRESENT, function* ({ text }) {
      for (const [, named] of text.matchAll(/(?:deep-rfm-|"version": ")(\d+\.\d+\.\d+)/g)) {
        if (named !== version) yield [0, `${named} is not ${version}`];
      }
    });
    expect(found).toEqual([]);
  });
});

/** Paths of all values in a document; of an array those of its first element. */
function* paths(value: unknown, path = ''): Generator<string> {
  if (Array.isArray(value)) yield* paths(value[0], `${path}[]`);
  else if (value !== null && typeof value === 'object') {
    for (const [key, inner] of Object.entries(value)) yield* paths(inner, `${path}.${key}`);
  } else yield path;
}

describe('blocks of commands that are marked as cheap', () => {
  const cwd = workFolder();
  const { x, labels, y } = clusters(60, 6, 2);
  writeArrays(cwd, { X: [[60, 6], x], Y: [[60, 2], y], T: [[6, 6], x.slice(0, 36)], labels: [[60], labels] });

  const blocks = PAGES.flatMap(({ path, fences }) =>
    fences.filter(({ words }) => words.includes('run')).map(({ text, line }) => ({ place: `${path}:${line}`, text })),
  );
  it('there are some', () => expect(blocks.length).toBeGreaterThan(1));

  it.each(blocks)('$place runs', async ({ text }) => {
    for (const command of commandsOf(text)) {
      const { code, stderr } = await deepRfmHere(argumentsOf(command)!, { cwd });
      expect(code, `${command.join(' ')}: ${stderr.at(-1)}`).toBe(0);
    }
  });

  it('metrics.json has the fields that the guide shows', () => {
    const shown = PAGES.flatMap(({ fences }) => fences).find(({ language }) => language === 'jsonc')!;
    const made: unknown = JSON.parse(readFileSync(join(cwd, 'results', 'small', 'metrics.json'), 'utf8'));
    const there = new Set(paths(made));
    const said: unknown = runInNewContext(`(${shown.text})`);
    expect([...paths(said)].filter((path) => !there.has(path))).toEqual([]);
  });
});

describe('code in documents', async () => {
  const blocks = codeBlocks(PRESENT);
  const made = blocks.filter((block) => block.file !== undefined && !isQuote(block));
  const dir = checkoutWith(made);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('is in the file that it quotes', () => {
    const faults = blocks.filter((block) => !made.includes(block)).map(quoteFault);
    expect(faults.filter((fault) => fault !== null)).toEqual([]);
  });

  it('passes the type check in its place', async () => expect(await typeFaults(dir, made)).toBe(''));

  // The tests among them are declared, and so run, here.
  for (const { file } of made.filter((block) => block.file!.endsWith('.test.ts'))) await import(join(dir, file!));
});
