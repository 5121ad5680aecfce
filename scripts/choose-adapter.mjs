// Which driver to use, found by asking Dawn in a child process, and kept for later starts. Setup does it and passes
// installers; the bundle for nodes without network does it on its first start on a machine, with what it carries.

import { spawnSync } from 'node:child_process';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  cacheDirs,
  carriedSwiftshader,
  decided,
  driverEnv,
  fingerprint,
  installedSwiftshader,
  isLavapipeIcd,
  isSoftwareIcd,
  readState,
  stateFile,
  systemIcds,
  userSetVulkan,
  writableCacheDir,
} from './adapter-env.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));

/** What Dawn finds with this driver ({} = what the system offers): {found} or {error}. */
export function probeDriver(driver) {
  const result = spawnSync(process.execPath, [join(HERE, 'probe-adapter.mjs')], {
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
    if (result.error?.code === 'ETIMEDOUT') return { found: null, error: 'the probe timed out' };
    // The dynamic linker's complaints (a missing library, an old one) end the probe before it can answer.
    const said = /^.*(?:error while loading shared libraries|version `).*$/m.exec(result.stderr ?? '')?.[0].trim();
    return {
      found: null,
      error: `the probe crashed (${said ?? result.signal ?? `exit ${result.status}`})`,
    };
  }
}

/**
 * Manifests for an NVIDIA driver whose libraries are there and whose own manifest is not, as in containers that were
 * started without the "graphics" capability. libGLX_nvidia needs X11's client libraries, libEGL_nvidia does not.
 */
export function nvidiaManifests(icds = systemIcds(), hasDevice = existsSync('/dev/nvidiactl')) {
  if (!hasDevice || icds.some((icd) => /nvidia/i.test(icd))) return [];
  return ['nvidia_glx_icd.json', 'nvidia_egl_icd.json'].map((name) => join(HERE, 'drivers', name));
}

/**
 * Finds a driver, installing one if it must. Returns {driver, found} or null. `tried` collects what did not work, for
 * the message at the end. `install.lavapipe()` and `install.swiftshader()` return null once it is there, or why it
 * cannot be; without `install` only what is there is used.
 */
export function findAdapter(choice, tried, options = {}) {
  const { install = {}, probe = probeDriver, platform = process.platform } = options;
  const icds = options.icds ?? (platform === 'linux' ? systemIcds() : []);
  const manifests = options.nvidia ?? nvidiaManifests(icds);
  const attempt = (what, driver, accept) => {
    const { found, error } = probe(driver);
    if (found && accept(found)) return { driver, found };
    tried.push(`${what}: ${found ? `gives ${found.name}, a software adapter` : error}`);
    return null;
  };
  const any = () => true;
  const kind = (wanted) => (found) => found.kind === wanted;
  const hardware = kind('hardware');

  if (platform !== 'linux') return attempt("the system's driver", {}, choice === 'hardware' ? hardware : any);
  // A bundle has a Vulkan loader for machines that have a driver and no loader of their own.
  const loader = carriedSwiftshader()?.libraryDir;
  const withLoader = (what, driver, accept) =>
    attempt(what, driver, accept) ??
    (loader ? attempt(`${what}, with the loader carried along`, { ...driver, libraryDir: loader }, accept) : null);
  if (userSetVulkan()) {
    return withLoader('VK_DRIVER_FILES or VK_ICD_FILENAMES as you set it', {}, choice === 'auto' ? any : kind(choice));
  }

  // Asked anew each time, as an installer may have added to them.
  const only = (filter) => ({ icds: (options.icds ?? systemIcds()).filter(filter) });
  const real = only((icd) => !isSoftwareIcd(icd));
  const nvidia = () => {
    for (const icd of manifests) {
      const found = withLoader(`NVIDIA's driver by ${icd}`, { icds: [icd] }, hardware);
      if (found) return found;
    }
    return null;
  };
  const lavapipe = () => {
    const driver = only(isLavapipeIcd);
    return driver.icds.length ? withLoader('lavapipe as installed', driver, kind('lavapipe')) : null;
  };

  if (choice === 'auto') {
    // All drivers at once, as Dawn sorts hardware to the front. If that gives no hardware or nothing at all (one bad
    // driver can spoil it), hardware and lavapipe get a chance of their own.
    // Without a manifest there is no driver that a loader could help to.
    const system = (icds.length ? withLoader : attempt)("the system's drivers", {}, any);
    if (system && !system.found.software) return system;
    if (!system && real.icds.length) {
      const alone = withLoader("the hardware's drivers alone", real, hardware);
      if (alone) return alone;
    }
    const found = nvidia() ?? system;
    if (found) return found;
  }
  if (choice === 'hardware') {
    if (!real.icds.length) tried.push('hardware: no Vulkan driver for any is installed');
    return (real.icds.length ? withLoader("the hardware's drivers", real, hardware) : null) ?? nvidia();
  }

  if (choice === 'auto' || choice === 'lavapipe') {
    const present = lavapipe();
    if (present) return present;
    const failure = install.lavapipe ? install.lavapipe() : 'not installed';
    if (failure) tried.push(`lavapipe: ${failure}`);
    else {
      const system = choice === 'auto' ? attempt("the system's drivers after that", {}, any) : null;
      const installed = system ?? lavapipe();
      if (installed) return installed;
    }
    if (choice === 'lavapipe') return null;
  }

  const there = () => carriedSwiftshader() ?? installedSwiftshader();
  const failure = install.swiftshader ? install.swiftshader() : there() ? null : 'not carried along';
  if (failure) {
    tried.push(`SwiftShader: ${failure}`);
    return null;
  }
  return attempt('SwiftShader', there() ?? {}, kind('swiftshader'));
}

let cacheDirChosen;

/** The directory for this user's files, and a word when it is not the usual one. */
export function cacheOrWarn(note) {
  if (cacheDirChosen === undefined) {
    const dirs = cacheDirs();
    cacheDirChosen = writableCacheDir(dirs);
    if (cacheDirChosen && cacheDirChosen !== dirs[0])
      note(`adapter: ${dirs[0]} is not writable, using ${cacheDirChosen}`);
  }
  return cacheDirChosen;
}

/** For the launcher, and so that the next start need not ask Dawn again. Written whole or not at all. */
function remember(key, choice, { driver, found }, note) {
  const dir = cacheOrWarn(note);
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

/**
 * The driver for this choice, as decided before on an unchanged system or found now. Returns {entry, tried}: entry is
 * {kind, name, software, icds?, libraryDir?}, or null where nothing works, and `tried` says why.
 */
export function chooseAdapter(choice, { note, install, probe }) {
  // What the user's own VK_DRIVER_FILES gives says nothing about later runs without it. A bundle may find the same
  // machine lacking a loader that a checkout has, so that it keeps a decision of its own.
  const key = [choice, userSetVulkan() && 'as-set-by-user', carriedSwiftshader() && 'bundle'].filter(Boolean).join('-');
  const before = decided(key);
  if (before?.fingerprint === fingerprint(choice)) return { entry: before, tried: [] };
  note(
    `adapter: asking Dawn for ${choice === 'auto' ? 'one' : choice}: ${before ? 'the system changed' : 'not done yet'}`,
  );
  const tried = [];
  const result = findAdapter(choice, tried, { install, ...(probe ? { probe } : {}) });
  if (!result) return { entry: null, tried };
  remember(key, choice, result, note);
  return { entry: { ...result.found, ...result.driver }, tried };
}

export const describe = ({ kind, name, software }) =>
  software ? `software adapter: ${name} (${kind}: runs on the CPU)` : `hardware adapter: ${name}`;
