/** Two nodes of Slurm on this machine, from the configuration beside the checkout. */

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingSlurm, slurmObstacle } from '../../../scripts/install-slurm.mjs';
import { ROOT } from '../program.js';

const TEMPLATE = join(ROOT, '..', 'shared', 'slurm');

/** Why there can be no cluster here, or null. */
export function clusterObstacle(): string | null {
  if (!existsSync(join(TEMPLATE, 'start.sh'))) return 'there is no ../shared/slurm with a configuration of two nodes';
  const obstacle = slurmObstacle();
  if (obstacle) return obstacle;
  const missing = missingSlurm();
  return missing.length > 0 ? `${missing.join(', ')} missing; node scripts/install-slurm.mjs` : null;
}

/**
 * What differs for the tests. A job that is put back waits for cred_expire, 120 s by default and where it is below 5, and then for the next look
 * of the schedulers, at 60 and 30 s.
 */
const changes = (port: number): readonly [RegExp, string][] => [
  [/^SlurmctldPort=.*$/m, `SlurmctldPort=${port}`],
  [/ Port=\[\d+-\d+\]/, ` Port=[${port + 1}-${port + 2}]`],
  [/^(AuthInfo=.*)$/m, '$1,cred_expire=5'],
  [/^SlurmdTimeout=.*$/m, 'SlurmdTimeout=5'],
  [/^(SchedulerParameters=.*)$/m, '$1,sched_interval=2,bf_interval=2'],
  [/ CPUs=1 /, ' CPUs=2 '],
];

export interface Cluster {
  env: NodeJS.ProcessEnv;
  /** What a program of Slurm prints. */
  ask(program: string, ...args: string[]): string;
  /** kill -9 of a node's daemon and all that it runs. */
  kill(node: string): void;
  /** Starts the daemon of a node again. */
  revive(node: string): void;
  stop(): void;
}

export function startCluster(): Cluster {
  const conf = mkdtempSync(join(tmpdir(), 'deep-rfm-slurm-'));
  cpSync(TEMPLATE, conf, { recursive: true });
  execFileSync('chmod', ['-R', 'u+w', conf]);
  const template = join(conf, 'slurm.conf.in');
  // Another cluster may be here.
  const text = changes(20_000 + (process.pid % 10_000)).reduce(
    (found, [from, to]) => found.replace(from, to),
    readFileSync(template, 'utf8'),
  );
  writeFileSync(template, text);
  const path = `${process.env.PATH}:/usr/sbin`;
  const started = spawnSync(join(conf, 'start.sh'), { encoding: 'utf8', env: { ...process.env, PATH: path } });
  const dir = started.stdout.trim() || (/see (\S+)\/log/.exec(started.stderr)?.[1] ?? '');
  if (started.status !== 0) {
    if (dir !== '') execFileSync(join(conf, 'stop.sh'), [dir]);
    throw new Error(`start.sh: ${started.stderr}`);
  }
  const env = { PATH: path, SLURM_CONF: join(dir, 'slurm.conf') };
  const all = { ...process.env, ...env };
  return {
    env,
    ask: (program, ...args) => execFileSync(program, args, { encoding: 'utf8', env: all }),
    kill(node) {
      const daemon = Number(readFileSync(join(dir, `slurmd-${node}.pid`), 'utf8'));
      spawnSync('kill', ['-9', ...[daemon, ...processesOf(node, env.SLURM_CONF)].map(String)]);
    },
    revive: (node) => void execFileSync('slurmd', ['-N', node, '-f', env.SLURM_CONF], { env: all }),
    stop() {
      for (const node of ['n1', 'n2']) {
        for (const pid of processesOf(node, env.SLURM_CONF)) spawnSync('kill', ['-9', String(pid)]);
      }
      execFileSync(join(conf, 'stop.sh'), [dir], { env: all });
      rmSync(conf, { recursive: true, force: true });
    },
  };
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
};

/**
 * Processes of jobs on a node of this cluster, and before them the daemons of their steps, which are their parents: one
 * that outlives its work tells of it, as no dead node does.
 */
function processesOf(node: string, conf: string): number[] {
  const daemons = new Set<number>();
  const found: number[] = [];
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const environment = read(`/proc/${name}/environ`).split('\0');
    if (!environment.includes(`SLURMD_NODENAME=${node}`) || !environment.includes(`SLURM_CONF=${conf}`)) continue;
    found.push(Number(name));
    const parent = /^PPid:\s*(\d+)/m.exec(read(`/proc/${name}/status`))?.[1];
    if (parent && read(`/proc/${parent}/cmdline`).startsWith('slurmstepd')) daemons.add(Number(parent));
  }
  return [...daemons, ...found];
}
