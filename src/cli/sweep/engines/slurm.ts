/** Slurm: a sweep as job arrays. Slurm only starts tasks; whether they are done, their results say. */

import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { inputError, RfmError } from '../../../errors.js';
import { writeFileAtomic } from '../../../report/atomic.js';
import { callersEnvironment, commandWords } from '../command-line.js';
import type { Task } from '../tasks.js';
import { type Chunk, chunksOf, slurmScript } from './slurm-script.js';

/** Slurm's own default. */
export const DEFAULT_MAX_ARRAY = 1001;

/** Flags of sbatch that would undo what the script needs. */
const REFUSED =
  /^(--array|-a|--wrap|--no-requeue|--open-mode|--output|-o|--error|-e|--parsable|--test-only|--wait|-W)(=|$)/;

interface Answer {
  status: number;
  stdout: string;
  /** The first line. */
  stderr: string;
}

/** @throws no-adapter error if the program is not there: it is the environment that lacks it. */
function slurm(program: string, args: readonly string[]): Answer {
  const { error, status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env: callersEnvironment() });
  if (error) {
    throw new RfmError(
      'noAdapter',
      `--engine slurm: ${program} cannot be started (${(error as NodeJS.ErrnoException).code}); submit from a machine with Slurm`,
    );
  }
  return { status: status ?? 1, stdout, stderr: firstLine(stderr) };
}

const firstLine = (text: string): string =>
  text
    .trim()
    .split('\n')[0]
    .replace(/^\w+: (error: )?/, '');

/**
 * The site's MaxArraySize.
 * @throws no-adapter error if Slurm does not answer.
 */
export function maxArraySize(): number {
  const { status, stdout, stderr } = slurm('scontrol', ['show', 'config']);
  const found = /^MaxArraySize\s*=\s*(\d+)/m.exec(stdout)?.[1];
  if (status === 0 && found) return Number(found);
  throw new RfmError(
    'noAdapter',
    `--engine slurm: Slurm does not answer (${stderr || 'no MaxArraySize'}); see \`scontrol ping\``,
  );
}

export interface SlurmOptions {
  atOnce: number | null;
  /** Of sbatch. */
  flags: readonly string[];
}

/** A script and how it is submitted. */
export interface Submission {
  path: string;
  text: string;
  args: string[];
  chunk: Chunk;
}

/**
 * The submissions of these tasks: one script for each array.
 * @throws input error for a flag of sbatch that the script sets itself.
 */
export function submissions(
  dir: string,
  tasks: readonly Task[],
  maxArray: number,
  options: SlurmOptions,
): Submission[] {
  const refused = options.flags.find((flag) => REFUSED.test(flag));
  if (refused) throw inputError(`${refused}: the script sets it itself; drop it from the flags of sbatch`);
  const folder = resolve(dir);
  const chunks = chunksOf(
    tasks.map(({ index }) => index),
    maxArray,
  );
  return chunks.map((chunk, i) => {
    const path = join(folder, 'slurm', chunks.length === 1 ? 'job.sh' : `job-${i}.sh`);
    const name = `sweep-${basename(folder)}`.replace(/[^\w.+-]+/g, '_');
    const logs = join(folder, 'logs');
    const text = slurmScript({ name, dir: folder, logs, program: commandWords(), chunk, atOnce: options.atOnce });
    // Arrays of a sweep begin when all of them are in the queue.
    const hold = chunks.length > 1 ? ['--hold'] : [];
    return { path, text, args: ['--parsable', ...hold, ...options.flags, path], chunk };
  });
}

const recordPath = (dir: string): string => join(dir, 'slurm', 'submitted.jsonl');

/** Jobs of this sweep that are still in Slurm's queue. */
export function queuedJobs(dir: string): string[] {
  if (!existsSync(recordPath(dir))) return [];
  const lines = readFileSync(recordPath(dir), 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  const jobs = lines.flatMap((line) => (JSON.parse(line) as { jobs: string[] }).jobs);
  // One that Slurm has forgotten is an error of squeue: so one at a time, and the latest first.
  return jobs.reverse().filter((job) => {
    const { status, stdout } = slurm('squeue', ['--noheader', `--jobs=${job}`, '--format=%i']);
    return status === 0 && stdout.trim() !== '';
  });
}

/**
 * Submits all arrays, or none.
 * @returns the numbers of the jobs.
 * @throws input error with sbatch's words if it refuses one; those before it are cancelled, none of which has begun.
 */
export async function submit(dir: string, all: readonly Submission[]): Promise<string[]> {
  mkdirSync(join(dir, 'slurm'), { recursive: true });
  mkdirSync(join(dir, 'logs'), { recursive: true });
  for (const { path, text } of all) await writeFileAtomic(path, text);
  const jobs: string[] = [];
  for (const { args } of all) {
    const { status, stdout, stderr } = slurm('sbatch', args);
    const [job] = stdout.trim().split(';');
    if (status === 0 && /^\d+$/.test(job)) {
      jobs.push(job);
      continue;
    }
    if (jobs.length > 0) slurm('scancel', jobs);
    throw inputError(`sbatch refused: ${stderr || 'it gave no reason'}; nothing is submitted`);
  }
  if (all.length > 1) {
    const { status, stderr } = slurm('scontrol', ['release', jobs.join(',')]);
    if (status !== 0) {
      slurm('scancel', jobs);
      throw inputError(`scontrol release refused: ${stderr}; nothing is submitted`);
    }
  }
  const line = {
    jobs,
    at: new Date().toISOString(),
    tasks: all.reduce((sum, { chunk }) => sum + chunk.indices.length, 0),
  };
  appendFileSync(recordPath(dir), `${JSON.stringify(line)}\n`);
  return jobs;
}
