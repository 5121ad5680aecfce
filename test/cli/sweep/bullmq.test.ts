import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findRedis, redisObstacle } from '../../../scripts/install-redis.mjs';
import { leasePath } from '../../../src/cli/sweep/state.js';
import { readTasks } from '../../../src/cli/sweep/tasks.js';
import { buildProgram, deepRfmHere, workFolder } from '../program.js';
import { freePort, PASSWORD, type Redis, startRedis } from './redis.js';
import { completions, deepRfm, jsonAt, metricsOf, type Started, start, undisturbed, until } from './support.js';

const cwd = workFolder();
const obstacle = findRedis() ? null : (redisObstacle() ?? 'run it by `npm test`, which installs it');

const GRID = {
  command: 'run',
  flags: {
    ...{
      '--n': 60,
      '--test-n': 20,
      // Long enough that a worker is killed while its run is under way.
      '--depth': 12,
      '--width': 32,
      '--gram-layers': 'none',
      '--no-tune': true,
      '--no-figures': true,
    },
    ...{ '--activation': ['relu', 'cos'], '--seed': [0, 1] },
  },
};

const plan = async (out: string, grid: object = GRID): Promise<void> => {
  writeFileSync(join(cwd, 'grid.json'), JSON.stringify(grid));
  expect((await deepRfmHere(['sweep', 'plan', 'grid.json', '--out', out, '--quiet'], { cwd })).code).toBe(0);
};

/** What everybody on the machine can read of a process and of those below it. */
function commandLines(pid: number): string {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return [readFileSync(`/proc/${pid}/cmdline`, 'utf8'), ...children.map(commandLines)].join('\n');
}

/** Text of all files of a folder. */
const textsIn = (folder: string): string =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n');

