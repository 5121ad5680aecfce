// `npm test`: setup, then vitest with the adapter's environment; extra arguments go to vitest
// (`npm test -- test/data`). The last line of output is "N passed, N failed".

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writableCacheDir } from './adapter-env.mjs';
import { ROOT } from './build.mjs';
import { linesOf } from './dawn-noise.mjs';
import { installChromium } from './install-chromium.mjs';
import { installRedis } from './install-redis.mjs';
import { installSlurm } from './install-slurm.mjs';
import { installSwiftshader, swiftshaderObstacle } from './install-swiftshader.mjs';
import { runChild } from './run-child.mjs';
import { setupOrReport } from './setup.mjs';
import { note } from './setup-adapter.mjs';
import { countLine, countTests } from './test-counts.mjs';

const env = await setupOrReport();
if (env) {
  installForPackage(process.argv.slice(2));
  installForSweeps(process.argv.slice(2));
}

/** Slurm and Redis, which are small, wherever the tests of sweeps are among those that run. */
function installForSweeps(args) {
  const paths = args.filter((arg) => arg.startsWith('test/'));
  if (paths.length > 0 && !paths.some((arg) => arg.startsWith('test/cli/sweep'))) return;
  for (const failure of [installSlurm({ note }), installRedis({ note })]) if (failure) note(`test: ${failure}`);
}

/**
 * What the tests of the package and of the pages need beyond setup: a second software adapter, and a browser. Both are
 * large, so they are fetched only where CI is set, or where these tests are named; without them the tests that need them
 * say so.
 */
function installForPackage(args) {
  // The tests of --gpu have two drivers side by side.
  const named = args.some((arg) => /^test\/(package|web|platform\/gpus|cli\/gpu)/.test(arg));
  const all = Boolean(process.env.CI) && !args.some((arg) => arg.startsWith('test/'));
  if (!named && !all) return;
  const cacheDir = writableCacheDir();
  const swiftshader = swiftshaderObstacle() ?? (cacheDir ? installSwiftshader(cacheDir, { note }) : 'no cache folder');
  for (const failure of [swiftshader, installChromium({ note })]) if (failure) note(`test: ${failure}`);
}

let report = null;
let end = { code: process.exitCode ?? 1, signal: null };
if (env) {
  const dir = mkdtempSync(join(tmpdir(), 'deep-rfm-test-'));
  const file = join(dir, 'report.json');
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const args = [vitest, 'run', ...reporters, ...process.argv.slice(2)];
  end = await runChild(process.execPath, args, {
    cwd: ROOT,
    env: { ...(process.stderr.isTTY && { FORCE_COLOR: '1' }), ...env },
    parent: 'test',
    stdio: ['inherit', 'inherit', 'pipe'],
    // Every file that opens a device has Dawn say the same two lines.
    onStart: (child) => linesOf(child.stderr, (line) => process.stderr.write(`${line}\n`)),
  });
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    process.stderr.write('test: vitest wrote no report: it did not get as far as running tests (see above)\n');
  }
  rmSync(dir, { recursive: true, force: true });
}
const counts = countTests(report, end.code !== 0);
if (counts.passed + counts.failed === 0) process.stderr.write('test: no test ran\n');
process.stdout.write(`${countLine(counts)}\n`);
process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : end.code || 1;
