/** All tasks of a sweep on this machine, in order, one process a task. */

import { availableParallelism } from 'node:os';
import { EXIT, RfmError } from '../../errors.js';
import { formatSeconds } from '../../report/format.js';
import { messageOf } from '../messages.js';
import { runTask, type TaskEnd } from './run-task.js';
import { statusOf } from './state.js';
import { secondsLeft } from './status.js';
import type { Task } from './tasks.js';

export interface RunAllOptions {
  workers: number;
  signal: AbortSignal;
  note(line: string): void;
}

/** What became of the tasks. */
export interface RunAllEnd {
  finished: number;
  failed: { task: Task; code: number; why: string }[];
  /** Tasks that other owners are at work on. */
  left: Task[];
  /** Tasks that failed before, and were not tried again. */
  skipped: Task[];
}

/** Several runs share the processors: a software adapter would otherwise start as many threads as there are, for each. */
export function environment(workers: number): NodeJS.ProcessEnv {
  if (workers === 1 || process.env.LP_NUM_THREADS !== undefined) return {};
  return { LP_NUM_THREADS: String(Math.max(1, Math.floor(availableParallelism() / workers))) };
}

/**
 * Runs what is not finished, `workers` at a time. Tasks that failed are left to `sweep retry`.
 * @throws no-adapter error as soon as one task finds none, since all would; the signal's reason.
 */
export async function runAll(dir: string, tasks: readonly Task[], options: RunAllOptions): Promise<RunAllEnd> {
  const { workers, signal, note } = options;
  const env = environment(workers);
  const end: RunAllEnd = { finished: 0, failed: [], left: [], skipped: [] };
  const queue: Task[] = [];
  const done: { task: Task; seconds: number }[] = [];
  for (const task of tasks) {
    const { phase } = statusOf(dir, task);
    if (phase === 'finished') end.finished++;
    else if (phase === 'failed') end.skipped.push(task);
    else queue.push(task);
  }
  const total = queue.length;
  const open = new Set(queue);
  let ended = 0;
  const tell = (task: Task, what: string): void => {
    ended++;
    open.delete(task);
    const left = secondsLeft(done, [...open], workers);
    const rest =
      total - ended === 0 ? '' : `; ${total - ended} left${left === null ? '' : `, about ${formatSeconds(left)}`}`;
    note(`[${ended}/${total}] ${task.folder}: ${what}${rest}`);
  };
  function fail(task: Task, what: string, code: number, why: string): void {
    end.failed.push({ task, code, why });
    tell(task, `${what}: ${why}`);
    if (code === EXIT.noAdapter) throw new RfmError('noAdapter', `task ${task.index}: ${why}`);
  }
  async function one(task: Task): Promise<void> {
    const started = performance.now();
    let found: TaskEnd;
    try {
      found = await runTask(dir, task, { signal, note, env });
    } catch (error) {
      if (!(error instanceof RfmError)) throw error;
      return fail(task, 'failed', error.exitCode, messageOf(error));
    }
    const seconds = (performance.now() - started) / 1000;
    if (found.outcome === 'finished') {
      end.finished++;
      if (!found.already) done.push({ task, seconds });
      tell(task, found.already ? 'is finished' : `finished in ${formatSeconds(seconds)}`);
    } else if (found.outcome === 'held') {
      end.left.push(task);
      tell(task, found.why);
    } else if (!signal.aborted) fail(task, found.outcome, found.code, found.why);
  }
  const stop = new AbortController();
  async function worker(): Promise<void> {
    while (!signal.aborted && !stop.signal.aborted) {
      const task = queue.shift();
      if (task === undefined) return;
      await one(task);
    }
  }
  const ends = await Promise.allSettled(
    Array.from({ length: workers }, () =>
      worker().catch((error) => {
        stop.abort();
        throw error;
      }),
    ),
  );
  signal.throwIfAborted();
  for (const result of ends) if (result.status === 'rejected') throw result.reason;
  return end;
}
