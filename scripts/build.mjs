// The command line as one file: src/cli/main.ts -> dist/deep-rfm.cjs, with the packages that it uses: a command looks for one
// file and not for hundreds. scripts/program.mjs starts it.

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMain } from './is-main.mjs';
import { pageScriptPlugin } from './page-script.mjs';
import { wgslPlugin } from './wgsl.mjs';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const INPUTS = [
  ...['src', 'bench', 'shaders', 'web/report', 'package.json', 'tsconfig.json'],
  ...['scripts/build.mjs', 'scripts/page-script.mjs', 'scripts/wgsl.mjs'],
];
const entry = (root) => join(root, 'src', 'cli', 'main.ts');
export const output = (root) => join(root, 'dist', 'deep-rfm.cjs');

/** The latest change below a path. Folders count: deleting or renaming a file changes only them. */
function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path).reduce((latest, name) => Math.max(latest, newest(join(path, name))), stat.mtimeMs);
}

/** Why a build is needed, or null. */
export function buildNeeded(root = ROOT) {
  const built = statSync(output(root), { throwIfNoEntry: false });
  if (!built) return 'dist/deep-rfm.cjs is missing';
  const changed = INPUTS.find((input) => newest(join(root, input)) > built.mtimeMs);
  return changed ? `${changed} changed since dist/deep-rfm.cjs was built` : null;
}

/** Binaries, files that are read at run time, and what not everybody has installed. */
const OUTSIDE = ['webgpu', '@resvg/resvg-js', 'mnist', 'dejavu-fonts-ttf', 'bullmq', 'ioredis'];

/** How esbuild compiles the sources for Node, the program and, in a bundle, tests. */
export const compileOptions = (root) => ({
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  plugins: [wgslPlugin, pageScriptPlugin],
  logLevel: 'warning',
});

/**
 * Compiles the program to the text of a function of what scripts/program.mjs hands to it; returns esbuild's result, with files
 * that are not yet written. A script and not a module, since Node keeps no code of a module for its caller, and without
 * `import()`, which in a script is an experimental option of Node.
 */
export async function compileProgram(root, { outfile = output(root), external = OUTSIDE, ...more } = {}) {
  const esbuild = await import('esbuild').catch(() => {
    throw new Error('esbuild is not installed: run `npm run setup`');
  });
  const result = await esbuild.build({
    ...compileOptions(root),
    entryPoints: [entry(root)],
    format: 'cjs',
    // The one for Node waits, in a module, for a package that nothing here needs: pictures are drawn as SVG.
    alias: { 'vega-canvas': join(root, 'node_modules', 'vega-canvas', 'build', 'vega-canvas.browser.js') },
    define: { 'import.meta.url': 'programUrl' },
    banner: { js: '(function (require, importPackage, programUrl) {' },
    footer: { js: '})' },
    ...{ outfile, external },
    ...more,
    write: false,
  });
  const program = result.outputFiles.find(({ path }) => path === outfile);
  program.contents = Buffer.from(program.text.replace(/\bimport(?=\("[^"]+"\))/g, 'importPackage'));
  return result;
}

/** Builds; throws an Error whose message is one line. esbuild's own messages go to stderr. */
export async function build(root = ROOT) {
  if (!existsSync(entry(root)))
    throw new Error(`${entry(root)} is missing: the checkout is incomplete, fetch it again`);
  const started = new Date();
  const target = output(root);
  const result = await compileProgram(root, { sourcemap: 'linked' }).catch((error) => {
    if (!error.errors) throw error;
    throw new Error('the build failed (esbuild says why above): correct the sources and run `npm run build`');
  });
  mkdirSync(dirname(target), { recursive: true });
  // Whole files appear at once, so that a command started meanwhile never reads half a bundle; the map goes first.
  for (const file of result.outputFiles.sort((a, b) => b.path.length - a.path.length)) {
    const part = `${file.path}.${process.pid}.tmp`;
    try {
      writeFileSync(part, file.contents);
      // As old as the build's start: what is edited while it runs counts as newer.
      utimesSync(part, started, started);
      renameSync(part, file.path);
    } finally {
      rmSync(part, { force: true });
    }
  }
}

if (isMain(import.meta.url)) {
  try {
    await build();
    process.stderr.write('build: wrote dist/deep-rfm.cjs\n');
  } catch (error) {
    process.stderr.write(`build: ${error.message}\n`);
    process.exitCode = 1;
  }
}
