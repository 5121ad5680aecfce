/**
 * Locks of folders: a small JSON file that says who works there. It is made with O_EXCL, so that of two that try only
 * one succeeds, on a network's file system, too. Its modification time is its holder's heartbeat.
 */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { removeLock } from '../../scripts/leftovers.mjs';
import { errorCode } from '../data/files.js';

/** Who holds a lock. */
export interface Holder {
  /** Tells this lock from every other. */
  token: string;
  host: string;
  /** Where a process of this number can be looked up: host, its boot, its process namespace. */
  machine: string;
  pid: number;
  /** When the process began, by its system: numbers of processes are given again. null: not known. */
  began: string | null;
  command: string;
  /** The scheduler's job it runs in; null outside of one. */
  job: string | null;
  /** ISO 8601. */
  since: string;
}

export interface Lock {
  readonly holder: Holder;
  /** Whether the file is still this lock's: another may have taken it over where this process stood still too long. */
  held(): boolean;
  /** Removes the file if it is still this lock's. Safe to call twice. */
  release(): void;
}

export type Acquired =
  /** `gone`: who left the lock that was taken over. */
  | { lock: Lock; gone: Holder | null }
  /** `holder` is null where another process is about to write or to take over the lock. */
  | { lock: null; holder: Holder | null };

export interface LockTimes {
  /** Milliseconds between heartbeats. */
  beat: number;
  /** Milliseconds without one, after which a holder on another machine counts as gone. */
  gone: number;
}
/** Attributes of network file systems are cached for up to a minute, and host work may block for seconds. */
const TIMES: LockTimes = { beat: 15_000, gone: 180_000 };

/** Milliseconds in which a lock is written after it was made; one that is still empty then was left so. */
const WRITTEN_WITHIN = 2000;

/** Milliseconds that a process may take to end after what it works for is gone. */
const ENDS_WITHIN = 5000;

const sleep = (milliseconds: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
};

function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

const machineOf = (): string => {
  const boot = attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const processes = attempt(() => readlinkSync('/proc/self/ns/pid'));
  return [hostname(), boot, processes].filter(Boolean).join(' ');
};

/** When a process began, in the words of its system; null where that cannot be told, 'ended' where there is none. */
function beginningOf(pid: number): string | null {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return 'ended';
  }
  if (process.platform === 'linux') {
    const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
    if (stat === null) return null;
    // The name in brackets may hold blanks and brackets itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return 'ZX'.includes(fields[0]) ? 'ended' : fields[19];
  }
  if (process.platform === 'win32') return null;
  const env = { ...process.env, LC_ALL: 'C' };
  const ps = (): string =>
    execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', env, stdio: 'pipe' });
  return attempt(() => ps().trim()) || null;
}

