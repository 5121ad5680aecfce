/**
 * One task of a sweep, by whatever engine: taken with a lease, run as a child, and judged by its result. An engine calls
 * `runTask` (or starts `sweep task`) wherever it wants the task to run, as often as it likes.
 */

import { appendFileSync, closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { constants, hostname } from 'node:os';
import { join } from 'node:path';
import { LOCK } from '../../../scripts/leftovers.mjs';
import { inputError, RfmError } from '../../errors.js';
import { ensureOutputDirectory, writeError } from '../../report/atomic.js';
import { findingsIn } from '../../report/known-files.js';
import { type Acquired, acquireLockPatiently, type Holder, holderText, type Lock, type LockTimes } from '../lock.js';
import { commandLine } from '../output.js';
import { type ChildEnd, runCommandLine } from './command-line.js';
import {
  type Attempt,
  checkpointPath,
  emptyState,
  leasePath,
  logPath,
  type Result,
  readState,
  resultIn,
  type TaskState,
  writeState,
} from './state.js';
import type { Task } from './tasks.js';

export interface TaskOptions {
  /** Ends the run: it keeps its last whole layer or epoch, and the task goes on from there. */
  signal: AbortSignal;
  /** Receives remarks. */
  note(line: string): void;
  /** Added to the environment of the run. */
  env?: NodeJS.ProcessEnv;
  /** Of the lease. */
  times?: LockTimes;
  /** Called when the task is this process's, before anything of its run is in the log. */
  onBegin?: () => void;
}

/** How it ended. */
export type TaskEnd =
  /** `already`: nothing was run, since the result was there. */
  | { outcome: 'finished'; already: boolean; result: Result }
  /** Another owner is at work on it. */
  | { outcome: 'held'; why: string }
  /** `code` as shells count: 128 and the number of a signal. */
  | { outcome: 'interrupted' | 'failed'; code: number; why: string };

/** Of a run that was begun. */
type Judged = Exclude<TaskEnd, { outcome: 'held' }>;

/** Commands that go on from a checkpoint. The others begin again. */
const RESUMABLE = new Set(['run', 'train']);

/**
 * Runs a task to its end, or finds that it is finished. While it runs the folder is this process's: a lease in it names
 * host, process and job, and its heartbeat is its file's time. A lease whose owner is gone is taken over.
 * @param dir folder of the sweep.
 * @throws input error if the folder holds results that are not of this configuration; internal error if the lease is
 * lost to another owner, which has taken over.
 */
export async function runTask(dir: string, task: Task, options: TaskOptions): Promise<TaskEnd> {
  const folder = join(dir, task.folder);
  const before = readState(folder, task) && resultIn(folder).result;
  if (before) return { outcome: 'finished', already: true, result: before };
  await ensureOutputDirectory(folder, `task ${task.index}`);
  const taken = await take(leasePath(folder), task, { ...options, orphan: false });
  if (taken.lock === null) return heldBy(taken.holder, task, folder);
  const lease = taken.lock;
  try {
    const state = readState(folder, task);
    // Another may have finished it meanwhile.
    const { result } = resultIn(folder);
    if (state && result) return { outcome: 'finished', already: true, result };
    if (state === null) refuseForeign(folder, task);
    // Of a run whose owner is gone; it ends by itself.
    const free = await take(join(folder, LOCK), task, { ...options, orphan: true });
    if (free.lock === null) return heldBy(free.holder, task, folder);
    free.lock.release();
    options.signal.throwIfAborted();
    return await attempt(folder, task, state ?? emptyState(task), lease, options);
  } finally {
    lease.release();
  }
}

const heldBy = (holder: Holder | null, task: Task, folder: string): TaskEnd => ({
  outcome: 'held',
  why: `task ${task.index}: ${holder === null ? 'another process' : holderText(holder)} is at work in ${folder}; it is left alone`,
});

async function take(path: string, task: Task, options: TaskOptions & { orphan: boolean }): Promise<Acquired> {
  const { signal, note, times, orphan } = options;
  let acquired: Acquired;
  try {
    acquired = await acquireLockPatiently(path, commandLine(), {
      ...(times && { times }),
      ...{ signal, orphan },
      onWait: (holder) => note(`note: task ${task.index}: waiting for a sign of life of ${holderText(holder)}`),
    });
  } catch (error) {
    throw writeError(path, error) ?? error;
  }
  if (acquired.lock !== null && acquired.gone !== null) {
    note(`note: task ${task.index}: taken over from ${holderText(acquired.gone)}, which is gone`);
  }
  return acquired;
}

/** @throws input error if there are results, since nothing tells whose they are. */
function refuseForeign(folder: string, task: Task): void {
  const [found] = findingsIn(folder);
  if (found === undefined) return;
  throw inputError(
    `task ${task.index}: ${folder} holds ${found.file}, which is not of this sweep; move it away, and the task begins`,
  );
}

async function attempt(
  folder: string,
  task: Task,
  state: TaskState,
  lease: Lock,
  options: TaskOptions,
): Promise<Judged> {
  const { host, pid, job } = lease.holder;
  const now: Attempt = {
    ...{ began: new Date().toISOString(), host, pid, job },
    ...{ ended: null, outcome: null, code: null, why: null, saved: false },
  };
  const kept = checkpointTime(folder);
  const attempts = [...state.attempts, now];
  await writeState(folder, { ...state, attempts });
  const where = job === null ? `${hostname()}, process ${pid}` : `${hostname()}, job ${job}`;
  options.onBegin?.();
  appendFileSync(logPath(folder), `--- attempt ${attempts.length}, ${now.began}, ${where}\n`);
  const [command] = task.args;
  const args = [...task.args, '--out', folder, ...(RESUMABLE.has(command) ? ['--resume'] : [])];
  const child = await runCommandLine(args, {
    log: logPath(folder),
    signal: options.signal,
    ...(options.env && { env: options.env }),
    watch() {
      if (!lease.held())
        throw new RfmError('internal', `task ${task.index}: ${folder} was taken over by another owner`);
    },
  });
  const saved = checkpointTime(folder) !== kept;
  const end = unlessInVain(judge(folder, child, options.signal), state, { ...now, saved });
  if (!lease.held()) throw new RfmError('internal', `task ${task.index}: ${folder} was taken over by another owner`);
  const { outcome } = end;
  const rest = outcome === 'finished' ? { code: 0, why: null } : { code: end.code, why: end.why };
  await writeState(folder, {
    ...state,
    attempts: [...state.attempts, { ...now, ended: new Date().toISOString(), outcome, ...rest, saved }],
  });
  return end;
}

/** Signals by which schedulers and people take a run away; it goes on later. */
const TAKEN = new Set(['SIGINT', 'SIGTERM', 'SIGHUP']);
const numberOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];
const TAKEN_CODES = new Map([...TAKEN].map((signal) => [numberOf(signal as NodeJS.Signals), signal]));

