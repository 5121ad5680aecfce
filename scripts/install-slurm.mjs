// Debian's Slurm, for the tests of sweeps on a cluster: its daemons are started by the tests, on this machine alone.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, hasApt } from './apt-install.mjs';
import { osRelease } from './install-lavapipe.mjs';
import { isMain } from './is-main.mjs';

const PACKAGES = ['slurmctld', 'slurmd', 'slurm-client', 'munge'];
const PROGRAMS = ['slurmctld', 'slurmd', 'sbatch', 'munged'];

/** Programs of Slurm that are missing. Daemons are not on every user's path. */
export function missingSlurm(env = process.env) {
  const folders = [...(env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin'];
  return PROGRAMS.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
}

/** Why the tests cannot have Slurm here, or null. */
export function slurmObstacle(env = process.env) {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'its daemons run as root here, and this is another user';
  if (missingSlurm(env).length === 0) return null;
  if (osRelease().ID !== 'debian') return 'this is not Debian';
  if (env.DEEP_RFM_NO_APT === '1') return 'DEEP_RFM_NO_APT=1 forbids apt';
  return hasApt(env) ? null : 'apt-get was not found';
}

/** Installs Slurm if it is not there. Returns null, or why it cannot be had. */
export function installSlurm({ note, env = process.env }) {
  const obstacle = slurmObstacle(env);
  if (obstacle) return `Slurm is not installed, and cannot be: ${obstacle}`;
  if (missingSlurm(env).length === 0) return null;
  note(`slurm: installing ${PACKAGES.join(', ')} with apt (about 20 MB), for the tests of sweeps`);
  return aptInstall(PACKAGES, { env });
}

if (isMain(import.meta.url)) {
  const failure = installSlurm({ note: (line) => process.stderr.write(`${line}\n`) });
  process.stderr.write(`slurm: ${failure ?? 'installed'}\n`);
  process.exitCode = failure ? 1 : 0;
}
