import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installedSwiftshader, isLavapipeIcd, systemIcds } from '../../scripts/adapter-env.mjs';
import { findChromium } from '../../scripts/install-chromium.mjs';
import { npmCommand } from '../../scripts/npm.mjs';
import { readMnistSample } from '../../src/data/sample.js';

// The package as somebody else gets it: packed, installed into a folder of its own, used from there.

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'deep-rfm-package-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** This process's environment without what setup or the launcher put there: a program of one's own has none of it. */
const env: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(VK_|LP_|MESA_|LD_LIBRARY_PATH|DEEP_RFM_|VITEST|NODE_ENV)/.test(name),
  ),
);

const execute = promisify(execFile);

/** What npm prints. Nothing here blocks: vitest wants to hear of a test file every minute. */
async function npm(words: string[], cwd: string): Promise<string> {
  const { command, args, options } = npmCommand(words, { cwd, env });
  return (await execute(command, args, options)).stdout;
}

let packed: { filename: string; files: { path: string }[]; size: number };
beforeAll(async () => {
  [packed] = JSON.parse(await npm(['pack', '--json', '--pack-destination', folder], checkout));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'];
  await npm(['install', `./${packed.filename}`, ...flags], folder);
  cpSync(join(checkout, 'examples'), join(folder, 'examples'), { recursive: true });
}, 600_000);

/** What a program prints on this adapter. */
async function run(words: string, adapter: string): Promise<string> {
  const settings = { cwd: folder, env: { ...env, DEEP_RFM_ADAPTER: adapter }, maxBuffer: 1e8 };
  // Dawn writes warnings of its own to standard output.
  const { stdout } = await execute(process.execPath, words.split(' '), settings);
  return stdout.replace(/^Warning: .*\n/gm, '');
}

const noLavapipe = process.platform !== 'linux' || !systemIcds().some(isLavapipeIcd);
const noSwiftshader = installedSwiftshader() === null;
const browser = findChromium();
const skipped = (what: boolean, why: string): string => (what ? ` (skipped: ${why})` : '');
const SWIFTSHADER_HELP = skipped(
  noSwiftshader,
  'SwiftShader is not in the cache; DEEP_RFM_ADAPTER=swiftshader npm run setup',
);

describe('the packed file', () => {
  it('holds what is needed and no more', () => {
    const top = new Set(
      packed.files.map(({ path }) =>
        path
          .split('/')
          .slice(0, path.startsWith('dist/') ? 2 : 1)
          .join('/'),
      ),
    );
    expect([...top].sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'bench',
      'bin',
      'dist/deep-rfm.cjs',
      'dist/lib',
      'dist/types',
      'package.json',
      'scripts',
    ]);
    expect(packed.size).toBeLessThan(2e6);
    // Every script that another one, or the launcher, imports is there.
    const scripts = packed.files.map(({ path }) => path).filter((path) => /^(bin|scripts)\/.*\.mjs$/.test(path));
    for (const path of scripts) {
      for (const [, from] of readFileSync(join(checkout, path), 'utf8').matchAll(
        /from '\.\.?\/(?:scripts\/)?([\w-]+\.mjs)'/g,
      )) {
        expect(scripts, path).toContain(`scripts/${from}`);
      }
    }
  });

  it('has the command line', async () => {
    const settings = { cwd: folder, env, maxBuffer: 1e8 };
    const { stdout } = await execute('npx', ['--no-install', 'deep-rfm', 'doctor', '--json'], settings);
    const { ok, versions } = JSON.parse(stdout);
    const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8'));
    expect([ok, versions.deepRfm]).toEqual([true, version]);
    const { stderr } = await execute('npx', ['--no-install', 'deep-rfm-setup'], settings);
    expect(stderr).toMatch(/ready: npx deep-rfm --help\n$/);
  }, 600_000);

  it('has declarations that a program compiles with', async () => {
    const program = `import { type Gpu, matrix, neuralCollapse, openGpu, RfmError } from 'deep-rfm';
import { mnistDigits } from 'deep-rfm/digits';
import { trainSettings } from 'deep-rfm/nn';
import { gemm } from 'deep-rfm/ops';
import { runBatch } from 'deep-rfm/runtime';

const gpu: Gpu = await openGpu({ adapter: 'auto' });
const { x, labels } = mnistDigits(10);
const a = matrix(gpu, x, 784);
await runBatch(gpu, (batch) => gemm(batch, { a, b: a, out: matrix(gpu, new Float32Array(100), 10) }));
const { nc1 }: { nc1: number } = await neuralCollapse(gpu, a, labels);
const kind: string = new RfmError('input', String(nc1 + trainSettings({}).epochs)).kind;
// @ts-expect-error: no such type of adapter
await openGpu({ adapter: kind === 'input' ? 'gpu' : 'auto' });
`;
    writeFileSync(join(folder, 'program.ts'), program);
    for (const [module, resolution] of [
      ['nodenext', 'nodenext'],
      ['esnext', 'bundler'],
    ]) {
      const tsc = join(checkout, 'node_modules', '.bin', 'tsc');
      const options = ['--noEmit', '--strict', '--target', 'es2023', '--lib', 'es2023,dom,esnext.disposable'];
      const args = [...options, '--module', module, '--moduleResolution', resolution, 'program.ts'];
      const said = await execute(tsc, args, { cwd: folder }).catch((error: { stdout: string }) => error);
      expect(said.stdout).toBe('');
    }
  });

  it('embeds the digits that the command line reads', async () => {
    const { mnistDigits } = await import(join(folder, 'node_modules', 'deep-rfm', 'dist', 'lib', 'digits.js'));
    const { train } = readMnistSample(200, 0);
    expect(mnistDigits()).toEqual({ x: train.x, labels: train.labels });
    expect(() => mnistDigits(201)).toThrow('mnistDigits: 201 digits were asked for, expected 1 to 200');
  });
});

