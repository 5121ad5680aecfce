// `npm run setup`: packages, the build and an adapter. Installs only what is missing, says what before it does, and is
// done in a moment when there is nothing to do. Plain Node: it runs before any package is there.
//
// DEEP_RFM_ADAPTER=auto|hardware|lavapipe|swiftshader asks for one adapter (see adapter-env.mjs);
// DEEP_RFM_NO_APT=1 forbids apt. Exit codes: 0 ready, 1 a step failed, 2 bad setting, 3 no adapter.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  adapterChoice,
  cacheDirs,
  decided,
  driverEnv,
  fingerprint,
  installedSwiftshader,
  isLavapipeIcd,
  isSoftwareIcd,
  launchEnv,
  readState,
  stateFile,
  systemIcds,
  userSetVulkan,
  writableCacheDir,
} from './adapter-env.mjs';
import { build, buildNeeded, ROOT } from './build.mjs';
import { installLavapipe, lavapipePlan } from './install-lavapipe.mjs';
import { installSwiftshader, swiftshaderObstacle } from './install-swiftshader.mjs';
import { isMain } from './is-main.mjs';
import { npm } from './npm.mjs';
import { packagesNeeded } from './packages.mjs';

const note = (line) => process.stderr.write(`${line}\n`);

/** A step that failed, with the exit code it stands for. */
class SetupError extends Error {
  constructor(exitCode, message) {
    super(message);
    this.exitCode = exitCode;
  }
}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

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
  note(`build: bundling src/cli/main.ts into dist/deep-rfm.js: ${reason}`);
  try {
    await build();
  } catch (error) {
    throw new SetupError(1, `build: ${error.message}`);
  }
  note(`build: done in ${seconds(since)}`);
}

// ---- adapter

const PROBE = fileURLToPath(new URL('probe-adapter.mjs', import.meta.url));

/** What Dawn finds with this driver ({} = what the system offers): {found} or {error}. */
function probe(driver) {
  const result = spawnSync(process.execPath, [PROBE], {
    env: { ...process.env, ...driverEnv(driver) },
    encoding: 'utf8',
    timeout: 120_000,
    killSignal: 'SIGKILL',
  });
  try {
    const { adapters, error } = JSON.parse(result.stdout);
    if (adapters.length > 0) return { found: adapters[0], error: null };
    return { found: null, error };
  } catch {
    const how =
      result.error?.code === 'ETIMEDOUT' ? 'timed out' : `crashed (${result.signal ?? `exit ${result.status}`})`;
    return { found: null, error: `the probe ${how}` };
  }
}

/**
 * Finds a driver, installing one if it must. Returns {driver, found}. `tried` collects what did not work, for the
 * message at the end.
 */
function findAdapter(choice, tried) {
  const attempt = (what, driver, accept) => {
    const { found, error } = probe(driver);
    if (found && accept(found)) return { driver, found };
    tried.push(`${what}: ${found ? `gives ${found.name}, a software adapter` : error}`);
    return null;
  };
  const any = () => true;
  const kind = (wanted) => (found) => found.kind === wanted;
  const hardware = kind('hardware');

  if (process.platform !== 'linux') return attempt("the system's driver", {}, choice === 'hardware' ? hardware : any);
  if (userSetVulkan()) {
    return attempt('VK_DRIVER_FILES or VK_ICD_FILENAMES as you set it', {}, choice === 'auto' ? any : kind(choice));
  }

  const only = (filter) => ({ icds: systemIcds().filter(filter) });
  const lavapipe = () => {
    const driver = only(isLavapipeIcd);
    return driver.icds.length ? attempt('lavapipe as installed', driver, kind('lavapipe')) : null;
  };

  if (choice === 'auto') {
    // All drivers at once, as Dawn sorts hardware to the front. If that gives no hardware or nothing at all (one bad
    // driver can spoil it), hardware and lavapipe get a chance of their own.
    const system = attempt("the system's drivers", {}, any);
    if (system && !system.found.software) return system;
    const real = only((icd) => !isSoftwareIcd(icd));
    if (!system && real.icds.length) {
      const alone = attempt("the hardware's drivers alone", real, hardware);
      if (alone) return alone;
    }
    if (system) return system;
  }
  if (choice === 'hardware') {
    const real = only((icd) => !isSoftwareIcd(icd));
    if (!real.icds.length) tried.push('hardware: no Vulkan driver for any is installed');
    return real.icds.length ? attempt("the hardware's drivers", real, hardware) : null;
  }

  if (choice === 'auto' || choice === 'lavapipe') {
    const present = lavapipe();
    if (present) return present;
    const plan = lavapipePlan();
    if (plan.reason) {
      tried.push(`lavapipe by apt: ${plan.reason}`);
      note(`adapter: not installing lavapipe, the faster of the software adapters, with apt: ${plan.reason}`);
    } else {
      const since = performance.now();
      const failure = installLavapipe(plan, { note });
      if (failure) {
        tried.push(`lavapipe by apt: ${failure}`);
        note(`adapter: lavapipe could not be installed: ${failure}`);
      } else {
        note(`adapter: lavapipe installed in ${seconds(since)}`);
        const system = choice === 'auto' ? attempt("the system's drivers after that", {}, any) : null;
        const installed = system ?? lavapipe();
        if (installed) return installed;
      }
    }
    if (choice === 'lavapipe') return null;
  }

  const obstacle = swiftshaderObstacle();
  if (obstacle) {
    tried.push(`SwiftShader: ${obstacle}`);
    return null;
  }
  const cacheDir = cacheOrWarn();
  if (!cacheDir) {
    tried.push(`SwiftShader: no directory for it: none of ${cacheDirs().join(', ')} is writable and safe`);
    return null;
  }
  const since = performance.now();
  const there = installedSwiftshader();
  const failure = installSwiftshader(cacheDir, { note });
  if (failure) {
    tried.push(`SwiftShader: ${failure}`);
    return null;
  }
  if (!there) note(`adapter: SwiftShader fetched in ${seconds(since)}`);
  return attempt('SwiftShader', installedSwiftshader() ?? {}, kind('swiftshader'));
}

