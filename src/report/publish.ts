/** Result files, which take their places together. */

import { randomBytes } from 'node:crypto';
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeNpy } from '../data/npy.js';
import { inputError, RfmError } from '../errors.js';
import type { Numbers } from '../numbers.js';
import { writeError, writeFileAtomic } from './atomic.js';

/** A file to write: an array, text or bytes. */
export type OutputFile =
  | { name: string; shape: readonly number[]; data: Numbers }
  | { name: string; text: string | Uint8Array };

/** Names of files that a folder may hold: some by name, some by pattern. */
export type FileNames = readonly (string | RegExp)[];

const matches = (name: string, names: FileNames): boolean =>
  names.some((known) => (typeof known === 'string' ? known === name : known.test(name)));

/** The files of these names that a folder holds. */
export function filesOf(dir: string, names: FileNames): string[] {
  try {
    return readdirSync(dir)
      .filter((name) => matches(name, names))
      .sort();
  } catch {
    return [];
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

/**
 * Writes files into `dir`: first all of them into a hidden folder inside, then each takes its name, so that a full disk
 * leaves the old files and no new ones. Of `names`, files of an earlier command that are not written now are removed,
 * since they would not belong to the others.
 * @param float64 whether arrays become <f8.
 * @returns names of the files written, and of those removed.
 * @throws input error if a name is taken by a folder, the place cannot be written or numbers are beyond float32, internal error if the disk is full.
 */
export async function publish(
  dir: string,
  files: readonly OutputFile[],
  names: FileNames,
  float64 = false,
): Promise<{ written: string[]; removed: string[] }> {
  const staging = join(dir, `.tmp-${process.pid}-${randomBytes(6).toString('hex')}`);
  const written = files.map(({ name }) => name);
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
    for (const name of written) {
      if (!statSync(join(dir, name), { throwIfNoEntry: false })?.isDirectory()) continue;
      throw inputError(`cannot write ${join(dir, name)}: a folder of that name is in the way; remove it`);
    }
    // From here on without a pause in which a signal could end the process.
    for (const name of written) renameSync(join(staging, name), join(dir, name));
    const removed = filesOf(dir, names).filter((name) => !written.includes(name));
    for (const name of removed) rmSync(join(dir, name), { recursive: true });
    return { written, removed };
  } catch (error) {
    // Users know the files by the names they were to have.
    if (error instanceof RfmError) throw new RfmError(error.kind, error.message.replaceAll(staging, dir));
    throw writeError(dir, error) ?? error;
  } finally {
    await rm(staging, { recursive: true, force: true }).catch(() => undefined);
  }
}