/** NC1 of each layer. */
const valuesOf = (text: string): number[] =>
  text
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ').at(-1)));

describe('the ten lines of the README', () => {
  it('are examples/digits.mjs', () => {
    expect(readFileSync(join(checkout, 'README.md'), 'utf8')).toContain(
      readFileSync(join(checkout, 'examples', 'digits.mjs'), 'utf8'),
    );
  });

  it.skipIf(noLavapipe)(
    `run in Node on lavapipe${skipped(noLavapipe, 'lavapipe is not installed')}`,
    async () => {
      const nc1 = valuesOf(await run('examples/digits.mjs', 'lavapipe'));
      expect(nc1).toHaveLength(4);
      expect(nc1[0]).toBeCloseTo(0.33392, 4);
      expect(nc1[3]).toBeCloseTo(0.0364, 3);
    },
    600_000,
  );

  const noBrowser = browser === null;
  it.skipIf(noBrowser)(
    `run in Chromium, as a page${skipped(noBrowser, 'Chromium is not installed; node scripts/install-chromium.mjs')}`,
    async () => {
      const nc1 = await inChromium(browser!);
      expect(nc1).toHaveLength(4);
      expect(Math.abs(nc1[0] / 0.33392467 - 1)).toBeLessThan(1e-5);
      expect(nc1[3]).toBeCloseTo(0.0364, 3);
    },
    600_000,
  );
});

/** Bundles examples/page, shows it in Chromium on its own SwiftShader, and reads NC1 of each layer off it. */
async function inChromium(executablePath: string): Promise<number[]> {
  const page = join(folder, 'examples', 'page');
  const entry = { entryPoints: [join(page, 'main.mjs')], outfile: join(page, 'main.js') };
  await build({ ...entry, absWorkingDir: folder, bundle: true, format: 'esm', logLevel: 'silent' });
  const server = await served(page);
  const { port } = server.address() as { port: number };
  // Root has no sandbox in a container; what is shown is ours.
  const shown = await chromium.launch({ executablePath, args: ['--no-sandbox', '--enable-unsafe-webgpu'] });
  try {
    const tab = await shown.newPage();
    const errors: string[] = [];
    tab.on('pageerror', (error) => errors.push(error.message));
    await tab.goto(`http://localhost:${port}/index.html`);
    await tab.waitForFunction("!document.getElementById('state').textContent.startsWith('Running')", null, {
      timeout: 500_000,
    });
    expect(errors).toEqual([]);
    expect(await tab.textContent('#state')).toBe('Done.');
    return (await tab.locator('#layers li').allTextContents()).map(Number);
  } finally {
    await shown.close();
    server.close();
  }
}

