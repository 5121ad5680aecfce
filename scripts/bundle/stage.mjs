// Lays out the folder that becomes a bundle: Node, Dawn, the compiled program and tests, and what they read.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { compileOptions, compileProgram } from '../build.mjs';
import { bindOlder, compareVersions, highest, readElf, versionOf } from './elf.mjs';
import { collectLicenses } from './licenses.mjs';

/** The oldest system that a bundle runs on; the libraries that such a system has. */
export const SYSTEM = {
  glibc: '2.34',
  libstdcxx: '3.4.29', // GCC 11, which the distributions with glibc 2.34 have
  libraries: /^(ld-linux-x86-64\.so\.2|lib(c|m|dl|pthread|rt|gcc_s)\.so\.\d+|libstdc\+\+\.so\.6)$/,
};

/** Tests of what runs on the adapter; those of the command line and of setup need a checkout. */
const TEST_FOLDERS = ['ops', 'rfm', 'runtime', 'nn', 'kernels'];

/** Read as files at run time, so that they lie in node_modules; everything else is compiled in. */
const PACKAGES = [
  { name: 'webgpu', files: ['package.json', 'index.js', 'dist/linux-x64/dawn.node'] },
  { name: '@resvg/resvg-js', files: ['package.json', 'index.js', 'js-binding.js'] },
  { name: '@resvg/resvg-js-linux-x64-gnu', files: ['package.json', 'resvgjs.linux-x64-gnu.node'] },
  { name: 'mnist', files: ['package.json', ...Array.from({ length: 10 }, (_, digit) => `src/digits/${digit}.json`)] },
  { name: 'dejavu-fonts-ttf', files: ['package.json', 'ttf/DejaVuSans.ttf', 'ttf/DejaVuSans-Bold.ttf'] },
];

/** Scripts of the checkout that the bundle's own start scripts use. */
const SCRIPTS = [
  'adapter-env.mjs',
  'choose-adapter.mjs',
  'is-main.mjs',
  'dawn-noise.mjs',
  'launch.mjs',
  'leftovers.mjs',
  'probe-adapter.mjs',
  'program.mjs',
  'run-child.mjs',
  'test-counts.mjs',
  'bundle/carried.mjs',
  'bundle/kernel-tests.mjs',
  'bundle/start.mjs',
];

const starter = (script) => `#!/bin/sh
# Works from any folder and through links; needs nothing but a shell and readlink.
here=$(dirname "$(readlink -f "$0")") || exit 1
exec "$here/bin/node" "$here/scripts/bundle/${script}" "$@"
`;

function filesBelow(root, folder = '') {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesBelow(root, path) : [path];
    })
    .sort();
}

export const testFilesOf = (root) =>
  TEST_FOLDERS.filter((folder) => existsSync(join(root, 'test', folder))).flatMap((folder) =>
    filesBelow(join(root, 'test'), folder).filter((name) => name.endsWith('.test.ts')),
  );

/** Packages written for CommonJS ask for Node's modules by `require`, which an ES module has to make. */
const BANNER =
  "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);";

/**
 * Compiles test files ({name relative to test/ without ".ts": path}) and the program that runs one of them into
 * out/test. What they share lies in out/test/chunks, one folder deep like the sources, so that paths relative to a
 * module hold. Returns esbuild's metafile.
 */
export async function compileTests(root, out, entries) {
  const { build } = await import('esbuild');
  const result = await build({
    ...compileOptions(root),
    entryPoints: { ...entries, 'run-test-file': join(root, 'scripts', 'bundle', 'run-test-file.mjs') },
    outdir: join(out, 'test'),
    chunkNames: 'chunks/[hash]',
    format: 'esm',
    banner: { js: BANNER },
    splitting: true,
    external: PACKAGES.map(({ name }) => name),
    alias: { vitest: join(root, 'scripts', 'bundle', 'vitest.mjs') },
    metafile: true,
  });
  return result.metafile;
}

