/** Output folders: checked before anything is computed, filled in one go at the end. */

import { randomBytes } from 'node:crypto';
import { mkdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { writeNpy } from '../data/npy.js';
import { inputError, RfmError } from '../errors.js';
import type { Numbers } from '../numbers.js';
import { ensureOutputDirectory, writeFileAtomic } from '../report/atomic.js';
import { observer } from './observer.js';

/** A file read by the command, with the flag that named it. */
export interface InputPath {
  flag: string;
  path: string | undefined;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The folders that have to be made for `path`, the deepest first. */
async function missingFolders(path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let current = resolve(path); !(await exists(current)); current = dirname(current)) missing.push(current);
  return missing;
}

/** @throws input error if a file to be written is a folder, or one that the command reads. */
async function checkNames(dir: string, names: readonly string[], inputs: readonly InputPath[]): Promise<void> {
  for (const name of names) {
    const found = await stat(join(dir, name)).catch(() => null);
    if (found?.isDirectory()) {
      throw inputError(`--out ${dir}: ${name} is to be written, but a folder has this name; choose another folder`);
    }
  }
  const folder = await realpath(dir).catch(() => resolve(dir));
  for (const { flag, path } of inputs) {
    if (path === undefined) continue;
    const file = await realpath(path).catch(() => resolve(path));
    if (dirname(file) === folder && names.includes(basename(file))) {
      throw inputError(`--out ${dir}: would overwrite ${flag} ${path}; choose another folder`);
    }
  }
}

/**
 * Makes the folder `dir` if needed, does the work, and if that fails removes again the folders it made, as far as they
 * are empty.
 * @param names files that the work will write; `inputs` those that it reads.
 * @throws input error before the work begins if the folder cannot be written to.
 */
export async function withOutput<T>(
  dir: string,
  names: readonly string[],
  inputs: readonly InputPath[],
  work: () => Promise<T>,
): Promise<T> {
  await checkNames(dir, names, inputs);
  const made = await missingFolders(dir);
  const undo = async (): Promise<void> => {
    for (const folder of made) await rmdir(folder).catch(() => undefined);
  };
  try {
    await ensureOutputDirectory(dir);
    observer()?.output(dir);
    return await work();
  } catch (error) {
    await undo();
    throw error;
  }
}

/** @throws input error where the numbers are too large, or all too small, for float32; internal error for NaN or an infinity. */
function checkRange(dir: string, name: string, data: Numbers, float64: boolean): void {
  let largest = 0;
  for (const value of data) {
    if (!Number.isFinite(value)) throw new RfmError('internal', `${name} has the entry ${value}; nothing was written`);
    largest = Math.max(largest, Math.abs(value));
  }
  if (float64 || largest === 0 || (largest <= LARGEST_FLOAT32 && largest >= SMALLEST_FLOAT32)) return;
  throw inputError(
    `--out ${dir}: the largest entry of ${name} is ${largest.toExponential(2)}, and float32 holds 1.2e-38 to 3.4e38; use --float64, or scale the data`,
  );
}

const LARGEST_FLOAT32 = 3.4028234663852886e38;
/** The smallest with all its digits. */
const SMALLEST_FLOAT32 = 2 ** -126;

/** A file to write: an array, or text. */
export type OutputFile = { name: string; shape: readonly number[]; data: Numbers } | { name: string; text: string };

/**
 * Writes files into `dir`: first all of them into a hidden folder inside, then each takes its name, so that a full disk
 * leaves the old files and no new ones. Of `names`, files of an earlier command that are not written now are removed,
 * since they would not belong to the others.
 * @param float64 whether arrays become <f8.
 * @returns names of the files written, and of those removed.
 */
export async function writeFiles(
  dir: string,
  files: readonly OutputFile[],
  names: readonly string[],
  float64: boolean,
): Promise<{ written: string[]; removed: string[] }> {
  const staging = join(dir, `.tmp-${process.pid}-${randomBytes(6).toString('hex')}`);
  try {
    await mkdir(staging);
    for (const file of files) {
      const path = join(staging, file.name);
      if ('text' in file) await writeFileAtomic(path, file.text);
      else {
        checkRange(dir, file.name, file.data, float64);
        writeNpy(path, file.shape, float64 ? Float64Array.from(file.data) : Float32Array.from(file.data));
      }
    }
    for (const { name } of files) await rename(join(staging, name), join(dir, name));
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  const written = files.map(({ name }) => name);
  const removed: string[] = [];
  for (const name of names) {
    if (written.includes(name) || !(await exists(join(dir, name)))) continue;
    await rm(join(dir, name));
    removed.push(name);
  }
  return { written, removed };
}
