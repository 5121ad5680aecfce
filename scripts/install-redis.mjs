// Debian's Redis, for the tests of sweeps over it: they start a server of their own, on this machine alone.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, hasApt } from './apt-install.mjs';
import { osRelease } from './install-lavapipe.mjs';
import { isMain } from './is-main.mjs';

/** Path of an installed server, or null. */
export function findRedis(env = process.env) {
  const folders = [...(env.PATH ?? '').split(':'), '/usr/bin', '/usr/local/bin'];
  return folders.map((folder) => join(folder, 'redis-server')).find((path) => existsSync(path)) ?? null;
}

/** Why the tests cannot have Redis here, or null. */
export function redisObstacle(env = process.env) {
  if (findRedis(env)) return null;
  if (process.platform !== 'linux' || osRelease().ID !== 'debian') return 'this is not Debian';
  if (env.DEEP_RFM_NO_APT === '1') return 'DEEP_RFM_NO_APT=1 forbids apt';
  if (process.getuid?.() !== 0) return 'not root';
  return hasApt(env) ? null : 'apt-get was not found';
}

/** Installs Redis if it is not there. Returns null, or why it cannot be had. */
export function installRedis({ note, env = process.env }) {
  if (findRedis(env)) return null;
  const obstacle = redisObstacle(env);
  if (obstacle) return `Redis is not installed, and cannot be: ${obstacle}`;
  note('redis: installing redis-server with apt (about 10 MB), for the tests of sweeps');
  return aptInstall(['redis-server'], { env });
}

if (isMain(import.meta.url)) {
  const failure = installRedis({ note: (line) => process.stderr.write(`${line}\n`) });
  process.stderr.write(`redis: ${failure ?? findRedis()}\n`);
  process.exitCode = failure ? 1 : 0;
}
