// Debian's packages by apt-get, quietly: its output is shown only where it fails.

import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TIMEOUT_MS = 20 * 60_000;

export const hasApt = (env = process.env) =>
  (env.PATH ?? '/usr/bin').split(':').some((dir) => existsSync(join(dir, 'apt-get')));

/** Installs packages, from `suite` where one is given. Returns null, or the reason it failed. */
export function aptInstall(packages, { suite = null, env = process.env } = {}) {
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
    // Fails when any source fails, a third party's included; what counts is whether the packages can be installed.
    const updated = apt('update');
    const target = suite ? ['-t', suite] : [];
    if (apt('install', '--no-install-recommends', ...target, ...packages)) return null;
    const tail = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-25).join('\n');
    process.stderr.write(`${tail}\n`);
    return `apt-get ${updated ? '' : 'update and apt-get '}install failed (its output is above)`;
  } catch (error) {
    return error.message;
  } finally {
    closeSync(fd);
    rmSync(dir, { recursive: true, force: true });
  }
}