/** By the result: a run that was ended after it had written it is finished. */
function judge(folder: string, { code, signal }: ChildEnd, aborted: AbortSignal): Judged {
  const { result, problem } = resultIn(folder);
  if (result) return { outcome: 'finished', already: false, result };
  const status = signal === null ? (code ?? 1) : numberOf(signal);
  const by = signal ?? TAKEN_CODES.get(status);
  if (by !== undefined && (TAKEN.has(by) || aborted.aborted))
    return { outcome: 'interrupted', code: status, why: `ended by ${by}` };
  return { outcome: 'failed', code: status === 0 ? 1 : status, why: whyFailed(folder, { code, signal }, problem) };
}

const checkpointTime = (folder: string): number =>
  statSync(checkpointPath(folder), { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Attempts in a row that are taken away before they have saved anything, until the task counts as failed. */
const IN_VAIN = 5;
/** Milliseconds that such an attempt had at least: a shorter one says nothing. */
const FAIR_CHANCE = 30_000;

/** A task whose time is never enough for its next checkpoint would be begun again for ever. */
function unlessInVain(end: Judged, { attempts, forgiven }: TaskState, now: Attempt): Judged {
  if (end.outcome !== 'interrupted') return end;
  const tries = [...attempts.slice(forgiven), { ...now, ended: new Date().toISOString(), outcome: end.outcome }];
  const last = tries.slice(-IN_VAIN);
  const inVain = last.every(
    ({ began, ended, outcome, saved }) =>
      outcome === 'interrupted' && !saved && ended !== null && Date.parse(ended) - Date.parse(began) >= FAIR_CHANCE,
  );
  if (last.length < IN_VAIN || !inVain) return end;
  return {
    outcome: 'failed',
    code: 1,
    why: `taken away ${IN_VAIN} times in a row before it had saved anything; give it more time`,
  };
}

const KILLED = 137;

function whyFailed(folder: string, { code, signal }: ChildEnd, problem: string | null): string {
  if (signal === 'SIGKILL' || code === KILLED) return 'killed by SIGKILL: by hand, or out of memory';
  if (signal !== null) return `ended by ${signal}`;
  const said = lastWords(folder);
  if (said !== null) return said;
  return `ended with exit code ${code} and left no result${problem === null ? '' : ` (${problem})`}`;
}

/** Bytes at the end of a log in which a last word is looked for. */
const TAIL = 1 << 14;

/** What the last attempt said when it ended: the line of its error; null if it said nothing. */
function lastWords(folder: string): string | null {
  const file = openSync(logPath(folder), 'r');
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(Math.min(size, TAIL));
    readSync(file, tail, 0, tail.length, size - tail.length);
    const lines = tail.toString('utf8').split('\n');
    const own = lines.slice(lines.findLastIndex((line) => line.startsWith('--- attempt ')) + 1);
    return own.findLast((line) => line.startsWith('deep-rfm: '))?.slice('deep-rfm: '.length) ?? null;
  } finally {
    closeSync(file);
  }
}