let cacheDirChosen;

/** The directory for this user's files, and a word when it is not the usual one. */
function cacheOrWarn() {
  if (cacheDirChosen === undefined) {
    const dirs = cacheDirs();
    cacheDirChosen = writableCacheDir(dirs);
    if (cacheDirChosen && cacheDirChosen !== dirs[0])
      note(`adapter: ${dirs[0]} is not writable, using ${cacheDirChosen}`);
  }
  return cacheDirChosen;
}

/** For the launcher, and so that the next setup need not ask Dawn again. Written whole or not at all. */
function remember(key, choice, { driver, found }) {
  const dir = cacheOrWarn();
  if (!dir) {
    note('adapter: the choice cannot be kept, as no cache directory is writable: set XDG_CACHE_HOME');
    return;
  }
  const state = readState([dir]);
  const { kind, name, software } = found;
  state.choices[key] = { kind, name, software, ...driver, fingerprint: fingerprint(choice) };
  const file = stateFile(dir);
  const part = `${file}.${process.pid}.tmp`;
  try {
    writeFileSync(part, `${JSON.stringify(state, null, 2)}\n`);
    renameSync(part, file);
  } catch (error) {
    rmSync(part, { force: true });
    note(`adapter: the choice could not be kept in ${file}: ${error.message}`);
  }
}

const describe = ({ kind, name, software }) =>
  software ? `software adapter: ${name} (${kind}: runs on the CPU)` : `hardware adapter: ${name}`;

function chooseAdapter(choice) {
  // What the user's own VK_DRIVER_FILES gives says nothing about later runs without it.
  const key = userSetVulkan() ? `${choice}-as-set-by-user` : choice;
  const before = decided(key);
  if (before?.fingerprint === fingerprint(choice)) return before;
  note(
    `adapter: asking Dawn for ${choice === 'auto' ? 'one' : choice}: ${before ? 'the system changed' : 'not done yet'}`,
  );
  const tried = [];
  const result = findAdapter(choice, tried);
  if (!result) {
    const advice =
      process.platform !== 'linux'
        ? "Update the GPU's driver."
        : choice === 'auto' && !userSetVulkan()
          ? "Install your GPU's Vulkan driver, or Mesa 25 or later with lavapipe (Debian and Ubuntu: mesa-vulkan-drivers libvulkan1), then run `npm run setup` again."
          : 'Unset DEEP_RFM_ADAPTER, VK_DRIVER_FILES and VK_ICD_FILENAMES to let setup choose, then run it again.';
    const asked = choice === 'auto' ? '' : ` (DEEP_RFM_ADAPTER=${choice})`;
    throw new SetupError(3, `adapter: none that Dawn accepts${asked}. Tried: ${tried.join('; ')}. ${advice}`);
  }
  remember(key, choice, result);
  return result.found;
}

/** All steps. Returns the environment for programs that use the adapter; throws SetupError. */
export async function setup() {
  let choice;
  try {
    choice = adapterChoice();
  } catch (error) {
    throw new SetupError(2, error.message);
  }
  if (packagesNeeded(ROOT) || buildNeeded()) {
    await locked(async () => {
      installPackages(); // asks again: whoever held the lock before may have done it
      await buildIfNeeded();
    });
  }
  const adapter = chooseAdapter(choice);
  note(describe(adapter));
  const { set, problem } = launchEnv();
  if (problem) throw new SetupError(3, problem);
  return { ...process.env, ...set };
}

/** setup() for a program's start: on failure prints the line, sets the exit code and returns null. */
export async function setupOrReport() {
  try {
    return await setup();
  } catch (error) {
    note(error instanceof SetupError ? error.message : `setup: ${error.stack}`);
    process.exitCode = error.exitCode ?? 1;
    return null;
  }
}

if (isMain(import.meta.url) && (await setupOrReport())) note('ready: npx deep-rfm --help');
