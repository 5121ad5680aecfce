/**
 * BullMQ: a sweep as jobs in a Redis or Valkey, one a task, for workers on any number of machines that share its folder. The
 * queue only says whose turn it is. Whether a task is done its result says, and a lease in its folder keeps a second owner
 * away, so that a job that is handed out twice is computed once.
 */

import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Job, Queue, Worker } from 'bullmq';
import { EXIT, inputError, RfmError } from '../../../errors.js';
import { messageOf } from '../../messages.js';
import { describeRedis, type RedisAddress } from '../redis-url.js';
import { runTask } from '../run-task.js';
import { readTasks, type Task } from '../tasks.js';

/** The queue's name in Redis. */
const QUEUE = 'deep-rfm-sweep';

/** What a job says: where the sweep is, and which of its tasks is meant. */
interface Work {
  dir: string;
  hash: string;
}

/** Milliseconds after which a job of a worker that is heard of no more is handed to another. */
const LOCK = 10_000;
/** Milliseconds between two looks for such jobs. */
const STALLED = 5000;
/** A lost machine is no fault of the job: with BullMQ's default of 1 the second one fails it for good. */
const MOST_STALLED = 1_000_000_000;
/** Milliseconds until a task that another owner is at work on is looked at again. */
const HELD = 3000;
/** Milliseconds in which Redis must answer at the start, and at the end. */
const PATIENCE = 5000;

type Packages = typeof import('bullmq') & { Redis: typeof import('ioredis').Redis };

/** @throws no-adapter error where the packages are not installed. */
async function packages(): Promise<Packages> {
  try {
    const [bullmq, { Redis }] = await Promise.all([import('bullmq'), import('ioredis')]);
    return { ...bullmq, Redis };
  } catch (error) {
    const [why] = String((error as Error).message).split(/\n| imported from /);
    throw new RfmError(
      'noAdapter',
      `sweeps over Redis need the packages bullmq and ioredis (${why}); \`npm install bullmq ioredis\` installs them`,
    );
  }
}

/** For BullMQ: a worker waits for its server as long as it takes, a command at the start does not. */
const connectionTo = (address: RedisAddress) => ({
  ...address,
  maxRetriesPerRequest: null,
  retryStrategy: (times: number) => Math.min(2000, 100 * times),
});

/** Words of Redis by which it refuses who asks. */
const REFUSED = /^(NOAUTH|WRONGPASS|NOPERM|ERR (AUTH|Client sent AUTH|invalid password|invalid username))/;

/** What INFO says under a name. */
const fact = (info: string, name: string): string | null =>
  new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? null;

/**
 * Whether jobs are safe in this server: it answers, keeps what it is given where memory is short, and finds it again after a
 * restart.
 * @throws input error where it refuses the password; no-adapter error for anything else.
 */
export async function checkRedis(address: RedisAddress): Promise<void> {
  const { Redis } = await packages();
  const at = describeRedis(address);
  const client = new Redis({
    ...address,
    lazyConnect: true,
    connectTimeout: PATIENCE,
    commandTimeout: PATIENCE,
    retryStrategy: () => null,
  });
  // Says why, where the rejection says only that the connection is closed.
  let said = '';
  client.on('error', (error: NodeJS.ErrnoException) => {
    said ||= error.message || (error.code ?? '');
  });
  let info: string;
  try {
    await client.connect();
    info = await client.info();
  } catch (error) {
    const why = said || (error as Error).message;
    if (REFUSED.test(why)) {
      const lacking = address.password === undefined;
      throw inputError(
        `--redis ${at}: the server ${lacking ? 'wants a password' : 'refuses the user or the password'} ` +
          `(${why.split(' ')[0]}); write them into the URL, redis://user:password@host`,
      );
    }
    throw new RfmError('noAdapter', `--redis ${at}: no answer (${why}); start Redis there, or correct the URL`);
  } finally {
    client.disconnect();
  }
  const policy = fact(info, 'maxmemory_policy');
  if (policy !== 'noeviction') {
    throw new RfmError(
      'noAdapter',
      `--redis ${at}: maxmemory-policy is ${policy ?? 'not told'}, so that jobs are lost where memory is short; set it to noeviction`,
    );
  }
  if (fact(info, 'aof_enabled') !== '1') {
    throw new RfmError(
      'noAdapter',
      `--redis ${at}: there is no append-only file, so that jobs are lost when the server ends; set appendonly to yes`,
    );
  }
}

