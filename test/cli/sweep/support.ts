/** Sweeps as users run them: the program behind its launcher, in processes of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Task } from '../../../src/cli/sweep/tasks.js';
import { deepRfmHere, ROOT } from '../program.js';

const LAUNCHER = join(ROOT, 'bin', 'deep-rfm.mjs');

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Started {
  child: ChildProcess;
  end: Promise<Ended>;
}

/** Starts the command line. */
export function start(args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Started {
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout!.on('data', (text) => {
    stdout += text;
  });
  child.stderr!.on('data', (text) => {
    stderr += text;
  });
  const end = once(child, 'close').then(([code, signal]) => ({ code, signal, stdout, stderr }));
  return { child, end };
}

/** Runs the command line to its end. */
export const deepRfm = (
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> => start(args, options).end;

/** Waits until something is so. */
export async function until<T>(what: string, found: () => T | null | undefined | false, seconds = 200): Promise<T> {
  for (const end = Date.now() + 1000 * seconds; Date.now() < end; await pause(50)) {
    const value = found();
    if (value) return value;
  }
  throw new Error(`not within ${seconds} s: ${what}`);
}

/** metrics.json without times and memory, as text: equal text is equal bits. */
export function metricsOf(folder: string): string {
  const metrics = JSON.parse(readFileSync(join(folder, 'metrics.json'), 'utf8'));
  delete metrics.memory;
  const timed = new Set(['seconds', 'compilationSeconds']);
  return JSON.stringify(metrics, (key, value) => (timed.has(key) ? undefined : value));
}

/** `metricsOf` of a run of a sweep to which nothing happens, in a folder of its own below `cwd`. */
export async function undisturbed({ args, index }: Task, cwd: string): Promise<string> {
  const out = `undisturbed-${index}`;
  const { code, stderr } = await deepRfmHere([...args, '--out', out, '--quiet'], { cwd });
  if (code !== 0) throw new Error(stderr.join('\n'));
  return metricsOf(join(cwd, out));
}

/** What a JSON file holds; null while it is not there, or not whole. */
export function jsonAt(path: string) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}

/** Times that the log of a run says that the results were written. */
export const completions = (folder: string): number =>
  readFileSync(join(folder, 'task.log'), 'utf8').match(/^wrote to /gm)?.length ?? 0;

/** Attempts that the log of a run tells of. */
export const loggedAttempts = (folder: string): number =>
  readFileSync(join(folder, 'task.log'), 'utf8').match(/^--- attempt /gm)?.length ?? 0;
