/** What the folder of a task says: its attempts, its result, its owner. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { errorCode } from '../../data/files.js';
import { inputError } from '../../errors.js';
import { writeFileAtomic } from '../../report/atomic.js';
import { firstIssue } from '../../report/metrics-files.js';
import { SCHEMA } from '../../rfm/types.js';
import { type Holder, lockHolder } from '../lock.js';
import type { Task } from './tasks.js';

const STATE_SCHEMA = 'deep-rfm/sweep-task/1';

const attemptSchema = z.object({
  began: z.string(),
  host: z.string(),
  pid: z.int(),
  job: z.string().nullable(),
  // null: it has not ended, or its owner is gone.
  ended: z.string().nullable(),
  outcome: z.enum(['finished', 'interrupted', 'failed']).nullable(),
  code: z.int().nullable(),
  why: z.string().nullable(),
  /** Whether it left a checkpoint, or a later one than there was. */
  saved: z.boolean(),
});

const stateSchema = z.object({
  schema: z.literal(STATE_SCHEMA),
  hash: z.string(),
  attempts: z.array(attemptSchema),
  /** Attempts before the last `sweep retry`: that they failed counts no more. */
  forgiven: z.int().nonnegative(),
});

/** One try at a task. */
export type Attempt = z.infer<typeof attemptSchema>;
/** task.json in the folder of a task. Only the owner of the folder's lease writes it. */
export type TaskState = z.infer<typeof stateSchema>;

export const statePath = (folder: string): string => join(folder, 'task.json');
export const logPath = (folder: string): string => join(folder, 'task.log');
export const checkpointPath = (folder: string): string => join(folder, 'checkpoint', 'state.bin');
export const leasePath = (folder: string): string => join(folder, '.deep-rfm-lease');
const resultPath = (folder: string): string => join(folder, 'metrics.json');

export const emptyState = ({ hash }: Task): TaskState => ({ schema: STATE_SCHEMA, hash, attempts: [], forgiven: 0 });

const textAt = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error))) return null;
    throw inputError(`${path}: cannot be read (${errorCode(error)})`);
  }
};

/**
 * task.json of a folder; null if there is none.
 * @throws input error if it is damaged, or of a task of another configuration.
 */
export function readState(folder: string, task: Task): TaskState | null {
  const path = statePath(folder);
  const text = textAt(path);
  if (text === null) return null;
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw inputError(`${path}: expected JSON; delete the folder, and the task begins anew`);
  }
  const parsed = stateSchema.safeParse(document, { reportInput: true });
  if (!parsed.success) {
    throw inputError(`${path}: ${firstIssue(parsed.error)}; delete the folder, and the task begins anew`);
  }
  if (parsed.data.hash !== task.hash) {
    throw inputError(
      `${folder}: is the folder of another configuration (${parsed.data.hash.slice(0, 12)}…, task ${task.index} is ` +
        `${task.hash.slice(0, 12)}…); move it away, or plan the sweep in another folder`,
    );
  }
  return parsed.data;
}

export const writeState = (folder: string, state: TaskState): Promise<void> =>
  writeFileAtomic(statePath(folder), `${JSON.stringify(state, null, 2)}\n`);

/** What a finished run left. */
export interface Result {
  /** metrics.json. */
  document: Record<string, unknown>;
  /** SHA-256 of the file. */
  sha256: string;
}

/** Why a document is not all of a result; null if it is. A run that cannot go on writes the layers it has. */
function lacking(document: Record<string, unknown>): string | null {
  if (typeof document.schema !== 'string' || typeof document.version !== 'string') return 'has no schema and version';
  if (document.schema !== SCHEMA) return null;
  const { layers, config } = document as { layers?: unknown[]; config?: { depth?: number } };
  const [found, expected] = [layers?.length ?? 0, config?.depth ?? 0];
  return found < expected ? `has ${found} of ${expected} layers` : null;
}

/** The result in a folder, or why it is none; null for both if there is no metrics.json. */
export function resultIn(folder: string): { result: Result | null; problem: string | null } {
  const text = textAt(resultPath(folder));
  if (text === null) return { result: null, problem: null };
  try {
    const document = JSON.parse(text) as Record<string, unknown> | null;
    const problem = typeof document === 'object' && document !== null ? lacking(document) : 'holds no object';
    if (problem !== null) return { result: null, problem: `metrics.json ${problem}` };
    const sha256 = createHash('sha256').update(text).digest('hex');
    return { result: { document: document as Record<string, unknown>, sha256 }, problem: null };
  } catch {
    return { result: null, problem: 'metrics.json is damaged' };
  }
}

export type Phase = 'planned' | 'running' | 'interrupted' | 'failed' | 'finished';

/** Where a task is. */
export interface TaskStatus {
  task: Task;
  phase: Phase;
  state: TaskState | null;
  /** Of a running task. */
  owner: Holder | null;
  result: Result | null;
  /** Times it was begun again. */
  resumed: number;
  /** Of a failed task. */
  why: string | null;
}

/** Whether the last attempt failed, and nobody has asked for another since. */
export function lastFailure(state: TaskState | null): Attempt | null {
  const last = state?.attempts.at(-1);
  return state && last?.outcome === 'failed' && state.attempts.length > state.forgiven ? last : null;
}

/** A finished task, whose result is read when it is asked for. */
function finished(status: TaskStatus, folder: string): TaskStatus {
  let read: Result | null | undefined;
  return Object.defineProperty({ ...status, phase: 'finished' as const }, 'result', {
    enumerable: true,
    get() {
      if (read === undefined) read = resultIn(folder).result;
      return read;
    },
  });
}

/**
 * Where a task of a sweep is, by its result and its owner; nothing a scheduler says counts.
 * @throws input error if the folder is that of another configuration, or what is in it is damaged.
 */
export function statusOf(dir: string, task: Task): TaskStatus {
  const folder = join(dir, task.folder);
  const state = readState(folder, task);
  const status = { task, state, owner: null, result: null, resumed: 0, why: null };
  if (state === null) return { ...status, phase: 'planned' };
  const resumed = Math.max(0, state.attempts.length - 1);
  // Its owner has judged it, and files take their places whole: a thousand need not be read to be counted.
  const judged = state.attempts.at(-1)?.outcome === 'finished' && existsSync(resultPath(folder));
  if (judged || resultIn(folder).result) return finished({ ...status, resumed, phase: 'finished' }, folder);
  const lease = existsSync(leasePath(folder)) ? lockHolder(leasePath(folder)) : null;
  if (lease && !lease.gone) return { ...status, resumed, owner: lease.holder, phase: 'running' };
  const failure = lastFailure(state);
  if (failure) return { ...status, resumed, why: failure.why, phase: 'failed' };
  return { ...status, resumed, phase: state.attempts.length === 0 ? 'planned' : 'interrupted' };
}