/** The job of a task: by its folder and its configuration, so that a task that is enqueued twice is one job. */
function jobOf(dir: string, { hash }: Task) {
  const data: Work = { dir, hash };
  const jobId = createHash('sha256').update(JSON.stringify(data)).digest('hex');
  // What became of it stands in its folder. A job that stayed would keep the task from being enqueued again.
  return { name: 'task', data, opts: { jobId, removeOnComplete: true, removeOnFail: true } };
}

/** The jobs that would be enqueued. */
export const jobsOf = (dir: string, tasks: readonly Task[]) => tasks.map((task) => jobOf(realpathSync(dir), task));

/**
 * Enqueues the tasks, all in one step or none. Those that are in the queue already stay there once.
 * @throws as `checkRedis`.
 */
export async function enqueue(dir: string, tasks: readonly Task[], address: RedisAddress): Promise<void> {
  await checkRedis(address);
  const { Queue } = await packages();
  const queue: Queue = new Queue(QUEUE, { connection: { ...connectionTo(address), retryStrategy: () => null } });
  queue.on('error', () => {});
  try {
    const jobs = jobsOf(dir, tasks);
    const there = await Promise.all(jobs.map(({ opts }) => queue.getJob(opts.jobId)));
    const fresh = jobs.filter((_, i) => !there[i]);
    try {
      await queue.addBulk(jobs);
    } catch (error) {
      // BullMQ sends a pipeline, of which a server that is out of memory takes the first part.
      const gone = fresh.map(({ opts }) => queue.remove(opts.jobId));
      const kept = (await Promise.allSettled(gone)).filter(({ status }) => status === 'rejected').length;
      const left = kept === 0 ? 'nothing is enqueued' : 'what is enqueued is not known; to enqueue again is harmless';
      throw new RfmError('noAdapter', `--redis ${describeRedis(address)}: ${(error as Error).message}; ${left}`);
    }
  } catch (error) {
    if (error instanceof RfmError) throw error;
    throw new RfmError(
      'noAdapter',
      `--redis ${describeRedis(address)}: ${(error as Error).message}; nothing is enqueued`,
    );
  } finally {
    await queue.close();
  }
}

export interface WorkerOptions {
  /** Runs at the same time. */
  workers: number;
  /** End when no job is left. */
  drain: boolean;
  signal: AbortSignal;
  note(line: string): void;
  /** Added to the environment of the runs. */
  env: NodeJS.ProcessEnv;
}

/** What a worker did. */
export interface WorkerEnd {
  finished: number;
  failed: number;
}

/** The worker's own end: jobs go back, since they would fail here and may not elsewhere. */
class Unfit extends Error {
  constructor(readonly reason: RfmError) {
    super(reason.message);
  }
}

/** The task that a job means. */
function taskOf({ dir, hash }: Work): Task | null {
  let tasks: Task[];
  try {
    tasks = readTasks(dir);
  } catch (error) {
    throw new Unfit(error as RfmError);
  }
  return tasks.find((task) => task.hash === hash) ?? null;
}

/** What the jobs of one worker share. */
interface Shift {
  bullmq: Packages;
  options: WorkerOptions;
  end: WorkerEnd;
  /** Aborted with why no further job can be done here. */
  stop: AbortController;
  /** Runs under way; what becomes of their jobs waits for the server. */
  runs: Set<Promise<unknown>>;
}

async function giveBack({ bullmq }: Shift, job: Job<Work>, token: string | undefined, delay = 0): Promise<never> {
  if (delay > 0) {
    await job.moveToDelayed(Date.now() + delay, token);
    throw new bullmq.DelayedError();
  }
  await job.moveToWait(token);
  throw new bullmq.WaitingError();
}

/** One job: returns the hash of the result, or throws what tells BullMQ where the job belongs now. */
async function workOn(shift: Shift, job: Job<Work>, token: string | undefined): Promise<{ sha256: string }> {
  const { bullmq, options, end, stop } = shift;
  const { signal, note, env } = options;
  if (signal.aborted || stop.signal.aborted) return giveBack(shift, job, token);
  const task = taskOf(job.data);
  if (task === null) throw new bullmq.UnrecoverableError(`${job.data.dir} has no such task any more`);
  const run = runTask(job.data.dir, task, { signal, note, env }).catch((error: unknown) => {
    if (!(error instanceof RfmError)) throw error;
    // Another owner has the folder.
    const outcome = error.kind === 'internal' ? ('held' as const) : ('failed' as const);
    return { outcome, code: error.exitCode, why: messageOf(error) };
  });
  const ended: Promise<unknown> = run.catch(() => {}).finally(() => shift.runs.delete(ended));
  shift.runs.add(ended);
  const found = await run;
  if (found.outcome === 'finished') {
    end.finished++;
    note(`${task.folder}: ${found.already ? 'is finished' : 'finished'} (${job.data.dir})`);
    return { sha256: found.result.sha256 };
  }
  if (found.outcome === 'held') return giveBack(shift, job, token, HELD);
  if (found.outcome === 'interrupted') return giveBack(shift, job, token);
  if (found.code === EXIT.noAdapter) throw new Unfit(new RfmError('noAdapter', `task ${task.index}: ${found.why}`));
  end.failed++;
  note(`${task.folder}: failed: ${found.why} (${job.data.dir})`);
  throw new bullmq.UnrecoverableError(found.why);
}

