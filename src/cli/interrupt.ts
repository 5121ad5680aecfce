/**
 * Signals. The first one stops the work at its next step; half a second later the process is ended in any case: the
 * driver may be compiling or computing for many seconds, and everything that is written takes its place in one step.
 */

import { constants } from 'node:os';
import type { Hold } from '../../scripts/leftovers.mjs';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Milliseconds that the work has to end by itself. The launcher ends the process a little later (scripts/launch.mjs). */
let grace = 500;

/**
 * Gives the work longer to end after a signal, in milliseconds: for commands that wait for processes of their own and
 * have no device.
 */
export function allowGrace(milliseconds: number): void {
  grace = milliseconds;
  tellLauncher({ grace });
}

let outcome = 'nothing was written';

/** What an interrupted command leaves, for its last line. */
export function setInterruptOutcome(text: string): void {
  outcome = text;
}

export interface Interruption {
  /** Aborted by the first signal. Work stops at its next step and unwinds. */
  readonly signal: AbortSignal;
  /** The signal that came, or null. */
  cause(): NodeJS.Signals | null;
  /** Says what is left and ends the process: by an exit code, or at once where a device is open. */
  end(): void;
}

const farewells = new Set<() => void>();

/** Registers what is to be done before the process is ended by force, quickly and at once. Returns what takes it back. */
export function atForcedEnd(farewell: () => void): () => void {
  farewells.add(farewell);
  return () => farewells.delete(farewell);
}

/** Whether signals are watched, so that an open device needs not be closed after one: to close it waits for its work. */
let watching = false;
let deviceLeft = false;

/** Leaves an open device to the end of the process, if it is ended by a signal. */
export function leaveDevice(signal: AbortSignal): boolean {
  const left = watching && signal.aborted;
  deviceLeft ||= left;
  return left;
}

/**
 * To the launcher, where there is one: which folder to clear, should it have to end this process, and how long to wait
 * before it does.
 */
export function tellLauncher(message: { hold: Hold | null } | { grace: number }): void {
  if (watching && process.connected) process.send?.(message, undefined, undefined, () => {});
}

/** Turns Ctrl-C, kill and the end of the launcher into an orderly end. */
export function watchSignals(): Interruption {
  const controller = new AbortController();
  let first: (typeof SIGNALS)[number] | null = null;
  let ended = false;

  function end(forced = deviceLeft): void {
    if (first === null || ended) return;
    ended = true;
    process.exitCode = 128 + constants.signals[first];
    if (forced) for (const farewell of farewells) farewell();
    process.stderr.write(`deep-rfm: interrupted by ${first}; ${outcome}\n`);
    if (!forced) return;
    // Dies of the signal itself: an exit would run the driver's own end, which crashes while a device works.
    process.removeAllListeners(first);
    process.kill(process.pid, first);
  }

  function stop(name: (typeof SIGNALS)[number]): void {
    if (first !== null) return;
    first = name;
    process.stderr.write('\ndeep-rfm: stopping\n');
    controller.abort();
    setTimeout(() => end(true), grace).unref();
  }

  for (const name of SIGNALS) process.on(name, () => stop(name));
  process.on('message', (message: { stop?: unknown }) => {
    const name = SIGNALS.find((known) => known === message.stop);
    if (name) stop(name);
  });
  process.on('disconnect', () => stop('SIGTERM'));
  // It may have closed while this process started.
  if (process.connected === false) stop('SIGTERM');
  // The channel to the launcher is no reason to go on.
  process.channel?.unref();
  watching = true;
  return { signal: controller.signal, cause: () => first, end: () => end() };
}