describe.skipIf(obstacle !== null)(`over Redis${obstacle === null ? '' : ` (left out: no Redis, ${obstacle})`}`, () => {
  let redis: Redis;
  const started: Started[] = [];
  beforeAll(async () => {
    await buildProgram();
    redis = await startRedis(join(cwd, 'redis'));
    await plan('queue');
    await plan('fresh');
  });
  afterAll(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await redis?.stop();
  });

  const dir = join(cwd, 'queue');
  const folders = () => readTasks(dir).map(({ folder }) => join(dir, folder));
  const worker = (...more: string[]): Started => {
    const one = start(['sweep', 'worker', '--redis', redis.url, ...more], { cwd });
    started.push(one);
    return one;
  };
  const submit = (out: string, url: string) =>
    deepRfmHere(['sweep', 'submit', out, '--engine', 'bullmq', '--redis', url], { cwd });
  /** The process that holds the lease of a task, which is the worker behind its launcher; null: none. */
  const owners = () => folders().map((folder) => jsonAt(leasePath(folder))?.pid as number | undefined);
  const finished = () => folders().filter((folder) => existsSync(join(folder, 'metrics.json'))).length;

  it('workers are killed, stopped, and lose Redis, and the results are those of runs here', async () => {
    for (const time of [1, 2]) expect(await submit('queue', redis.url), `time ${time}`).toMatchObject({ code: 0 });

    const workers = [worker(), worker()];
    const programOf = (one: Started): Promise<number> =>
      until('a worker with a task', () => {
        const below = childrenOf(one.child.pid!);
        return owners().find((pid) => pid !== undefined && below.includes(pid));
      });
    for (let kill = 0; kill < 4; kill++) {
      const at = kill % 2;
      const victim = await programOf(workers[at]);
      if (kill === 0) expect(commandLines(workers[at].child.pid!)).not.toContain(PASSWORD);
      process.kill(victim, 'SIGKILL');
      await workers[at].end;
      workers[at] = worker();
    }
    await Promise.all(workers.map(programOf));
    await redis.stop();
    await redis.start();
    await programOf(workers[1]);
    workers[1].child.kill('SIGTERM');
    const stopped = await workers[1].end;
    expect(stopped).toMatchObject({ code: 143 });
    expect(stopped.stderr).toContain('its tasks are back in the queue');
    const last = worker('--drain');
    expect(await last.end).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/finished, 0 failed; no task is left/),
    });
    workers[0].child.kill('SIGTERM');
    expect((await workers[0].end).code).toBe(143);
    expect(finished()).toBe(4);

    for (const task of readTasks(dir)) {
      const { folder } = task;
      expect(metricsOf(join(dir, folder))).toBe(await undisturbed(task, cwd));
      expect(completions(join(dir, folder)), folder).toBe(1);
      const { attempts } = jsonAt(join(dir, folder, 'task.json')) as { attempts: { outcome: string | null }[] };
      // None by its owner where a run outlived its worker by the moment that it needed to finish.
      expect(attempts.filter(({ outcome }) => outcome === 'finished').length).toBeLessThan(2);
    }
    expect(textsIn(dir)).not.toContain(PASSWORD);
    const all = await Promise.all(started.map(({ end }) => end));
    expect(all.map(({ stdout, stderr }) => stdout + stderr).join('\n')).not.toContain(PASSWORD);
    // Paths and hashes.
    const kept = readdirSync(join(cwd, 'redis', 'appendonlydir')).map((name) =>
      readFileSync(join(cwd, 'redis', 'appendonlydir', name), 'latin1'),
    );
    expect(kept.join('')).toContain(dir);
    expect(kept.join('')).not.toMatch(/nc1|layers|--seed/);
  });

  it('enqueues nothing that is finished', async () => {
    const { code, stderr } = await submit('queue', redis.url);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: ['deep-rfm: queue: there is no task to submit: all are finished'],
    });
  });

  it('takes the URL from a file and from the environment', async () => {
    const file = join(cwd, 'queue.url');
    writeFileSync(file, `${redis.url}\n`, { mode: 0o600 });
    for (const [flags, env] of [
      [['--redis', file], {}],
      [[], { DEEP_RFM_REDIS: redis.url }],
    ] as const) {
      const { code, stdout } = await deepRfmHere(['sweep', 'worker', '--drain', ...flags], { cwd, env });
      expect({ code, stdout }).toEqual({ code: 0, stdout: '0 tasks finished, 0 failed; no task is left\n' });
    }
  });

  it('gives a job back, and ends, where no run finds an adapter; one that waits outlives a restart of Redis', async () => {
    await plan('other', { ...GRID, flags: { ...GRID.flags, '--seed': [0], '--depth': 1 } });
    expect((await submit('other', redis.url)).code).toBe(0);
    const env = { VK_DRIVER_FILES: '/nonexistent', VK_ICD_FILENAMES: '/nonexistent' };
    const lost = await deepRfm(['sweep', 'worker', '--redis', redis.url], { cwd, env });
    expect(lost).toMatchObject({ code: 3, stderr: expect.stringMatching(/deep-rfm: task \d: no GPU adapter found/) });
    const waiting = worker('--workers', '2');
    const results = (out: string) =>
      readTasks(join(cwd, out)).map((task) => join(cwd, out, task.folder, 'metrics.json'));
    await until('the runs that were given back', () => results('other').every(existsSync));
    await redis.stop();
    await redis.start();
    await plan('later', { ...GRID, flags: { ...GRID.flags, '--activation': 'relu', '--seed': [0], '--depth': 1 } });
    expect((await submit('later', redis.url)).code).toBe(0);
    await until('a run after the restart', () => results('later').every(existsSync));
    // It ends, too, where the server is away: what it held goes back when its locks have run out.
    await redis.stop();
    waiting.child.kill('SIGTERM');
    expect((await waiting.end).code).toBe(143);
    await redis.start();
  });

  it.each<[string, string[], (port: number) => string, number, RegExp]>([
    ['wants a password', [], (port) => `redis://127.0.0.1:${port}`, 2, /wants a password \(NOAUTH\)/],
    [
      'refuses it',
      [],
      (port) => `redis://:wrong-one@127.0.0.1:${port}`,
      2,
      /refuses the user or the password \(WRONGPASS\)/,
    ],
    [
      'evicts',
      ['--maxmemory-policy', 'allkeys-lru'],
      (port) => `redis://:${PASSWORD}@127.0.0.1:${port}`,
      3,
      /maxmemory-policy is allkeys-lru, .*set it to noeviction/,
    ],
    [
      'keeps no file',
      ['--appendonly', 'no'],
      (port) => `redis://:${PASSWORD}@127.0.0.1:${port}`,
      3,
      /no append-only file, .*set appendonly to yes/,
    ],
  ])('refuses a server that %s, in one line', async (_what, settings, urlOf, code, words) => {
    const server = await startRedis(join(cwd, `redis-${settings[1] ?? 'password'}`), settings);
    try {
      for (const args of [['submit', 'fresh', '--engine', 'bullmq'], ['worker']]) {
        const end = await deepRfmHere(['sweep', ...args, '--redis', urlOf(server.port)], { cwd });
        expect(end).toMatchObject({ code, stdout: '', stderr: [expect.stringMatching(words)] });
        expect(end.stderr[0]).not.toMatch(/open-sesame|wrong-one/);
      }
    } finally {
      await server.stop();
    }
  });

  it('takes back what it enqueued where the server has no room for all of it', async () => {
    const seeds = Array.from({ length: 3000 }, (_, seed) => seed);
    await plan('many', { ...GRID, flags: { ...GRID.flags, '--activation': 'relu', '--seed': seeds } });
    const server = await startRedis(join(cwd, 'redis-small'), ['--maxmemory', '2500000']);
    try {
      const end = await submit('many', server.url);
      expect(end).toMatchObject({
        code: 3,
        stdout: '',
        stderr: [expect.stringMatching(/OOM .*; nothing is enqueued$/)],
      });
      const { code, stdout } = await deepRfmHere(['sweep', 'worker', '--redis', server.url, '--drain'], { cwd });
      expect({ code, stdout }).toEqual({ code: 0, stdout: '0 tasks finished, 0 failed; no task is left\n' });
    } finally {
      await server.stop();
    }
  });

  it('refuses a server that is not there', async () => {
    const port = await freePort();
    const end = await submit('queue', `redis://127.0.0.1:${port}`);
    expect(end.code).toBe(2); // Nothing is left to submit; said first.
    const none = await deepRfmHere(['sweep', 'worker', '--redis', `redis://127.0.0.1:${port}`], { cwd });
    expect(none).toMatchObject({ code: 3, stdout: '' });
    expect(none.stderr).toEqual([
      expect.stringMatching(
        /^deep-rfm: --redis redis:\/\/127\.0\.0\.1:\d+\/0: no answer \(connect ECONNREFUSED [^)]*\); start Redis there, or correct the URL$/,
      ),
    ]);
  });
});

/** Processes directly below one. */
const childrenOf = (pid: number): number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
};
