/** The command line as a child of this process. Whatever runs tasks starts them so: nothing is computed in its own process. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { resolve } from 'node:path';

/** Milliseconds from SIGTERM to SIGKILL. The child's launcher ends it within one second. */
const CHILD_GRACE = 8000;

/** How a child ended. */
export interface ChildEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  /** Its stdout and stderr are appended here. Not through this process, which may be killed. */
  log: string;
  env?: NodeJS.ProcessEnv;
  /** Ends the child with SIGTERM, and with SIGKILL if that takes too long. */
  signal: AbortSignal;
  /** Looked at every second: an error that it throws ends the child at once and is thrown. */
  watch?: () => void;
}

/** The launcher that started this process; the program itself where it runs without one. */
const launcher = (): string => resolve(process.env.DEEP_RFM_LAUNCHER ?? process.argv[1]);

/** The words that start the command line. */
export const commandWords = (): string[] => [process.execPath, ...process.execArgv, launcher()];

/** The environment that this process's launcher was started in: what it added is for the adapter of this machine. */
export function callersEnvironment(): NodeJS.ProcessEnv {
  const { DEEP_RFM_LAUNCHER: _, DEEP_RFM_ORIGIN: origin = '{}', ...env } = process.env;
  for (const [name, value] of Object.entries(JSON.parse(origin) as Record<string, string | null>)) {
    if (value === null) delete env[name];
    else env[name] = value;
  }
  return env;
}

/**
 * Runs the command line to its end. The child ends when this process does, whatever ends it: it holds a channel to it.
 * @throws what `watch` throws, and what the system says where no process can be started.
 */
export async function runCommandLine(args: readonly string[], options: ChildOptions): Promise<ChildEnd> {
  const log = openSync(options.log, 'a');
  let child: ChildProcess;
  try {
    const [node, ...words] = commandWords();
    child = spawn(node, [...words, ...args], {
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...callersEnvironment(), ...options.env },
    });
  } finally {
    closeSync(log);
  }
  return new Promise((resolve, reject) => {
    let problem: unknown = null;
    let timer: NodeJS.Timeout | undefined;
    const stop = (): void => {
      child.kill('SIGTERM');
      timer = setTimeout(() => child.kill('SIGKILL'), CHILD_GRACE);
    };
    const look = setInterval(() => {
      try {
        options.watch?.();
      } catch (error) {
        problem = error;
        child.kill('SIGKILL');
      }
    }, 1000);
    const done = (): void => {
      clearInterval(look);
      clearTimeout(timer);
      options.signal.removeEventListener('abort', stop);
    };
    child.once('error', (error) => {
      done();
      reject(error);
    });
    child.once('exit', (code, signal) => {
      done();
      if (problem === null) resolve({ code, signal });
      else reject(problem);
    });
    if (options.signal.aborted) stop();
    else options.signal.addEventListener('abort', stop);
  });
}
