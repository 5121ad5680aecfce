import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { LOCK } from '../../../scripts/leftovers.mjs';
import { readTasks } from '../../../src/cli/sweep/tasks.js';
import { buildProgram, deepRfmHere, workFolder } from '../program.js';
import { completions, deepRfm, jsonAt, loggedAttempts, metricsOf, start, undisturbed, until } from './support.js';

const cwd = workFolder();
const FLAGS = {
  '--test-n': 20,
  '--depth': 6,
  '--width': 32,
  '--gram-layers': 'none',
  '--no-tune': true,
  '--no-figures': true,
};

/** Plans a sweep of two seeds. */
async function planned(name: string, flags: object): Promise<string> {
  const grid = join(cwd, `${name}.json`);
  writeFileSync(grid, JSON.stringify({ command: 'run', flags: { ...FLAGS, ...flags } }));
  const end = await deepRfmHere(['sweep', 'plan', grid, '--out', name, '--quiet'], { cwd });
  expect(end).toMatchObject({ code: 0, stderr: [] });
  return join(cwd, name);
}
const statusOf = async (name: string) =>
  JSON.parse((await deepRfmHere(['sweep', 'status', name, '--json'], { cwd })).stdout);

beforeAll(buildProgram);

it('runs go on after Ctrl-C and after kill -9 of all that runs them, to the result of a plain run', async () => {
  const dir = await planned('kills', { '--n': 60, '--seed': [0, 1], '--depth': 12 });
  const [first, second] = readTasks(dir).map(({ folder }) => join(dir, folder));
  const state = join(first, 'checkpoint', 'state.bin');

  const stopped = start(['sweep', 'run', 'kills'], { cwd });
  await until('a checkpoint', () => existsSync(state));
  stopped.child.kill('SIGINT');
  const end = await stopped.end;
  expect(end.code).toBe(130);
  expect(end.stderr).toContain('runs keep their last checkpoint: the same command goes on');
  expect(existsSync(join(first, '.deep-rfm-lease'))).toBe(false);
  expect(existsSync(join(first, LOCK))).toBe(false);
  expect((await statusOf('kills')).counts).toMatchObject({ interrupted: 1, planned: 1 });

  const killed = start(['sweep', 'run', 'kills', '--quiet'], { cwd });
  const owner = await until('an owner', () => jsonAt(join(first, '.deep-rfm-lease'))?.pid);
  const running = await until('the run', () => jsonAt(join(first, LOCK))?.pid);
  // It could be done before it hears anything.
  process.kill(running, 'SIGSTOP');
  expect(existsSync(join(first, 'metrics.json'))).toBe(false);
  process.kill(owner, 'SIGKILL');
  await killed.end;
  // The run hears that its owner is gone.
  await until('the end of the run', () => spawnSync('kill', ['-0', String(running)]).status !== 0);

  const whole = await deepRfm(['sweep', 'run', 'kills', '--json', '--quiet'], { cwd });
  expect(whole.code).toBe(0);
  expect(JSON.parse(whole.stdout)).toMatchObject({ finished: 2, failed: [], left: [] });
  expect(loggedAttempts(first)).toBe(3);
  expect([first, second].map(completions)).toEqual([1, 1]);
  const { tasks, counts } = await statusOf('kills');
  expect(counts).toMatchObject({ finished: 2 });
  expect(tasks[0]).toMatchObject({ phase: 'finished', resumed: 2 });
  expect(tasks[0].attempts.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
    'interrupted',
    null,
    'finished',
  ]);

  const [task] = readTasks(dir);
  expect(metricsOf(first)).toBe(await undisturbed(task, cwd));

  const before = readFileSync(join(first, 'task.json'), 'utf8');
  const again = await deepRfmHere(['sweep', 'task', 'kills', '--index', '0'], { cwd });
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('holds the result of task 0') });
  expect(readFileSync(join(first, 'task.json'), 'utf8')).toBe(before);
  const beyond = await deepRfmHere(['sweep', 'task', 'kills', '--index', '2'], { cwd });
  expect(beyond.stderr.join('\n')).toContain('--index 2: kills has tasks 0 to 1');
});

