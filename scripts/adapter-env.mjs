// Which Vulkan driver Dawn is to use, and the environment that makes it so. Shared by the launcher, setup and the
// test runner. Only Node's own modules and no probing here: the launcher pays for this file on every start.
//
// DEEP_RFM_ADAPTER selects the adapter (Linux; elsewhere the system decides):
//   auto (default)  what setup found best: hardware, else lavapipe, else SwiftShader
//   hardware        only drivers of real devices
//   lavapipe        only Mesa's CPU driver
//   swiftshader     only the SwiftShader that setup unpacked in the cache directory
// VK_DRIVER_FILES or VK_ICD_FILENAMES set by the user wins over all of these.

import { createHash } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, tmpdir } from 'node:os';
import { basename, delimiter, isAbsolute, join } from 'node:path';

export const CHOICES = ['auto', 'hardware', 'lavapipe', 'swiftshader'];

/** The SwiftShader build in use. x86-64 Linux only; the sums pin what the registry delivers. */
export const SWIFTSHADER = {
  package: '@sparticuz/chromium',
  version: '153.0.0',
  archive: {
    path: 'package/bin/swiftshader.tar.br',
    sha256: 'b680e40a33235ecc6ad4c6897a168b70ce5164f0d62d2a64d675320d51614631',
  },
  files: [
    {
      name: 'libvk_swiftshader.so',
      size: 6004808,
      sha256: '2f3ceffaaca7d031bc3943f8eacf398a5d9c42c5fe0d15d8840b9acfa630b58e',
    },
    {
      name: 'libvulkan.so.1',
      size: 833304,
      sha256: '8ee5ac00fd7968e863b05e0f6808057db16a00ad322777e5a05bed51d4f84085',
    },
    // Names the driver as "./libvk_swiftshader.so": a path with a slash is relative to this file.
    {
      name: 'vk_swiftshader_icd.json',
      size: 107,
      sha256: 'c9eef28b6b984fec220ef0abfecc40b502d46946706e47bfe97707027cb818bd',
    },
  ],
};

/** The value of DEEP_RFM_ADAPTER; throws on an unknown one. */
export function adapterChoice(env = process.env) {
  const choice = env.DEEP_RFM_ADAPTER || 'auto';
  if (!CHOICES.includes(choice)) {
    throw new Error(`DEEP_RFM_ADAPTER is "${choice}": expected one of ${CHOICES.join(', ')}. Unset it or correct it.`);
  }
  return choice;
}

function home() {
  try {
    return homedir();
  } catch {
    return ''; // No HOME and no entry in the user database, as in some containers.
  }
}

/** Where the project may keep things for this user, best first. The last is for users without a usable home. */
export function cacheDirs(
  env = process.env,
  { platform = process.platform, homeDir = home(), tmp = tmpdir(), uid = process.getuid?.() ?? 'user' } = {},
) {
  const dirs = [];
  if (env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME)) dirs.push(join(env.XDG_CACHE_HOME, 'deep-rfm'));
  else if (platform === 'win32' && env.LOCALAPPDATA) dirs.push(join(env.LOCALAPPDATA, 'deep-rfm'));
  else if (homeDir && isAbsolute(homeDir)) dirs.push(join(homeDir, '.cache', 'deep-rfm'));
  dirs.push(join(tmp, `deep-rfm-${uid}`));
  return dirs;
}

// The fallback lies where anyone may write, and libraries are loaded from it: one that another user made or may write
// to is not trusted.
function isTrusted(dir) {
  if (basename(dir) === 'deep-rfm') return true;
  try {
    const stat = lstatSync(dir);
    const uid = process.getuid?.();
    return stat.isDirectory() && (uid === undefined || (stat.uid === uid && (stat.mode & 0o022) === 0));
  } catch {
    return false;
  }
}

