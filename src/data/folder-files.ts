/** A folder as a set of files: read in parts, and written whole or not at all. */

import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
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
  const found = statSync(dir, { throwIfNoEntry: false });
  if (!found) throw inputError(`${at}: no such folder; check the path`);
  if (!found.isDirectory()) throw inputError(`${at}: is a file, expected a folder`);
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
  /** Where it is until then. */
  readonly path: string;
  /** Puts it into its place, where another one of its kind may be: that one is removed. */
  commit(): void;
  /** Removes it. */
  discard(): void;
}

/**
 * Makes a folder beside `dir`, to take its place when all files are in it: until then nothing of `dir` changes.
 * @param staging its name; one of its own unless told. Of a folder of this name the files stay.
 * @throws input error if it cannot be made.
 */
export function stageFolder(
  dir: string,
  staging = `.${basename(resolve(dir))}.tmp-${process.pid}-${token()}`,
): StagedFolder {
  const target = resolve(dir);
  const path = join(dirname(target), staging);
  attempt(dir, () => mkdirSync(path, { recursive: true }));
  return {
    path,
    create: async (name) => attempt(dir, () => fileSink(dir, join(path, name))),
    commit: () => attempt(dir, () => takePlace(path, target)),
    discard: () => rmSync(path, { recursive: true, force: true }),
  };
}

const token = (): string => randomBytes(6).toString('hex');

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
  const old = `${path}.old-${token()}`;
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
 * @param names what files of the kind that is to be written are called.
 * @throws input error where `dir` is a file, or a folder that holds anything else: it would be lost.
 */
export function refuseForeignFolder(dir: string, flag: string, names: RegExp, kind: string): void {
  const at = place(flag, dir);
  let found: string[];
  try {
    found = readdirSync(dir);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    if (errorCode(error) === 'ENOTDIR') throw inputError(`${at}: is a file, expected a folder; choose another path`);
    throw inputError(`${at}: cannot be read (${errorCode(error)}); choose another folder`);
  }
  const other = found.find((name) => !names.test(name));
  if (other === undefined) return;
  throw inputError(`${at}: holds ${other}, which is not of ${kind}; choose another folder`);
}
