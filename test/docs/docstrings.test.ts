import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from './markdown.js';

/** The entry points whose reference `npm run docs` writes. */
const { entryPoints } = JSON.parse(readFileSync(join(ROOT, 'scripts', 'docs', 'typedoc.json'), 'utf8')) as {
  entryPoints: string[];
};
const ENTRIES = entryPoints.map((path) => normalize(join('scripts', 'docs', path)).replaceAll('\\', '/'));

interface Exported {
  name: string;
  file: string;
  docstring: string;
  /** The declaration up to its end. */
  text: string;
}

const DOCSTRING = String.raw`(?:/\*\*((?:(?!\*/)[\s\S])*)\*/\s*\n)?`;

function declaration(file: string, name: string): Exported {
  const source = readFileSync(join(ROOT, file), 'utf8');
  const found = new RegExp(`${DOCSTRING}^export (?:async )?(?:function\\*?|const|class) ${name}\\b`, 'm').exec(source);
  if (!found) throw new Error(`${file} does not declare ${name}`);
  const [all, docstring = ''] = found;
  const text = source.slice(found.index + all.search(/^export/m));
  // A block ends at its closing brace in the first column; an expression before whatever begins there next.
  const end = text.search(/^export const/.test(text) ? /;\n(?=\n|[^\s}\])])/ : /^\}/m);
  return { name, file, docstring, text: end < 0 ? text : text.slice(0, end) };
}

/** Values that a module exports, from wherever they are declared; types are left out. */
function exportsOf(file: string): Exported[] {
  const source = readFileSync(join(ROOT, file), 'utf8');
  const target = (from: string): string => join(dirname(file), from.replace(/\.js$/, '.ts')).replaceAll('\\', '/');
  const passedOn = [...source.matchAll(/^export \{([^}]*)\} from '([^']+)';$/gm)].flatMap(([, names, from]) =>
    names
      .split(',')
      .map((name) => name.trim().split(' as ')[0])
      .filter((name) => name !== '' && !name.startsWith('type '))
      .map((name) => declaration(target(from), name)),
  );
  const all = [...source.matchAll(/^export \* from '([^']+)';$/gm)].flatMap(([, from]) => exportsOf(target(from)));
  const own = [...source.matchAll(/^export (?:async )?(?:function\*?|const|class) (\w+)/gm)].map(([, name]) =>
    declaration(file, name),
  );
  return [...passedOn, ...all, ...own];
}

/** Types whose values have a shape. */
const SHAPED = /\b(Matrix|View|Values|Numbers|Float(32|64)Array|Rows|Columns)\b/;
/** A shape, in the words that docstrings have for it. */
const SHAPE = /×|\brows?\b|\bnumbers?\b|\bentry\b|\bentries\b|\bmatri(x|ces)\b|\bblock\b/i;

/** What its docstring lacks. */
function* faults({ file, name, docstring, text }: Exported): Generator<string> {
  const [signature] = text.split(/\{\n|=>/);
  if (docstring.replace(/[\s*]/g, '') === '') yield `${file}: ${name} has no docstring`;
  else if (/^[^=]*\(|=.*\(/.test(signature) && SHAPED.test(signature) && !SHAPE.test(docstring)) {
    yield `${file}: ${name} takes or gives arrays, but its docstring has no shapes`;
  }
  if (/\bthrow /.test(text) && !/@throws|Errors?:/.test(docstring)) {
    yield `${file}: ${name} throws, but its docstring has no errors (@throws)`;
  }
}

it.each(ENTRIES)('what %s exports has docstrings, with shapes and errors', (entry) => {
  const exported = exportsOf(entry);
  expect(exported.length).toBeGreaterThan(0);
  expect(exported.flatMap((value) => [...faults(value)])).toEqual([]);
});
