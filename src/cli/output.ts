/** Output folders: checked and locked before anything is computed, filled in one go at the end. */

import { existsSync } from 'node:fs';
import { realpath, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { LOCK, removeLeftovers, removeParts } from '../../scripts/leftovers.mjs';
import { inputError } from '../errors.js';
import { ensureOutputDirectory, writeError } from '../report/atomic.js';
import { CHECKPOINT, filesOfOthers, findingsIn, KNOWN_FILES, TRACE, type Writer } from '../report/known-files.js';
import { filesOf } from '../report/publish.js';
import { atForcedEnd, setInterruptOutcome, tellLauncher } from './interrupt.js';
import { acquireLock, holderText, type Lock } from './lock.js';
import { observer } from './observer.js';

/** A file read by the command, with the flag that named it. */
export interface InputPath {
  flag: string;
  path: string | undefined;
}

/** Where a command writes. */
export interface Output {
  dir: string;
  /** What named the folder. */
  flag?: string;
  /** Whose files they are; null for `report`, which draws anew what is there. */
  by: Writer | null;
  inputs?: readonly InputPath[];
  /** Whether results of another command may be in the folder: they are removed when the work is done. */
  overwrite?: boolean | undefined;
  /** Whether a checkpoint in it is read, and damage told by its reader. */
  resume?: boolean | undefined;
  /** Receives remarks. */
  note(line: string): void;
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
async function checkNames({ dir, by, inputs = [] }: Output): Promise<void> {
  if (by === null) return;
  const names = KNOWN_FILES[by];
  for (const name of filesOf(dir, names)) {
    const found = await stat(join(dir, name)).catch(() => null);
    if (found?.isDirectory()) {
      throw inputError(`--out ${dir}: ${name} is to be written, but a folder has this name; choose another folder`);
    }
  }
  const folder = await realpath(dir).catch(() => resolve(dir));
  for (const { flag, path } of inputs) {
    if (path === undefined) continue;
    const file = await realpath(path).catch(() => resolve(path));
    const name = basename(file);
    if (dirname(file) === folder && names.some((own) => (typeof own === 'string' ? own === name : own.test(name)))) {
      throw inputError(`--out ${dir}: would overwrite ${flag} ${path}; choose another folder`);
    }
  }
}

/** The command line, short enough for a message. */
export function commandLine(): string {
  const line = `deep-rfm ${process.argv.slice(2).join(' ')}`.replace(/\s+/g, ' ').trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}

function lockFolder({ dir, flag = '--out', note }: Output): Lock {
  const path = join(dir, LOCK);
  let acquired: ReturnType<typeof acquireLock>;
  try {
    acquired = acquireLock(path, commandLine());
  } catch (error) {
    throw writeError(path, error) ?? error;
  }
  const { lock } = acquired;
  if (lock === null) {
    const holder = acquired.holder === null ? 'another process' : holderText(acquired.holder);
    throw inputError(
      `${flag} ${dir}: ${holder} is writing there; wait until it has ended, or choose another folder ` +
        `(if it is gone for good, delete ${path})`,
    );
  }
  if (acquired.gone !== null) {
    note(`note: ${dir} was left by ${holderText(acquired.gone)}, which is gone; taken over`);
    removeParts(dir, acquired.gone.pid);
  }
  return lock;
}

/** @throws input error if the folder holds results of another command, unless they may be replaced. Returns those commands. */
function checkOwner({ dir, by, overwrite = false, resume = false }: Output): (Writer | null)[] {
  if (by === null) return [];
  const findings = findingsIn(dir);
  const [unknown] = findings.length === 0 ? filesOf(dir, KNOWN_FILES[by]).filter((name) => name !== TRACE) : [];
  if (unknown !== undefined && !overwrite) {
    throw inputError(
      `--out ${dir}: holds ${unknown}, and no result that it belongs to; choose another folder, or add --overwrite, which replaces it`,
    );
  }
  const others = findings.filter((one) => one.by !== by && !(resume && one.by === null && one.file === CHECKPOINT));
  const [first] = others;
  if (first !== undefined && !overwrite) {
    const what =
      first.by === null ? `${first.file}, which is not of this program` : `results of \`${first.by}\` (${first.file})`;
    throw inputError(
      `--out ${dir}: holds ${what}; choose another folder, or add --overwrite, which replaces ${first.by === null ? 'it' : 'them'}`,
    );
  }
  return [...new Set(others.map((finding) => finding.by))];
}

/**
 * Makes the folder if needed, locks it, does the work, and if that fails removes again the folders it made, as far as
 * they are empty.
 * @throws input error before the work begins if the folder cannot be written to, another process writes into it, or it
 * holds what is not to be replaced.
 */
export async function withOutput<T>(output: Output, work: () => Promise<T>): Promise<T> {
  const { dir, by, flag = '--out', note } = output;
  await checkNames(output);
  const made = await missingFolders(dir);
  let release = (): void => {};
  try {
    await ensureOutputDirectory(dir, flag);
    const lock = lockFolder(output);
    const hold = { folder: resolve(dir), pid: process.pid, token: lock.holder.token, made };
    const forget = atForcedEnd(() => removeLeftovers(hold));
    tellLauncher({ hold });
    release = () => {
      lock.release();
      forget();
      tellLauncher({ hold: null });
    };
    const others = checkOwner(output);
    observer()?.output(dir);
    const result = await work();
    setInterruptOutcome(`the results are in ${dir}`);
    if (by !== null) await removeOthers(dir, others, by, note);
    // A profile has yet to write its trace.
    const watching = observer();
    if (watching) watching.written(release);
    else release();
    return result;
  } catch (error) {
    release();
    for (const folder of made) await rmdir(folder).catch(() => undefined);
    throw error;
  }
}

async function removeOthers(
  dir: string,
  others: readonly (Writer | null)[],
  by: Writer,
  note: Output['note'],
): Promise<void> {
  const files = filesOfOthers(dir, others, by);
  const state = join('checkpoint', 'state.bin');
  const foreign = findingsIn(dir).some((finding) => finding.file === state && finding.by !== by);
  if (others.length > 0 && foreign && existsSync(join(dir, state))) files.push(state);
  for (const name of files) await rm(join(dir, name), { force: true });
  await rmdir(join(dir, 'checkpoint')).catch(() => undefined);
  const whose = others.filter((other) => other !== null).map((other) => `\`${other}\``);
  if (files.length > 0) note(`note: removed from ${dir}, of ${whose.join(' and ')}: ${files.join(', ')}`);
}
