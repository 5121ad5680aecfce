// `npm run docs`: the reference of the library, from the docstrings, as Markdown in docs/api. Extra arguments go to TypeDoc.
//
// TypeDoc has packages of its own in scripts/docs: it needs TypeScript's JavaScript API, which ended with TypeScript 6,
// while the sources are checked by TypeScript 7.

import { join } from 'node:path';
import { ROOT } from './build.mjs';
import { npm } from './npm.mjs';
import { packagesNeeded } from './packages.mjs';
import { endLike, runChild } from './run-child.mjs';

const FOLDER = join(ROOT, 'scripts', 'docs');

/** Whether TypeDoc is there; says why not. */
function installed() {
  const needed = packagesNeeded(FOLDER);
  if (!needed) return true;
  process.stderr.write(`docs: installing TypeDoc in scripts/docs: ${needed}\n`);
  const { ok, output } = npm(['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: FOLDER });
  if (!ok) process.stderr.write(`docs: npm ci failed in scripts/docs: ${output.replace(/\s*\n\s*/g, '; ')}\n`);
  return ok;
}

if (installed()) {
  const typedoc = join(FOLDER, 'node_modules', 'typedoc', 'bin', 'typedoc');
  const options = join(FOLDER, 'typedoc.json');
  endLike(
    await runChild(process.execPath, [typedoc, '--options', options, ...process.argv.slice(2)], {
      cwd: ROOT,
      parent: 'docs',
    }),
  );
} else process.exitCode = 1;