it('of several owners at once one runs the task, and the others leave it with a clear word; a stale lease goes to one', async () => {
  const dir = await planned('owners', { '--n': 60, '--seed': [0] });
  const folder = join(dir, readTasks(dir)[0].folder);
  mkdirSync(folder, { recursive: true });
  // Of another machine, which has shown no sign of life for long.
  const gone = {
    token: 'gone',
    host: 'far',
    machine: 'far',
    pid: 1,
    began: null,
    command: 'x',
    job: '7_0',
    since: 'then',
  };
  const lease = join(folder, '.deep-rfm-lease');
  writeFileSync(lease, JSON.stringify(gone));
  const old = new Date(Date.now() - 3_600_000);
  utimesSync(lease, old, old);
  const ends = await Promise.all(
    Array.from({ length: 4 }, () => deepRfm(['sweep', 'task', 'owners', '--index', '0'], { cwd })),
  );
  expect(ends.map(({ code }) => code).sort()).toEqual([0, 2, 2, 2]);
  for (const { code, stderr } of ends) {
    // The one that runs it says that it took over, but where another one had removed the lease and came second.
    if (code === 2)
      expect(stderr.trim()).toMatch(/^deep-rfm: task 0: .* is at work in owners.runs.seed0; it is left alone$/);
  }
  expect(loggedAttempts(folder)).toBe(1);
  expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
});

it('a task that fails does not stop the others, is named, and runs again after a retry', async () => {
  const dir = await planned('failing', { '--dataset': 'cifar10', '--data-dir': cwd, '--n': 50, '--seed': [0, 1] });
  const run = () => deepRfm(['sweep', 'run', 'failing'], { cwd });
  const first = await run();
  expect(first.code).toBe(2);
  expect(first.stderr.split('\n').at(-2)).toMatch(
    /^deep-rfm: 2 of 2 tasks failed \(the first now: runs.seed0: .*data-dir/,
  );
  const { tasks, counts } = await statusOf('failing');
  expect(counts).toMatchObject({ failed: 2 });
  expect(tasks[0].why).toContain('--data-dir');
  expect((await run()).stdout).toContain('0 of 2 tasks finished, 2 failed');
  expect(loggedAttempts(join(dir, 'runs', 'seed0'))).toBe(1);
  const retried = await deepRfmHere(['sweep', 'retry', 'failing', '--index', '1'], { cwd });
  expect(retried.stdout).toContain('1 of 1 tasks had failed');
  expect((await statusOf('failing')).counts).toMatchObject({ failed: 1, interrupted: 1 });
  await run();
  expect(['seed0', 'seed1'].map((name) => loggedAttempts(join(dir, 'runs', name)))).toEqual([1, 2]);
});

it('results of another configuration are left alone', async () => {
  const dir = await planned('foreign', { '--n': 60, '--seed': [0] });
  const folder = join(dir, readTasks(dir)[0].folder);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'metrics.json'), '{"schema":"deep-rfm/metrics/1","version":"0"}');
  const refused = await deepRfmHere(['sweep', 'task', 'foreign', '--index', '0'], { cwd });
  expect(refused).toMatchObject({
    code: 2,
    stderr: [expect.stringContaining('holds metrics.json, which is not of this sweep')],
  });
  writeFileSync(
    join(folder, 'task.json'),
    JSON.stringify({ schema: 'deep-rfm/sweep-task/1', hash: 'other', attempts: [], forgiven: 0 }),
  );
  const other = await deepRfmHere(['sweep', 'status', 'foreign'], { cwd });
  expect(other).toMatchObject({ code: 2, stderr: [expect.stringContaining('is the folder of another configuration')] });
});
