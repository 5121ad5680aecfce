// `npm run setup`: packages, the build and an adapter. Installs only what is missing, says what before it does, and is
// done in a moment when there is nothing to do. Plain Node: it runs before any package is there.
//
// DEEP_RFM_ADAPTER=auto|hardware|lavapipe|swiftshader asks for one adapter (see adapter-env.mjs);
// DEEP_RFM_NO_APT=1 forbids apt. Exit codes: 0 ready, 1 a step failed, 2 bad setting, 3 no adapter.

import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, buildNeeded, ROOT } from './build.mjs';
import { isMain } from './is-main.mjs';
import { npm } from './npm.mjs';
import { packagesNeeded } from './packages.mjs';
import { choiceOrThrow, note, orReport, SetupError, seconds, setupAdapter } from './setup-adapter.mjs';

// ---- one setup at a time in a checkout: two `npm ci` would delete each other's files

const LOCK_MAX_AGE_MS = 30 * 60_000;

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
};

async function locked(work) {
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  const lock = join(ROOT, 'dist', '.setup-lock');
  for (let announced = false; ; ) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const stat = statSync(lock, { throwIfNoEntry: false });
    if (!stat) continue;
    const age = Date.now() - stat.mtimeMs;
    const pid = Number(readFileSync(lock, 'utf8'));
    if (age > LOCK_MAX_AGE_MS || (pid ? !isAlive(pid) : age > 1000)) {
      rmSync(lock, { force: true }); // its owner was killed
      continue;
    }
    if (!announced) note(`setup: waiting for another setup in this checkout (process ${pid}; lock: ${lock})`);
    announced = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

// ---- packages and build

function installPackages() {
  const reason = packagesNeeded(ROOT);
  if (!reason) return;
  const since = performance.now();
  note(`packages: installing those of package-lock.json with npm: ${reason}`);
  // No install scripts: those of webgpu and esbuild do nothing needed here. With development packages even where
  // NODE_ENV=production, since the build needs esbuild.
  const flags = ['--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  let result = npm(['ci', ...flags], { cwd: ROOT });
  if (!result.ok && result.output.includes('code EUSAGE')) {
    // npm ci refuses a lock file that lacks an optional package for some other system. That happens when a registry
    // mirror does not carry it, and it is not needed here.
    note('packages: npm ci refuses the lock file, trying npm install with the versions it has');
    result = npm(['install', '--no-save', ...flags], { cwd: ROOT });
  }
  if (!result.ok) {
    note(result.output.split('\n').slice(0, 40).join('\n'));
    throw new SetupError(1, 'packages: npm failed (its output is above): check the network and `npm config ls`');
  }
  note(`packages: installed in ${seconds(since)}`);
}

async function buildIfNeeded() {
  const reason = buildNeeded();
  if (!reason) return;
  const since = performance.now();
  note(`build: bundling src/cli/main.ts into dist/deep-rfm.cjs: ${reason}`);
  try {
    await build();
  } catch (error) {
    throw new SetupError(1, `build: ${error.message}`);
  }
  note(`build: done in ${seconds(since)}`);
}

/** All steps. Returns the environment for programs that use the adapter; throws SetupError. */
export async function setup() {
  const choice = choiceOrThrow();
  if (packagesNeeded(ROOT) || buildNeeded()) {
    await locked(async () => {
      installPackages(); // asks again: whoever held the lock before may have done it
      await buildIfNeeded();
    });
  }
  return setupAdapter(choice);
}

/** setup() for a program's start: on failure prints the line, sets the exit code and returns null. */
export const setupOrReport = () => orReport(setup);

if (isMain(import.meta.url) && (await setupOrReport())) note('ready: npx deep-rfm --help');