/** The first of the directories that can be written to, made if need be; null if none can. */
export function writableCacheDir(dirs = cacheDirs()) {
  for (const dir of dirs) {
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      accessSync(dir, constants.W_OK | constants.X_OK);
      if (isTrusted(dir)) return dir;
    } catch {
      // try the next
    }
  }
  return null;
}

/** Manifests of the Vulkan drivers that the loader finds by itself (the order of its documentation). */
export function systemIcds(env = process.env, homeDir = home()) {
  const list = (value, fallback) => (value || fallback).split(':').filter(Boolean);
  const roots = [
    ...list(env.XDG_CONFIG_HOME, homeDir && join(homeDir, '.config')),
    ...list(env.XDG_CONFIG_DIRS, '/etc/xdg'),
    '/usr/local/etc',
    '/etc',
    ...list(env.XDG_DATA_HOME, homeDir && join(homeDir, '.local', 'share')),
    ...list(env.XDG_DATA_DIRS, '/usr/local/share:/usr/share'),
  ];
  const found = [];
  for (const root of new Set(roots)) {
    const dir = join(root, 'vulkan', 'icd.d');
    try {
      for (const name of readdirSync(dir).sort()) if (name.endsWith('.json')) found.push(join(dir, name));
    } catch {
      // not there
    }
  }
  return found;
}

export const isLavapipeIcd = (path) => /(^|\/)lvp_icd[^/]*$/.test(path);
export const isSoftwareIcd = (path) => isLavapipeIcd(path) || /(^|\/)[^/]*swiftshader[^/]*$/.test(path);

/** hardware, lavapipe, swiftshader, or software for any other CPU driver (WARP). */
export function adapterKind({ vendor = '', architecture = '', description = '', isFallbackAdapter = false }) {
  const text = `${vendor} ${architecture} ${description}`.toLowerCase();
  if (text.includes('swiftshader')) return 'swiftshader';
  if (text.includes('llvmpipe') || text.includes('lavapipe')) return 'lavapipe';
  if (isFallbackAdapter || /\b(software|warp|basic render)\b/.test(text)) return 'software';
  return 'hardware';
}

/**
 * The environment without the driver that a launcher above this process selected, which DEEP_RFM_DRIVER tells: a command
 * that is started by another one selects anew, and takes nothing for the user's own.
 */
export function withoutDriver(env = process.env) {
  if (!env.DEEP_RFM_DRIVER) return env;
  const { DEEP_RFM_DRIVER, VK_DRIVER_FILES, VK_ICD_FILENAMES, LD_LIBRARY_PATH, ...rest } = env;
  let driver;
  try {
    driver = JSON.parse(DEEP_RFM_DRIVER);
  } catch {
    return env; // Not written by us.
  }
  const files = driver.icds?.join(delimiter);
  if (VK_DRIVER_FILES && VK_DRIVER_FILES !== files) rest.VK_DRIVER_FILES = VK_DRIVER_FILES;
  if (VK_ICD_FILENAMES && VK_ICD_FILENAMES !== files) rest.VK_ICD_FILENAMES = VK_ICD_FILENAMES;
  const libraries = (LD_LIBRARY_PATH ?? '').split(delimiter).filter((dir) => dir && dir !== driver.libraryDir);
  if (libraries.length) rest.LD_LIBRARY_PATH = libraries.join(delimiter);
  return rest;
}

export function userSetVulkan(env = process.env) {
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES } = withoutDriver(env);
  return Boolean(VK_DRIVER_FILES || VK_ICD_FILENAMES);
}

export const swiftshaderDir = (cacheDir) => join(cacheDir, `swiftshader-${SWIFTSHADER.version}`);

/** Whether a SwiftShader is all there. Sizes only, as this runs on every start: setup checks the sums. */
const isComplete = (dir) =>
  SWIFTSHADER.files.every(({ name, size }) => statSync(join(dir, name), { throwIfNoEntry: false })?.size === size);