const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript' };

async function served(root: string): Promise<Server> {
  const server = createServer((request, response) => {
    const file = join(root, new URL(request.url ?? '/', 'http://localhost').pathname);
    if (!existsSync(file)) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'text/plain' }).end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

describe('worker threads', () => {
  const program = `import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import { matrix, neuralCollapse, openGpu, selectDriver } from 'deep-rfm';

async function compute() {
  const gpu = await openGpu();
  const { nc1 } = await neuralCollapse(gpu, matrix(gpu, [[1, 0], [1, 0.1], [0, 1], [0.1, 1]]), [0, 0, 1, 1]);
  await gpu.close();
  return gpu.adapter.architecture + ' ' + nc1.toFixed(4);
}

const inWorker = () =>
  new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.url));
    worker.on('message', resolve);
    worker.on('error', reject);
  });

if (!isMainThread) parentPort.postMessage(await compute());
else if (process.argv[2] === 'alone') console.log(await inWorker().catch((error) => error.message));
else {
  selectDriver();
  console.log((await Promise.all([compute(), inWorker(), inWorker()])).join(', '));
  console.log(await inWorker());
}
`;
  beforeAll(() => writeFileSync(join(folder, 'workers.mjs'), program));

  it('open devices at the same time, and one after the other', async () => {
    const printed = await run('workers.mjs', 'auto');
    const [, one] = /^(.*), \1, \1\n\1\n$/.exec(printed) ?? [];
    expect(one, printed).toMatch(/ 0\.0055$/);
  }, 600_000);

  it.skipIf(noSwiftshader)(
    `have the driver that the main thread selected${SWIFTSHADER_HELP}`,
    async () => {
      expect(await run('workers.mjs', 'swiftshader')).toMatch(/^swiftshader /);
      expect(await run('workers.mjs alone', 'swiftshader')).toBe(
        'DEEP_RFM_ADAPTER=swiftshader: a worker thread cannot select a driver; call selectDriver() before you start it\n',
      );
    },
    600_000,
  );
});

describe('examples', () => {
  it.each([
    ['collapse.mjs', /^NC1 0\.009143\d*, NC2 0\.08793\d*\n$/],
    ['fit.mjs', /^R² (0\.9\d|1\.00) after [12] updates of M; area counts most\n120 m² in Bonn: 3[3-9]\d\n$/],
    ['kernel.mjs', /^-0\.2384 -0\.2689 0\.0000 0\.7311 1\.7616 2\.8577 3\.9281 4\.9665\n$/],
    [
      'transfer/transfer.mjs halves --source-n 60 --n 20 --test-n 100 --iterations 1 --seeds 0',
      /^(seed 0 .* [\d.]+ %\n){4}\nhalves: .*\n(.* [\d.]+ ± 0\.0 %\n){4}$/,
    ],
    [
      'model.mjs',
      /^standardization\.safetensors layer-01\.safetensors layer-02\.safetensors model\.json: \d\d of 50 digits are right\n$/,
    ],
    // Each rung as fast as this adapter happens to be, and right.
    ['matmul/ladder.mjs 64', /^C = A B, 64 × 64, on .*\n(\w+ +[\d.]+ GFLOP\/s {3}error \d\.\de-[78]\n){3,5}$/],
  ])('%s', async (words, printed) => expect(await run(`examples/${words}`, 'auto')).toMatch(printed), 600_000);

  it('are all run here', () => {
    const names = readdirSync(join(checkout, 'examples')).sort();
    // Grids of sweeps are planned by the tests of sweeps.
    expect(names).toEqual([
      'collapse.mjs',
      'digits.mjs',
      'fit.mjs',
      'kernel.mjs',
      'matmul',
      'model.mjs',
      'page',
      'sweep',
      'transfer',
    ]);
  });
});