/**
 * Works on jobs until the signal comes, or with `drain` until none is left. On the signal the runs end with their last
 * checkpoint, and their jobs go back into the queue at once.
 * @throws as `checkRedis`; no-adapter error as soon as one run finds no adapter, and the error of a sweep's folder that
 * cannot be read here: then the job went back.
 */
export async function work(address: RedisAddress, options: WorkerOptions): Promise<WorkerEnd> {
  await checkRedis(address);
  const bullmq = await packages();
  const shift: Shift = {
    bullmq,
    options,
    end: { finished: 0, failed: 0 },
    stop: new AbortController(),
    runs: new Set(),
  };
  const { signal, drain } = options;
  const { stop, end } = shift;
  const busy = new Set<Promise<unknown>>();
  async function takeJob(job: Job<Work>, token?: string): Promise<{ sha256: string }> {
    const doing = workOn(shift, job, token).catch((error: unknown) => {
      if (!(error instanceof Unfit)) throw error;
      stop.abort(error.reason);
      return giveBack(shift, job, token);
    });
    const settled: Promise<unknown> = doing.catch(() => {}).finally(() => busy.delete(settled));
    busy.add(settled);
    return doing;
  }
  const worker = openWorker(shift, address, takeJob);
  const running = worker.run().catch((error: Error) => {
    stop.abort(
      new RfmError('noAdapter', `--redis ${describeRedis(address)}: ${error.message}; start the worker again`),
    );
  });
  try {
    await until(AbortSignal.any([signal, stop.signal]), drain ? () => isEmpty(bullmq, address) : null);
    // No further job is taken; those that are under way go back as soon as their runs have ended.
    await patiently(worker.pause(true));
    await Promise.all(shift.runs);
    await patiently(Promise.all(busy));
  } finally {
    await patiently(worker.close());
    await patiently(running);
  }
  signal.throwIfAborted();
  stop.signal.throwIfAborted();
  return end;
}

function openWorker(
  { bullmq, options }: Shift,
  address: RedisAddress,
  takeJob: (job: Job<Work>, token?: string) => Promise<unknown>,
): Worker<Work> {
  const worker = new bullmq.Worker<Work>(QUEUE, takeJob, {
    connection: connectionTo(address),
    concurrency: options.workers,
    autorun: false,
    lockDuration: LOCK,
    stalledInterval: STALLED,
    maxStalledCount: MOST_STALLED,
  });
  let last = '';
  worker.on('error', ({ message }) => {
    if (message !== last) options.note(`note: ${describeRedis(address)}: ${message}`);
    last = message;
  });
  worker.on('ready', () => {
    last = '';
  });
  return worker;
}

/** Waits for a promise, but not for a server that is away. */
const patiently = (promise: Promise<unknown>): Promise<unknown> =>
  Promise.race([promise.catch(() => {}), pause(PATIENCE, undefined, { ref: false })]);

/** Until the signal, or until `done` says so, which is asked once a second. */
async function until(signal: AbortSignal, done: (() => Promise<boolean>) | null): Promise<void> {
  while (!signal.aborted) {
    await pause(1000, undefined, { signal }).catch(() => {});
    if (done !== null && !signal.aborted && (await done())) return;
  }
}

/** Whether no job is left, running ones counted in. A server that is away is asked again later. */
async function isEmpty({ Queue }: Packages, address: RedisAddress): Promise<boolean> {
  const queue: Queue = new Queue(QUEUE, { connection: { ...connectionTo(address), retryStrategy: () => null } });
  queue.on('error', () => {});
  try {
    const counts = await queue.getJobCounts('wait', 'active', 'delayed', 'prioritized');
    return Object.values(counts).every((count) => count === 0);
  } catch {
    return false;
  } finally {
    await patiently(queue.close());
  }
}