/** The driver of an unpacked SwiftShader, or null if none is complete. */
export function installedSwiftshader(dirs = cacheDirs()) {
  const dir = dirs.filter(isTrusted).map(swiftshaderDir).find(isComplete);
  return dir ? { icds: [join(dir, 'vk_swiftshader_icd.json')], libraryDir: dir } : null;
}

/**
 * The SwiftShader and Vulkan loader that a bundle carries, or null. DEEP_RFM_BUNDLE is the bundle's folder, set by its
 * launcher.
 */
export function carriedSwiftshader(env = process.env) {
  const dir = env.DEEP_RFM_BUNDLE && join(env.DEEP_RFM_BUNDLE, 'swiftshader');
  return dir && isComplete(dir) ? { icds: [join(dir, 'vk_swiftshader_icd.json')], libraryDir: dir } : null;
}

/**
 * What must be set for a driver {icds, libraryDir}. Both names of the variable: loaders before 1.3.207 (Ubuntu 22.04)
 * know only the old one, later ones prefer the new one.
 */
export function driverEnv(driver, env = process.env) {
  const set = {};
  if (driver.icds?.length) {
    set.VK_DRIVER_FILES = driver.icds.join(delimiter);
    set.VK_ICD_FILENAMES = set.VK_DRIVER_FILES;
  }
  if (driver.libraryDir) {
    set.LD_LIBRARY_PATH = [driver.libraryDir, env.LD_LIBRARY_PATH].filter(Boolean).join(delimiter);
  }
  if (Object.keys(set).length) {
    set.DEEP_RFM_DRIVER = JSON.stringify({ icds: driver.icds, libraryDir: driver.libraryDir });
  }
  return set;
}

const driverExists = (driver) =>
  (driver.icds ?? []).every((icd) => existsSync(icd)) && (!driver.libraryDir || isComplete(driver.libraryDir));