async function writeProgram(root, out) {
  const external = PACKAGES.map(({ name }) => name);
  const outfile = join(out, 'dist', 'deep-rfm.cjs');
  const { metafile, outputFiles } = await compileProgram(root, { outfile, external, metafile: true });
  mkdirSync(join(out, 'dist'), { recursive: true });
  for (const { path, contents } of outputFiles) writeFileSync(path, contents);
  return metafile;
}

/** Removes symbol tables where binutils is installed: a tenth of the unpacked size. Returns whether it could. */
function strip(file, flag) {
  return spawnSync('strip', [flag, file], { stdio: 'ignore' }).status === 0;
}

/** Throws if a carried ELF file needs more than SYSTEM has. */
export function checkNeeds(name, bytes) {
  const elf = readElf(bytes);
  for (const [family, limit] of [
    ['GLIBC', SYSTEM.glibc],
    ['GLIBCXX', SYSTEM.libstdcxx],
  ]) {
    const needed = highest(elf, family);
    if (needed && compareVersions(versionOf(`X_${needed}`, 'X'), versionOf(`X_${limit}`, 'X')) > 0) {
      throw new Error(`${name} needs ${family}_${needed}, a bundle may need ${family}_${limit} at most`);
    }
  }
  const foreign = elf.libraries.filter((library) => !SYSTEM.libraries.test(library));
  if (foreign.length) throw new Error(`${name} needs ${foreign.join(', ')}, which a bare system does not have`);
  return elf;
}

/**
 * Dawn is built with GCC 12, whose condition_variable::wait has a new version and is all that keeps it from loading
 * beside GCC 11's libstdc++ (RHEL 9, Amazon Linux 2023). Every libstdc++ has the old version as well: it differs in
 * how thread cancellation passes through it.
 */
const DAWN_REPAIR = {
  symbol: '_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE',
  from: 'GLIBCXX_3.4.30',
  to: 'GLIBCXX_3.4.11',
};

function repairDawn(file) {
  const bytes = readFileSync(file);
  const { versions } = readElf(bytes);
  if (!versions.some(({ version }) => version === DAWN_REPAIR.from)) return false;
  writeFileSync(file, bindOlder(bytes, DAWN_REPAIR));
  return true;
}

/** Why the running Node cannot go into a bundle, or null. */
export function nodeObstacle() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `a bundle carries the running Node and is for linux x64, this is ${process.platform} ${process.arch}`;
  }
  try {
    checkNeeds('Node', readFileSync(process.execPath));
    return null;
  } catch (error) {
    // Distributions link theirs with libraries of their own.
    return `${error.message}: use Node from nodejs.org's archive (${process.execPath} is in use)`;
  }
}

/** `args` with the carried Node must print what is expected, in an environment without anything. */
function proveRuns(out, args, expected) {
  const result = spawnSync(join(out, 'bin', 'node'), args, { cwd: out, env: {}, encoding: 'utf8' });
  const said = `${result.stdout}${result.stderr}`.trim();
  if (result.status !== 0 || said !== expected) {
    throw new Error(`the carried Node with ${args.join(' ')} said "${said || result.error}", expected "${expected}"`);
  }
}

/**
 * Writes everything into the empty folder `out`. `swiftshader` is a folder with its files, or null to carry none.
 * Returns the manifest, which is also written to bundle.json. Throws an Error of one line.
 */
