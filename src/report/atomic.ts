import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { errorCode as codeOf, WRITE_FAULTS } from '../data/files.js';
import { inputError, RfmError } from '../errors.js';

/** What the user can do about the errors of a file system; anything else is passed on as it is. */
const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: 'its folder does not exist; create it or choose another',
  ENOTDIR: 'a part of the path before the last is a file; choose another path',
  EISDIR: 'a folder of that name is in the way; remove it or choose another path',
  ENOTEMPTY: 'a folder of that name is in the way; remove it or choose another path',
  EEXIST: 'something of that name is in the way; remove it or choose another path',
  EACCES: 'no permission; choose a folder you may write to',
  EPERM: 'not permitted; choose a folder you may write to',
  EROFS: 'the file system is read-only; choose another folder',
  ENOSPC: 'no space is left on the device; free some or choose another folder',
  EDQUOT: 'the disk quota is used up; free some space or choose another folder',
  ENAMETOOLONG: 'the name is too long; choose a shorter one',
  ELOOP: 'its links lead in a circle; choose another path',
  EFBIG: 'the file is larger than this system allows; choose another folder',
  EIO: 'the disk failed; choose another folder',
  ESTALE: 'the network file system has lost it; choose another folder',
  ENODEV: 'its device is gone; choose another folder',
  ENXIO: 'its device is gone; choose another folder',
};

/** What a failed write into `path` means for the user; null where it is no matter of the file system. */
export function writeError(path: string, error: unknown): RfmError | null {
  const remedy = REMEDIES[codeOf(error)];
  if (!remedy) return null;
  const kind = WRITE_FAULTS.has(codeOf(error)) ? 'internal' : 'input';
  return new RfmError(kind, `cannot write ${path}: ${remedy} (${codeOf(error)})`);
}

/**
 * Writes a file so that a reader sees the old content or all of the new one, never a part: the data goes to a
 * temporary name in the same folder, is flushed, and is renamed. On failure the temporary file is removed and what
 * was at `path` stays.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(data);
      // Without the flush a crash of the machine may leave the new name with no content.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw writeError(path, error) ?? error;
  }
}

/** The nearest part of the path that exists, and whether it is a folder. */
async function nearestExisting(path: string): Promise<{ path: string; isDirectory: boolean }> {
  for (let current = resolve(path); ; current = dirname(current)) {
    try {
      return { path: current, isDirectory: (await stat(current)).isDirectory() };
    } catch (error) {
      // At the root there is nothing further up to look at.
      if (dirname(current) === current || !['ENOENT', 'ENOTDIR'].includes(codeOf(error))) {
        return { path: current, isDirectory: true };
      }
    }
  }
}

/** What `ensureOutputDirectory` asks of the file system. */
export interface FolderCalls {
  mkdir(path: string): Promise<unknown>;
  access(path: string, mode: number): Promise<void>;
}

/**
 * Creates a folder with its parents, or accepts an existing one that can be written to. `flag` is the option that
 * named it, for the message.
 */
export async function ensureOutputDirectory(
  path: string,
  flag = '--out',
  calls: FolderCalls = { mkdir, access },
): Promise<void> {
  if (path === '') throw inputError(`${flag}: the folder name is empty; give the folder to write to`);
  const found = await nearestExisting(path);
  if (!found.isDirectory) {
    const where = found.path === resolve(path) ? 'it is a file' : `${found.path} is a file`;
    throw inputError(`${flag} ${path}: expected a folder, but ${where}; choose another path or remove the file`);
  }
  try {
    // One by one: made with its parents at once, a folder on a read-only file system is reported as missing.
    for (const folder of foldersBetween(found.path, resolve(path))) await makeFolder(folder, calls);
    await calls.access(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    const remedy = REMEDIES[codeOf(error)];
    if (!remedy) throw error;
    const kind = WRITE_FAULTS.has(codeOf(error)) ? 'internal' : 'input';
    throw new RfmError(
      kind,
      `${flag} ${path}: cannot be written to: ${remedy} (${codeOf(error)}, found at ${found.path})`,
    );
  }
}

/** The folders below `above` down to `path`. */
function foldersBetween(above: string, path: string): string[] {
  const folders: string[] = [];
  for (let current = path; current !== above && dirname(current) !== current; current = dirname(current)) {
    folders.unshift(current);
  }
  return folders;
}

/** Another process may make it at the same time. */
async function makeFolder(path: string, { mkdir }: FolderCalls): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const there = codeOf(error) === 'EEXIST' && (await stat(path).catch(() => null))?.isDirectory();
    if (!there) throw error;
  }
}