/** lavapipe runs 8 lanes unless told that the CPU has 16. The head of the file is enough: all cores are alike. */
function hasAvx512(cpuinfo = '/proc/cpuinfo') {
  try {
    const fd = openSync(cpuinfo, 'r');
    try {
      const head = Buffer.alloc(8192);
      return /\bavx512f\b/.test(head.toString('latin1', 0, readSync(fd, head, 0, head.length, 0)));
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}

const STATE_SCHEMA = 1;
export const stateFile = (cacheDir) => join(cacheDir, 'adapter.json');

/** What setup decided, by choice: {auto: {kind, name, icds?, libraryDir?, fingerprint}, …}. Empty if it never ran. */
export function readState(dirs = cacheDirs()) {
  for (const dir of dirs.filter(isTrusted)) {
    try {
      const state = JSON.parse(readFileSync(stateFile(dir), 'utf8'));
      if (state.schema === STATE_SCHEMA && typeof state.choices === 'object') return state;
    } catch {
      // absent, or half written by something that is not us
    }
  }
  return { schema: STATE_SCHEMA, choices: {} };
}

/** The decision for this choice if its files are still there. */
export function decided(choice, dirs = cacheDirs()) {
  const entry = readState(dirs).choices[choice];
  return entry && driverExists(entry) ? entry : null;
}

/** The command that installs a driver: of a checkout, or of the package as npm installed it. */
export const SETUP = import.meta.url.includes('/node_modules/deep-rfm/') ? 'npx deep-rfm-setup' : 'npm run setup';

/** How an adapter is got: by setup in a checkout or of a package, by the machine's owner for a bundle. */
const installAdvice = (env, choice) =>
  env.DEEP_RFM_BUNDLE
    ? 'README.txt of the bundle says what the machine must have'
    : `run \`DEEP_RFM_ADAPTER=${choice} ${SETUP}\``;

/**
 * The variables to add to env at a process's start: the dynamic linker reads LD_LIBRARY_PATH only then. `problem` says why an adapter asked for by name is not to be had. `driver`, where the caller found one just now, wins
 * over what is on record.
 */
export function launchEnv(given = process.env, options = {}) {
  const env = withoutDriver(given);
  const {
    platform = process.platform,
    dirs = cacheDirs(env),
    icds = platform === 'linux' ? systemIcds(env) : [],
    avx512 = platform === 'linux' && hasAvx512(),
  } = options;
  const choice = adapterChoice(env);
  const set = {};
  if (avx512 && !env.LP_NATIVE_VECTOR_WIDTH) set.LP_NATIVE_VECTOR_WIDTH = '512';
  // Mesa keeps compiled texture functions under a name that does not tell the vector width: read by a process of
  // another width they crash it or give wrong numbers. So every width has a cache of its own.
  const width = env.LP_NATIVE_VECTOR_WIDTH || set.LP_NATIVE_VECTOR_WIDTH;
  if (platform === 'linux' && width && !env.MESA_SHADER_CACHE_DIR) {
    set.MESA_SHADER_CACHE_DIR = join(dirs[0], `mesa-${width}`);
  }
  let driver = options.driver ?? null;
  let problem = null;
  if (platform === 'linux' && !driver && !userSetVulkan(env)) {
    if (choice === 'swiftshader') {
      driver = carriedSwiftshader(env) ?? installedSwiftshader(dirs);
      if (!driver) problem = `SwiftShader is not in the cache: ${installAdvice(env, choice)}.`;
    } else if (choice === 'lavapipe') {
      driver = { icds: icds.filter(isLavapipeIcd) };
      if (!driver.icds.length) problem = `lavapipe is not installed: ${installAdvice(env, choice)}.`;
    } else if (choice === 'hardware') {
      driver = { icds: icds.filter((icd) => !isSoftwareIcd(icd)) };
      if (!driver.icds.length)
        problem = "no hardware Vulkan driver is installed: install your GPU's, or unset DEEP_RFM_ADAPTER.";
    } else {
      // With no decision on record (another user ran setup) a system without any driver can still use the cache.
      driver = decided('auto', dirs) ?? (icds.length ? null : installedSwiftshader(dirs));
    }
  }
  if (problem) problem = `DEEP_RFM_ADAPTER=${choice}: ${problem}`;
  else if (driver) Object.assign(set, driverEnv(driver, env));
  return { set, problem };
}

function dawnVersion() {
  try {
    const path = createRequire(import.meta.url).resolve('webgpu/package.json');
    return JSON.parse(readFileSync(path, 'utf8')).version;
  } catch {
    return null;
  }
}

/** Changes when a driver, the loader, a device or Dawn itself does: then setup asks Dawn again. */
export function fingerprint(choice, given = process.env) {
  const env = withoutDriver(given);
  const stamp = (path) => {
    try {
      const { size, mtimeMs } = statSync(path);
      return [path, size, mtimeMs];
    } catch {
      return null;
    }
  };
  const names = (dir, pattern) => {
    try {
      return readdirSync(dir)
        .filter((name) => pattern.test(name))
        .sort();
    } catch {
      return [];
    }
  };
  const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  const libraryDirs = [`/usr/lib/${triplet}`, `/lib/${triplet}`, '/usr/lib64', '/lib64', '/usr/lib', '/usr/local/lib'];
  const seen = [
    choice,
    process.platform,
    process.arch,
    process.version,
    process.getuid?.(),
    SWIFTSHADER.version,
    [env.VK_DRIVER_FILES, env.VK_ICD_FILENAMES, env.LD_LIBRARY_PATH, env.DEEP_RFM_NO_APT],
    systemIcds(env).map(stamp),
    libraryDirs.map((dir) => stamp(join(dir, 'libvulkan.so.1'))).filter(Boolean),
    names('/dev/dri', /./),
    names('/dev', /^(nvidia|kfd|dxg)/),
    dawnVersion(),
  ];
  return createHash('sha256').update(JSON.stringify(seen)).digest('hex').slice(0, 24);
}