export async function stage(root, out, { swiftshader = null, note = () => {} } = {}) {
  const obstacle = nodeObstacle();
  if (obstacle) throw new Error(obstacle);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const put = (path, content, mode = 0o644) => {
    mkdirSync(dirname(join(out, path)), { recursive: true });
    writeFileSync(join(out, path), content);
    chmodSync(join(out, path), mode);
  };
  const copy = (from, to) => {
    mkdirSync(dirname(join(out, to)), { recursive: true });
    copyFileSync(from, join(out, to));
    chmodSync(join(out, to), 0o644);
  };

  copy(process.execPath, 'bin/node');
  chmodSync(join(out, 'bin', 'node'), 0o755);
  const modules = join(root, 'node_modules');
  for (const { name, files } of PACKAGES) {
    for (const file of files) copy(join(modules, name, file), join('node_modules', name, file));
  }
  const natives = ['bin/node', 'node_modules/webgpu/dist/linux-x64/dawn.node'];
  if (!natives.map((file) => strip(join(out, file), '--strip-unneeded')).every(Boolean)) {
    note('bundle: strip (binutils) is not installed or failed: the bundle is a little larger');
  }
  const repaired = repairDawn(join(out, natives[1]));

  const tests = Object.fromEntries(testFilesOf(root).map((name) => [name.slice(0, -3), join(root, 'test', name)]));
  const metafiles = [await writeProgram(root, out), await compileTests(root, out, tests)];
  cpSync(join(root, 'test', 'fixtures'), join(out, 'test', 'fixtures'), { recursive: true });
  cpSync(join(root, 'shaders'), join(out, 'shaders'), { recursive: true });
  // The scripts of `bench --peers`, which run what is installed on the machine.
  const peers = join('bench', 'peers');
  if (existsSync(join(root, peers))) {
    cpSync(join(root, peers), join(out, peers), { recursive: true, filter: (path) => !path.includes('__pycache__') });
  }
  for (const script of SCRIPTS) copy(join(root, 'scripts', script), join('scripts', script));
  cpSync(join(root, 'scripts', 'drivers'), join(out, 'scripts', 'drivers'), { recursive: true });
  if (swiftshader) {
    for (const name of readdirSync(swiftshader)) copy(join(swiftshader, name), join('swiftshader', name));
  }

  put('deep-rfm', starter('start.mjs'), 0o755);
  put('kernel-tests', starter('kernel-tests.mjs'), 0o755);
  put('package.json', `${JSON.stringify({ name: 'deep-rfm', version, private: true, type: 'module' }, null, 2)}\n`);
  copy(join(root, 'LICENSE'), 'LICENSE');
  const webgpu = JSON.parse(readFileSync(join(modules, 'webgpu', 'package.json'), 'utf8')).version;
  const readme = readFileSync(join(root, 'scripts', 'bundle', 'README.txt'), 'utf8');
  put('README.txt', readme.replaceAll('@VERSION@', version).replaceAll('@NODE@', process.version));
  const changes = repaired ? { webgpu: `${DAWN_REPAIR.symbol} is bound to ${DAWN_REPAIR.to}` } : {};
  collectLicenses(root, out, { metafiles, packages: PACKAGES.map(({ name }) => name), swiftshader, changes });

  for (const file of filesBelow(out)) {
    if (/(\.node|\.so(\.\d+)?)$/.test(file) || file === 'bin/node') checkNeeds(file, readFileSync(join(out, file)));
  }
  proveRuns(out, ['--version'], process.version);
  proveRuns(out, ['scripts/program.mjs', '--version'], version);
  proveRuns(out, ['-e', "import('webgpu').then(({ create }) => console.log(typeof create))"], 'function');

  const files = {};
  for (const path of filesBelow(out)) {
    const data = readFileSync(join(out, path));
    files[path] = { bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') };
  }
  const manifest = {
    schema: 'deep-rfm/bundle/1',
    version,
    platform: 'linux-x64',
    requires: { glibc: SYSTEM.glibc, libstdcxx: `GLIBCXX_${SYSTEM.libstdcxx}` },
    node: process.version,
    webgpu,
    softwareAdapter: swiftshader ? 'SwiftShader' : null,
    testFiles: Object.keys(tests),
    bytes: filesBelow(out).reduce((sum, path) => sum + statSync(join(out, path)).size, 0),
    files,
  };
  put('bundle.json', `${JSON.stringify(manifest, null, 1)}\n`);
  return manifest;
}
