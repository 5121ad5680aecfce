/** Failed tasks, to be tried again. */

import { join } from 'node:path';
import { acquireLock } from '../lock.js';
import { commandLine } from '../output.js';
import { lastFailure, leasePath, readState, statusOf, writeState } from './state.js';
import type { Task } from './tasks.js';

/** Lets a failed task run again. Returns whether it had failed, and nobody was at work on it. */
export async function forgive(dir: string, task: Task): Promise<boolean> {
  if (statusOf(dir, task).phase !== 'failed') return false;
  const folder = join(dir, task.folder);
  const { lock } = acquireLock(leasePath(folder), commandLine());
  if (lock === null) return false;
  try {
    const state = readState(folder, task);
    if (state === null || lastFailure(state) === null) return false;
    await writeState(folder, { ...state, forgiven: state.attempts.length });
    return true;
  } finally {
    lock.release();
  }
}
