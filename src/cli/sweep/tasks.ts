/** The tasks of a sweep: DIR/tasks.jsonl, one line each. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { errorCode } from '../../data/files.js';
import { inputError } from '../../errors.js';
import { firstIssue } from '../../report/metrics-files.js';

const hash = z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 in hexadecimal digits');

const taskSchema = z.strictObject({
  index: z.int().nonnegative(),
  args: z.array(z.string()).min(1),
  folder: z.string().regex(/^runs\/[^/]+$/, 'expected a folder of runs/'),
  hash,
  operations: z.number().nullable(),
});

/** One run of a sweep. */
export interface Task {
  /** From 0: the number of its line. */
  index: number;
  /** The command and all its flags, but for the output folder. Paths are absolute. */
  args: string[];
  /** Where it writes, in the folder of the sweep. */
  folder: string;
  /** SHA-256 of its configuration. */
  hash: string;
  /** Floating-point operations by the plan of the run; null for a command that has no plan. */
  operations: number | null;
}

export const tasksPath = (dir: string): string => join(dir, 'tasks.jsonl');

/** SHA-256 of a command with the parsed values of its flags, whatever their order and however a number is written. */
export function configurationHash(command: string, flags: ReadonlyMap<string, unknown>): string {
  const sorted = [...flags].sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([command, ...sorted]))
    .digest('hex');
}

/** The text of tasks.jsonl. */
export const tasksText = (tasks: readonly Task[]): string => tasks.map((task) => `${JSON.stringify(task)}\n`).join('');

/** The text of a sweep's tasks.jsonl; null if there is none. */
export function tasksTextIn(dir: string): string | null {
  try {
    return readFileSync(tasksPath(dir), 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error))) return null;
    throw inputError(`${tasksPath(dir)}: cannot be read (${errorCode(error)}); give the folder of a sweep`);
  }
}

/**
 * The tasks of a sweep.
 * @throws input error for a folder without tasks, and for a damaged list.
 */
export function readTasks(dir: string): Task[] {
  const text = tasksTextIn(dir);
  if (text === null) {
    throw inputError(
      `${tasksPath(dir)}: there is no such file; make it with \`deep-rfm sweep plan GRID.json --out ${dir}\``,
    );
  }
  const lines = text.split('\n').filter((line) => line !== '');
  if (lines.length === 0) throw inputError(`${tasksPath(dir)}: is empty; delete it and plan the sweep again`);
  return lines.map((line, index) => {
    const at = `${tasksPath(dir)}: line ${index + 1}`;
    let document: unknown;
    try {
      document = JSON.parse(line);
    } catch {
      throw inputError(`${at}: expected JSON; delete the file and plan the sweep again`);
    }
    const parsed = taskSchema.safeParse(document, { reportInput: true });
    if (!parsed.success)
      throw inputError(`${at}: ${firstIssue(parsed.error)}; delete the file and plan the sweep again`);
    if (parsed.data.index !== index) {
      throw inputError(
        `${at}: found index ${parsed.data.index}, expected ${index}; delete the file and plan the sweep again`,
      );
    }
    return parsed.data;
  });
}

/** @throws input error for a task that the sweep does not have. */
export function taskAt(tasks: readonly Task[], index: number, dir: string): Task {
  const task = tasks[index];
  if (task !== undefined) return task;
  throw inputError(
    `--index ${index}: ${dir} has tasks 0 to ${tasks.length - 1}; use --index ${tasks.length - 1} or less`,
  );
}

/** Values by flag, as they stand in the argument list; '' for flags without a value. */
export function flagsOf({ args }: Task): Map<string, string> {
  const found = new Map<string, string>();
  for (let i = 1; i < args.length; i++) {
    const valued = i + 1 < args.length && !args[i + 1].startsWith('--');
    found.set(args[i], valued ? args[++i] : '');
  }
  return found;
}
