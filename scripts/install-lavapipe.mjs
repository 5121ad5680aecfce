// lavapipe, Mesa's Vulkan on the CPU, by apt.

import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aptPlan, BACKPORTS_FILE, PACKAGES, parseOsRelease, readSources } from './apt-sources.mjs';

const SOURCE_PATH = join('/etc/apt/sources.list.d', BACKPORTS_FILE);
const TIMEOUT_MS = 20 * 60_000;

const readText = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** What this machine's apt would do: aptPlan's answer. */
export function lavapipePlan(env = process.env) {
  const hasApt = (env.PATH ?? '/usr/bin').split(':').some((dir) => existsSync(join(dir, 'apt-get')));
  const osRelease = parseOsRelease(readText('/etc/os-release') || readText('/usr/lib/os-release'));
  return aptPlan({
    platform: process.platform,
    uid: process.getuid?.(),
    env,
    osRelease,
    hasApt,
    sources: readSources(),
  });
}

/** Carries the plan out. Resolves to null, or to the reason it failed; apt's output is shown only then. */
export function installLavapipe({ suite, addSource }, { note, env = process.env }) {
  const from = suite ? ` from ${suite}` : '';
  note(`adapter: installing ${PACKAGES.join(' and ')}${from} with apt: no Vulkan driver that Dawn accepts is present`);
  const dir = mkdtempSync(join(tmpdir(), 'deep-rfm-apt-'));
  const log = join(dir, 'log');
  const fd = openSync(log, 'w');
  const apt = (...args) => {
    const options = ['-y', '-o', 'DPkg::Lock::Timeout=180', '-o', 'Dpkg::Options::=--force-confold'];
    const result = spawnSync('apt-get', [...options, ...args], {
      env: { ...env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
      stdio: ['ignore', fd, fd],
      timeout: TIMEOUT_MS,
    });
    return result.status === 0;
  };
  try {
    if (addSource) {
      note(`adapter: writing ${SOURCE_PATH} (the suite ${suite}, from this machine's own mirror)`);
      writeFileSync(SOURCE_PATH, addSource, { mode: 0o644 });
    }
    // Fails when any source fails, a third party's included; what counts is whether the packages can be installed.
    const updated = apt('update');
    const target = suite ? ['-t', suite] : [];
    if (apt('install', '--no-install-recommends', ...target, ...PACKAGES)) return null;
    if (addSource) rmSync(SOURCE_PATH, { force: true }); // leave apt as it was
    const tail = readText(log).trimEnd().split('\n').slice(-25).join('\n');
    process.stderr.write(`${tail}\n`);
    return `apt-get ${updated ? '' : 'update and apt-get '}install failed (its output is above)`;
  } catch (error) {
    return error.message;
  } finally {
    closeSync(fd);
    rmSync(dir, { recursive: true, force: true });
  }
}
