// The package's library: src/platform/{node,browser}/index.ts and the entries beside them -> dist/lib, with shaders inlined,
// and their declarations -> dist/types. `npm pack` runs it with `--all`, so that the command line is as new.

import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build as buildProgram, ROOT } from './build.mjs';
import { isMain } from './is-main.mjs';
import { sampleDigits } from './sample-digits.mjs';
import { wgslPlugin } from './wgsl.mjs';

const ENTRIES = {
  node: 'src/platform/node/index.ts',
  browser: 'src/platform/browser/index.ts',
  ops: 'src/ops/index.ts',
  runtime: 'src/runtime/index.ts',
  nn: 'src/nn/index.ts',
  digits: 'src/api/digits.ts',
};

/** `import pixels from 'mnist-digits:200'`. */
const digitsPlugin = (root) => ({
  name: 'mnist-digits',
  setup(build) {
    build.onResolve({ filter: /^mnist-digits:\d+$/ }, ({ path }) => ({ path, namespace: 'mnist-digits' }));
    build.onLoad({ filter: /./, namespace: 'mnist-digits' }, ({ path }) => ({
      contents: sampleDigits(root, 0, Number(path.split(':')[1])).toString('base64'),
      loader: 'text',
    }));
  },
});

/** Output files that an output file needs, itself included. */
function reachable(outputs, file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  for (const { path, external } of outputs[file].imports) if (!external) reachable(outputs, path, found);
  return found;
}

/** Throws if what a browser loads imports a module of Node, or Dawn. */
function checkBrowser({ outputs }) {
  for (const file of reachable(outputs, 'dist/lib/browser.js')) {
    const foreign = outputs[file].imports.find(({ path, external }) => external && /^(node:|webgpu$)/.test(path));
    if (foreign) throw new Error(`${file}, which browsers load, imports ${foreign.path}`);
  }
}

/** Builds dist/lib and dist/types; throws an Error whose message is one line. What is wrong is on stderr. */
export async function buildLibrary(root = ROOT) {
  const esbuild = await import('esbuild');
  for (const folder of ['lib', 'types']) rmSync(join(root, 'dist', folder), { recursive: true, force: true });
  const { metafile } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: ENTRIES,
    outdir: join(root, 'dist', 'lib'),
    bundle: true,
    // What the entries share is there once, so that an error or a kernel is the same whichever it came from.
    splitting: true,
    chunkNames: 'chunks/[hash]',
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    packages: 'external',
    external: ['node:*'],
    plugins: [wgslPlugin, digitsPlugin(root)],
    metafile: true,
    logLevel: 'warning',
  });
  checkBrowser(metafile);
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!existsSync(tsc)) throw new Error('typescript is not installed: run `npm run setup`');
  const types = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.types.json'], { cwd: root, stdio: ['ignore', 2, 2] });
  if (types.status !== 0) throw new Error('the declarations could not be made (tsc says why above)');
}

if (isMain(import.meta.url)) {
  try {
    if (process.argv.includes('--all')) await buildProgram();
    await buildLibrary();
    process.stderr.write('build: wrote dist/lib and dist/types\n');
  } catch (error) {
    process.stderr.write(`build: ${error.message}\n`);
    process.exitCode = 1;
  }
}
