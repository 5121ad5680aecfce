import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LOCK } from '../../../scripts/leftovers.mjs';
import { checkpointPath } from '../../../src/cli/sweep/state.js';
import { readTasks, type Task } from '../../../src/cli/sweep/tasks.js';
import { buildProgram, workFolder } from '../program.js';
import { type Cluster, clusterObstacle, startCluster } from './cluster.js';
import { completions, deepRfm, jsonAt, loggedAttempts, metricsOf, start, until } from './support.js';

const cwd = workFolder();
const obstacle = clusterObstacle();

const GRID = {
  command: 'run',
  flags: {
    ...{
      '--test-n': 20,
      '--depth': 2,
      '--width': 32,
      '--gram-layers': 'none',
      '--no-tune': true,
      '--no-figures': true,
    },
    ...{ '--n': [50, 60], '--activation': ['relu', 'cos'], '--seed': [0, 1, 2] },
  },
};

describe.skipIf(obstacle !== null)(
  `a cluster of two nodes${obstacle === null ? '' : ` (skipped: ${obstacle})`}`,
  () => {
    let cluster: Cluster;
    beforeAll(async () => {
      await buildProgram();
      cluster = startCluster();
    });
    afterAll(() => cluster?.stop());

    const dir = join(cwd, 'slurm');
    const folderOf = (task: Task): string => join(dir, task.folder);
    const stateOf = (task: Task) => jsonAt(join(folderOf(task), 'task.json'));
    /** The process that computes; null where none does. */
    const programOf = (task: Task): number | null => jsonAt(join(folderOf(task), LOCK))?.pid ?? null;
    const nodeOf = (job: string): string => cluster.ask('squeue', '--noheader', `--jobs=${job}`, '--format=%N').trim();
    const jobOf = (task: Task): string | null => stateOf(task)?.attempts.at(-1)?.job ?? null;
    const onCluster = (...args: string[]) => deepRfm(args, { cwd, env: cluster.env });
    /** Stops a run in its first layer: it is still at work, then, when something happens to it. */
    const stopped = (what: string, candidates: () => Task[]): Promise<Task> =>
      until(what, () =>
        candidates().find((task) => {
          const program = programOf(task);
          if (program === null || stateOf(task)?.attempts.length !== 1) return false;
          try {
            process.kill(program, 'SIGSTOP');
            // A run that has ended has no checkpoint either.
            const files = [checkpointPath(folderOf(task)), join(folderOf(task), 'metrics.json')];
            if (programOf(task) === program && !files.some((file) => existsSync(file))) return true;
            process.kill(program, 'SIGCONT');
          } catch {
            // It has ended.
          }
          return false;
        }),
      );

    it('runs go through preemption, a dead node, a kill and the time limit, to the results of a run here', async () => {
      writeFileSync(join(cwd, 'grid.json'), JSON.stringify(GRID));
      for (const out of ['slurm', 'here'])
        expect((await onCluster('sweep', 'plan', 'grid.json', '--out', out)).code).toBe(0);
      const tasks = readTasks(dir);
      expect(tasks).toHaveLength(12);
      const submitted = await onCluster('sweep', 'submit', 'slurm', '--engine', 'slurm', '--json', '--', '--time=1');
      expect(submitted).toMatchObject({ code: 0 });
      const [job] = JSON.parse(submitted.stdout).jobs as string[];
      const again = await onCluster('sweep', 'submit', 'slurm', '--engine', 'slurm');
      expect(again).toMatchObject({ code: 2 });
      expect(again.stderr).toContain(`job ${job} of this sweep is still in Slurm's queue`);

      // The first one stands still until its time is up.
      await stopped('the first run', () => [tasks[0]]);
      // A limit is a minute at least, of which half is left out here.
      cluster.ask('scontrol', 'update', `JobId=${job}_0`, 'EndTime=now+10');
      const stuck = nodeOf(`${job}_0`);
      const other = stuck === 'n1' ? 'n2' : 'n1';
      const here = start(['sweep', 'run', 'here', '--quiet'], { cwd, env: cluster.env });
      const runsOn = (node: string) =>
        tasks.slice(1).filter((task) => {
          const owner = jobOf(task);
          return owner !== null && programOf(task) !== null && nodeOf(owner) === node;
        });

      // So do the three that something happens to, and with them all slots.
      const pair: Task[] = [];
      const free = () => runsOn(other).filter((task) => !pair.includes(task));
      for (const which of ['one', 'another']) pair.push(await stopped(`${which} run on the other node`, free));
      const killed = await stopped('a run on the first node', () => runsOn(stuck));

      cluster.ask('sbatch', '--partition=high', `--nodelist=${other}`, '--output=/dev/null', '--wrap=sleep 1');
      const isPreempted = (task: Task): boolean =>
        /PreemptTime=\d/.test(cluster.ask('scontrol', 'show', 'job', jobOf(task)!));
      const preempted = await until('the preemption', () => pair.find(isPreempted));
      const lost = pair.find((task) => task !== preempted)!;
      try {
        process.kill(programOf(preempted)!, 'SIGCONT');
      } catch {
        // Its launcher has ended it by now.
      }
      await until('the run begun again', () => stateOf(preempted).attempts.length > 1);
      cluster.kill(other);
      process.kill(programOf(killed)!, 'SIGKILL');
      await until('the lost run in the queue', () => nodeOf(jobOf(lost)!) !== other);
      cluster.revive(other);

      await until('all jobs ended', () => cluster.ask('squeue', '--noheader', `--jobs=${job}`) === '');
      expect((await here.end).code).toBe(0);
      const status = await onCluster('sweep', 'status', 'slurm', '--json');
      const unfinished = JSON.parse(status.stdout).tasks.filter(({ phase }: { phase: string }) => phase !== 'finished');
      const logOf = (index: number): string =>
        readFileSync(join(dir, 'logs', `${job}_${index}.log`), 'utf8').slice(-1500);
      expect(
        unfinished.map(({ index, why, attempts }: { index: number; why: string; attempts: unknown }) => ({
          ...{ index, why, attempts },
          log: logOf(index),
        })),
      ).toEqual([]);

      const ends = (task: Task) => stateOf(task).attempts.map(({ code }: { code: number | null }) => code);
      expect(ends(tasks[0])).toEqual([143, 0]);
      expect(ends(killed)).toContain(137);
      // Its owner was killed before it could write how it ended.
      expect(ends(lost)).toContain(null);
      expect(ends(preempted)).toContain(143);
      for (const task of tasks) {
        const folder = folderOf(task);
        expect(metricsOf(folder), task.folder).toBe(metricsOf(join(cwd, 'here', task.folder)));
        expect(completions(folder), task.folder).toBe(1);
        expect(loggedAttempts(folder), task.folder).toBe(stateOf(task).attempts.length);
        const log = readFileSync(join(dir, 'logs', `${job}_${task.index}.log`), 'utf8');
        // The second way where a node dies after a result was written, and before its job had ended.
        expect(log, task.folder).toMatch(new RegExp(`task ${task.index} finished|the result of task ${task.index}\\b`));
        expect(log, task.folder).toContain('--- attempt 1,');
      }
      expect(readdirSync(join(dir, 'logs'))).toHaveLength(12);
      const none = await onCluster('sweep', 'submit', 'slurm', '--engine', 'slurm');
      expect(none).toMatchObject({ code: 2 });
      expect(none.stderr).toContain('there is no task to submit: all are finished');
    });

    it('prints several arrays, and submits nothing where sbatch refuses', async () => {
      const many = { command: 'run', flags: { '--n': 60, '--seed': Array.from({ length: 1010 }, (_, i) => i) } };
      writeFileSync(join(cwd, 'many.json'), JSON.stringify(many));
      expect((await onCluster('sweep', 'plan', 'many.json', '--out', 'many')).code).toBe(0);
      const printed = await onCluster('sweep', 'submit', 'many', '--engine', 'slurm', '--print', '--at-once', '4');
      expect(printed.stdout).toContain('#SBATCH --array=0-1000%4');
      expect(printed.stdout).toContain('#SBATCH --array=0-8%4');
      expect(printed.stdout).toContain('index=$((1001 + SLURM_ARRAY_TASK_ID))');
      expect(existsSync(join(cwd, 'many', 'slurm'))).toBe(false);
      const refused = await onCluster('sweep', 'submit', 'many', '--engine', 'slurm', '--', '--partition=none');
      expect(refused).toMatchObject({ code: 2, stdout: '' });
      expect(refused.stderr.trim().split('\n')).toEqual([expect.stringContaining('sbatch refused: ')]);
      expect(refused.stderr).toContain('invalid partition');
      expect(cluster.ask('squeue', '--noheader')).toBe('');
      // An sbatch that takes the first array, and refuses the second one, as at a limit of jobs a user.
      const bin = join(cwd, 'bin');
      mkdirSync(bin);
      const limited = [
        '#!/bin/bash',
        `if [ -e ${bin}/taken ]; then echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1; fi`,
        `touch ${bin}/taken`,
        `PATH=\${PATH#*:} exec sbatch "$@"`,
      ];
      writeFileSync(join(bin, 'sbatch'), limited.join('\n'), { mode: 0o755 });
      const env = { ...cluster.env, PATH: `${bin}:${cluster.env.PATH}` };
      const halves = await deepRfm(['sweep', 'submit', 'many', '--engine', 'slurm'], { cwd, env });
      expect(halves).toMatchObject({ code: 2, stdout: '' });
      expect(halves.stderr).toBe('deep-rfm: sbatch refused: QOSMaxSubmitJobPerUserLimit; nothing is submitted\n');
      expect(existsSync(join(bin, 'taken'))).toBe(true);
      expect(cluster.ask('squeue', '--noheader')).toBe('');
      expect(existsSync(join(cwd, 'many', 'slurm', 'submitted.jsonl'))).toBe(false);
    });
  },
);
