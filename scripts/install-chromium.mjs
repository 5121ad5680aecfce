// Chromium, for the tests in a browser: the one on the path, or Debian's by apt. Ubuntu's package is a snap and of no use.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, hasApt } from './apt-install.mjs';
import { osRelease } from './install-lavapipe.mjs';
import { isMain } from './is-main.mjs';

/** Path of an installed Chromium, or null. DEEP_RFM_CHROMIUM names another one. */
export function findChromium(env = process.env) {
  if (env.DEEP_RFM_CHROMIUM) return existsSync(env.DEEP_RFM_CHROMIUM) ? env.DEEP_RFM_CHROMIUM : null;
  const folders = (env.PATH ?? '/usr/bin').split(':');
  return folders.map((folder) => join(folder, 'chromium')).find((path) => existsSync(path)) ?? null;
}

/** Why apt cannot install Chromium here, or null. */
export function chromiumObstacle(env = process.env) {
  if (env.DEEP_RFM_CHROMIUM) return `DEEP_RFM_CHROMIUM is ${env.DEEP_RFM_CHROMIUM}, which is not there`;
  if (process.platform !== 'linux' || osRelease().ID !== 'debian') return 'this is not Debian';
  if (env.DEEP_RFM_NO_APT === '1') return 'DEEP_RFM_NO_APT=1 forbids apt';
  if (process.getuid?.() !== 0) return 'not root';
  return hasApt(env) ? null : 'apt-get was not found';
}

/** Installs Chromium if it is not there. Returns null, or why it cannot be had. */
export function installChromium({ note, env = process.env }) {
  if (findChromium(env)) return null;
  const obstacle = chromiumObstacle(env);
  if (obstacle) return `Chromium is not installed, and cannot be: ${obstacle}`;
  note("browser: installing Debian's chromium with apt (about 350 MB), for the tests in a browser");
  return aptInstall(['chromium'], { env });
}

if (isMain(import.meta.url)) {
  const failure = installChromium({ note: (line) => process.stderr.write(`${line}\n`) });
  process.stderr.write(`browser: ${failure ?? findChromium()}\n`);
  process.exitCode = failure ? 1 : 0;
}
