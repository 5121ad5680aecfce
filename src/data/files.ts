/** Files as input and output: every failure becomes one line that names the flag, the file and the remedy. */

import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inputError, RfmError } from '../errors.js';

/** One read or write call moves at most this much: Linux stops a call short of 2 GiB. */
const CHUNK_BYTES = 1 << 28;

/** Writes that fail although the path is right: no wrong usage. */
export const WRITE_FAULTS: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EIO']);

/** Where a problem lies: `--x data.npy`, or the file alone when no flag led to it. */
export const place = (flag: string, path: string): string => (flag === '' ? path : `${flag} ${path}`);

/** The code of a failed system call (`ENOENT`, …), or '' for any other error. */
export const errorCode = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

function cannotRead(error: unknown, at: string): RfmError {
  const code = errorCode(error);
  if (code === 'ENOENT' || code === 'ENOTDIR') return inputError(`${at}: no such file; check the path`);
  if (code === 'EACCES' || code === 'EPERM')
    return inputError(`${at}: no permission to read it; change its permissions`);
  if (code === 'EISDIR') return inputError(`${at}: is a directory, expected a file`);
  if (code === '') throw error;
  return inputError(`${at}: cannot be read (${code}); check the file and its disk`);
}

export interface InputFile {
  /** `flag path`, the start of every message about this file. */
  at: string;
  /** Bytes in the file when it was opened. */
  size: number;
  /** Fills `target` from byte `position` on; an input error if the file ends before. */
  read(target: Uint8Array, position: number): void;
}

/**
 * Opens a regular file, hands it to `use` and closes it.
 * @throws input error naming `flag` and `path` for a missing, unreadable or special file.
 */
export function withFile<T>(path: string, flag: string, use: (file: InputFile) => T): T {
  const at = place(flag, path);
  let fd: number;
  try {
    // Asked before opening: to open a named pipe would wait for a writer.
    const found = statSync(path);
    if (found.isDirectory()) throw inputError(`${at}: is a directory, expected a file`);
    if (!found.isFile()) throw inputError(`${at}: is not a regular file; save the data to a file first`);
    fd = openSync(path, 'r');
  } catch (error) {
    throw cannotRead(error, at);
  }
  try {
    const read = (target: Uint8Array, position: number): void => {
      for (let done = 0; done < target.length; ) {
        const got = readAt(fd, target, done, position + done, at);
        if (got === 0) {
          throw inputError(
            `${at}: ends at byte ${position + done}, expected ${target.length - done} more; copy it again`,
          );
        }
        done += got;
      }
    };
    return use({ at, size: fstatSync(fd).size, read });
  } finally {
    closeSync(fd);
  }
}

function readAt(fd: number, target: Uint8Array, offset: number, position: number, at: string): number {
  try {
    return readSync(fd, target, offset, Math.min(CHUNK_BYTES, target.length - offset), position);
  } catch (error) {
    throw cannotRead(error, at);
  }
}

/** Calls `allocate`; a refusal by the JavaScript engine becomes an input error. */
export function allocateFor<T>(at: string, bytes: number, allocate: () => T): T {
  try {
    return allocate();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw inputError(`${at}: its ${bytes} bytes of data do not fit in memory; use fewer rows`);
  }
}

/**
 * Writes `chunks` one after another to `path`, which holds either its old content or all of the new one at any
 * moment: they go to a temporary file in the same directory, which then takes the name. It is removed on failure.
 * @throws input error if the place cannot be written, internal error if the disk is full or fails.
 */
export function writeAtomic(path: string, chunks: readonly Uint8Array[]): void {
  const temporary = join(dirname(path), `.tmp-${process.pid}-${randomBytes(6).toString('hex')}`);
  let created = false;
  try {
    const fd = openSync(temporary, 'wx');
    created = true;
    try {
      for (const chunk of chunks) {
        for (let done = 0; done < chunk.length; ) {
          done += writeSync(fd, chunk, done, Math.min(CHUNK_BYTES, chunk.length - done));
        }
      }
      // Without it a power failure could leave the new name on an empty file.
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    if (created) rmSync(temporary, { force: true });
    throw cannotWrite(path, error);
  }
}

/** What a failed write into `path` means for the user; any other error as it is. */
export function cannotWrite(path: string, error: unknown): unknown {
  const code = errorCode(error);
  if (code === '') return error;
  const why: Record<string, string> = {
    ENOENT: 'the directory does not exist; create it first',
    ENOTDIR: 'a part of the path is not a directory',
    EACCES: 'no permission to write there',
    EPERM: 'no permission to write there',
    EISDIR: 'a directory has this name',
    ENOSPC: 'the disk is full; free some space',
    EDQUOT: 'the disk quota is used up; free some space',
    EFBIG: 'the file is larger than this system allows',
    EIO: 'the disk failed',
    EROFS: 'the file system is read-only',
  };
  return new RfmError(
    WRITE_FAULTS.has(code) ? 'internal' : 'input',
    `${path}: cannot be written: ${why[code] ?? code}`,
  );
}
