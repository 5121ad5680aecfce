/** A folder as a set of files: read in parts, and written whole or not at all. */

import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  cpSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { ByteSink, ByteSource, FileSet, FileSink } from '../bytes.js';
import { inputError } from '../errors.js';
import { cannotWrite, errorCode, place, withFile } from './files.js';

const PIECE_BYTES = 16 * 2 ** 20;

/**
 * The files of a folder.
 * @param flag what named the folder; it starts messages.
 * @throws input error where there is no such folder.
 */
export function folderFiles(dir: string, flag = ''): FileSet {
  const at = place(flag, dir);
  if (!existsSync(dir)) throw inputError(`${at}: no such folder; check the path`);
  if (!statSync(dir).isDirectory()) throw inputError(`${at}: is a file, expected a folder`);
  return {
    at,
    open: (name) => (existsSync(join(dir, name)) ? fileSource(join(dir, name), flag) : null),
  };
}

function fileSource(path: string, flag: string): ByteSource {
  const { at, size } = withFile(path, flag, ({ at, size }) => ({ at, size }));
  return {
    at,
    size,
    async read(position, length) {
      const target = new Uint8Array(length);
      withFile(path, flag, (file) => file.read(target, position));
      return target;
    },
    async sha256() {
      const hash = createHash('sha256');
      for (let position = 0; position < size; position += PIECE_BYTES) {
        hash.update(await this.read(position, Math.min(PIECE_BYTES, size - position)));
      }
      return hash.digest('hex');
    },
  };
}

/** A folder that is being filled beside the place that it will take. */
export interface StagedFolder extends FileSink {
  /** Puts it into its place, where another one of its kind may be: that one is removed. */
  commit(): void;
  /** Removes it, unless it has taken its place. */
  discard(): void;
}

/**
 * A folder beside `dir`, to take its place when all files are in it: until then nothing of `dir` changes.
 */
export function stageFolder(dir: string): StagedFolder {
  const path = besides(dir, 'tmp');
  return {
    ...folderSink(path, dir),
    commit: () => moveFolder(path, dir),
    discard: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** A name of its own beside a folder. */
const besides = (dir: string, what: string): string =>
  join(dirname(resolve(dir)), `.${basename(resolve(dir))}.${what}-${process.pid}-${randomBytes(6).toString('hex')}`);

/**
 * Writes files into a folder, which is made with the first of them.
 * @param shown what messages call it.
 */
export const folderSink = (path: string, shown = path): FileSink => ({
  create: async (name) =>
    attempt(shown, () => {
      mkdirSync(path, { recursive: true });
      return fileSink(shown, join(path, name));
    }),
});

/**
 * Moves a folder to where another one of its kind may be, which is removed. Between file systems it is copied.
 * @throws input error if the place cannot be written, internal error if the disk is full; then all is as before.
 */
export function moveFolder(from: string, dir: string): void {
  attempt(dir, () => {
    mkdirSync(dirname(resolve(dir)), { recursive: true });
    try {
      takePlace(from, resolve(dir));
    } catch (error) {
      if (errorCode(error) !== 'EXDEV') throw error;
      const copy = besides(dir, 'tmp');
      try {
        cpSync(from, copy, { recursive: true });
        takePlace(copy, resolve(dir));
      } finally {
        rmSync(copy, { recursive: true, force: true });
      }
      rmSync(from, { recursive: true, force: true });
    }
  });
}

function attempt<T>(dir: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw cannotWrite(dir, error);
  }
}

function fileSink(dir: string, path: string): ByteSink {
  const fd = openSync(path, 'w');
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    async write(part) {
      attempt(dir, () => {
        for (let done = 0; done < part.length; ) {
          done += writeSync(fd, part, done, Math.min(PIECE_BYTES, part.length - done));
        }
      });
      hash.update(part);
      bytes += part.length;
    },
    async close() {
      attempt(dir, () => {
        try {
          // Without it a power failure could leave the name on an empty file.
          fsyncSync(fd);
        } finally {
          closeSync(fd);
        }
      });
      return { bytes, sha256: hash.digest('hex') };
    },
  };
}

function takePlace(path: string, target: string): void {
  if (!existsSync(target)) {
    renameSync(path, target);
    return;
  }
  const old = besides(target, 'old');
  renameSync(target, old);
  try {
    renameSync(path, target);
  } catch (error) {
    renameSync(old, target);
    throw error;
  }
  rmSync(old, { recursive: true, force: true });
}

/**
 * @param foreign which of its files is none of the kind that is to be written.
 * @throws input error where `dir` is a file, or a folder that holds anything else: it would be lost.
 */
export function refuseForeignFolder(
  dir: string,
  flag: string,
  foreign: (names: readonly string[], read: (name: string) => string) => string | null,
  kind: string,
): void {
  const at = place(flag, dir);
  let found: string[];
  try {
    found = readdirSync(dir);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    if (errorCode(error) === 'ENOTDIR') throw inputError(`${at}: is a file, expected a folder; choose another path`);
    throw inputError(`${at}: cannot be read (${errorCode(error)}); choose another folder`);
  }
  const other = foreign(found, (name) => readFileSync(join(dir, name), 'utf8'));
  if (other === null) return;
  throw inputError(`${at}: holds ${other}, which is not of ${kind}; choose another folder`);
}