/** By the clock of the file system, which those of the hosts may differ from. */
function ageOf(path: string): number {
  const probe = `${path}-${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    closeSync(openSync(probe, 'wx'));
    return statSync(probe).mtimeMs - statSync(path).mtimeMs;
  } finally {
    rmSync(probe, { force: true });
  }
}

function isGone(path: string, holder: Holder, times: LockTimes): boolean {
  if (holder.machine !== machineOf()) return (attempt(() => ageOf(path)) ?? 0) > times.gone;
  const began = beginningOf(holder.pid);
  return began === 'ended' || (began !== null && holder.began !== null && began !== holder.began);
}

function parse(text: string | null): Holder | null {
  const found = text === null ? null : attempt(() => JSON.parse(text) as Partial<Holder> | null);
  const { token, host, machine, pid, began = null, command, job = null, since } = found ?? {};
  const strings = [token, host, machine, command, since].every((value) => typeof value === 'string');
  return strings && Number.isInteger(pid)
    ? ({ token, host, machine, pid, began, command, job, since } as Holder)
    : null;
}

/** The job of Slurm that this process runs in, by the numbers its users know; null outside of one. */
function jobOf(
  { SLURM_ARRAY_JOB_ID: array, SLURM_ARRAY_TASK_ID: task, SLURM_JOB_ID: job } = process.env,
): string | null {
  if (array && task) return `${array}_${task}`;
  return job || null;
}

const textOf = (holder: Holder): string => `${JSON.stringify(holder)}\n`;

/** Makes the file, or returns false if there is one. */
function create(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    // It may be there, empty: no space was left for its content.
    if (errorCode(error) === 'ENOSPC') rmSync(path, { force: true });
    throw error;
  }
}

/** Removes a lock whose holder is gone. One does it at a time: the second would remove the lock that the first makes. */
function removeGone(path: string, token: string | null): void {
  const guard = `${path}-takeover`;
  if (!create(guard, '')) {
    // Left by one that was killed within these few lines.
    if ((attempt(() => ageOf(guard)) ?? 0) > 10 * WRITTEN_WITHIN) rmSync(guard, { force: true });
    return;
  }
  try {
    const now = parse(attempt(() => readFileSync(path, 'utf8')));
    if ((now?.token ?? null) === token) rmSync(path, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

/** The holder of a lock that may just be being written; null if it is gone or nobody's. */
function read(path: string): { holder: Holder | null; empty: boolean } {
  for (let waited = 0; ; waited += 50) {
    const text = attempt(() => readFileSync(path, 'utf8'));
    const holder = parse(text);
    if (holder !== null || text === null) return { holder, empty: false };
    if (waited >= WRITTEN_WITHIN) return { holder: null, empty: true };
    sleep(50);
  }
}

/**
 * Takes the lock at `path`, whose folder must exist. One that was left by a process that is gone is taken over: on this
 * machine by its process, on another by its heartbeat.
 * @throws what the file system refuses, as it does.
 */
export function acquireLock(path: string, command: string, times: LockTimes = TIMES): Acquired {
  const holder: Holder = {
    token: randomBytes(8).toString('hex'),
    host: hostname(),
    machine: machineOf(),
    pid: process.pid,
    began: beginningOf(process.pid),
    command,
    job: jobOf(),
    since: new Date().toISOString(),
  };
  let gone: Holder | null = null;
  for (let tries = 0; tries < 50; tries++) {
    if (create(path, textOf(holder))) return { lock: hold(path, holder, times), gone };
    const found = read(path);
    if (found.holder === null && !found.empty) continue;
    if (found.holder && !isGone(path, found.holder, times)) return { lock: null, holder: found.holder };
    gone = found.holder;
    removeGone(path, found.holder?.token ?? null);
    sleep(10);
  }
  return { lock: null, holder: null };
}

/**
 * As `acquireLock`, but waits where it shows only later whether the holder lives. On another machine it lives if its
 * heartbeat moves; until then it may be gone, and its lock is taken over when the heartbeat is old. `orphan` says that
 * the holder on this machine may be about to end, since what it works for is gone.
 * @param onWait told once, before the first wait.
 * @throws what the file system refuses, and the reason of the signal where that ends the wait.
 */
export async function acquireLockPatiently(
  path: string,
  command: string,
  options: { times?: LockTimes; orphan?: boolean; signal: AbortSignal; onWait(holder: Holder): void },
): Promise<Acquired> {
  const { times = TIMES, orphan = false, signal, onWait } = options;
  const started = performance.now();
  let first: { token: string; beat: number } | null = null;
  for (;;) {
    const acquired = acquireLock(path, command, times);
    const { holder } = { holder: null, ...acquired };
    if (acquired.lock !== null || holder === null) return acquired;
    const elsewhere = holder.machine !== machineOf();
    if (!elsewhere && !(orphan && performance.now() - started < ENDS_WITHIN)) return acquired;
    if (elsewhere) {
      const beat = attempt(() => statSync(path).mtimeMs) ?? 0;
      if (first === null) onWait(holder);
      else if (first.token !== holder.token || first.beat !== beat) return acquired;
      first ??= { token: holder.token, beat };
    }
    await pause(elsewhere ? Math.min(1000, times.beat / 4) : 50, undefined, { signal });
  }
}

/** Who holds a lock, and whether it is gone; null where nobody does. Changes nothing. */
export function lockHolder(path: string, times: LockTimes = TIMES): { holder: Holder; gone: boolean } | null {
  const holder = parse(attempt(() => readFileSync(path, 'utf8')));
  return holder && { holder, gone: isGone(path, holder, times) };
}

/** Where and by whom: for messages. */
export const holderText = ({ command, pid, host, job, since }: Holder): string =>
  `\`${command}\` (process ${pid} on ${host}${job === null ? '' : `, job ${job}`}, since ${since})`;

/**
 * Writes what the file holds once more: its time is then by the clock of the file system, as `ageOf` has it. Through one
 * descriptor, so that a lock that takes the place of this one meanwhile is not written over.
 * @returns whether the file is still this holder's.
 */
function touch(path: string, holder: Holder): boolean {
  const file = attempt(() => openSync(path, 'r+'));
  if (file === null) return false;
  try {
    if (parse(readFileSync(file, 'utf8'))?.token !== holder.token) return false;
    writeSync(file, textOf(holder), 0);
    return true;
  } finally {
    closeSync(file);
  }
}

function hold(path: string, holder: Holder, { beat }: LockTimes): Lock {
  // The folder may have gone; whoever writes there next will say so.
  const heart = setInterval(() => void attempt(() => touch(path, holder)), beat);
  heart.unref();
  return {
    holder,
    held: () => parse(attempt(() => readFileSync(path, 'utf8')))?.token === holder.token,
    release() {
      clearInterval(heart);
      removeLock(path, holder.token);
    },
  };
}
