/** A dataset into its folder: what is there and right stays, the rest is downloaded, and unpacked where it is an archive. */

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inputError } from '../../errors.js';
import type { CatalogEntry, DataFile, Download } from './catalog.js';
import { type DownloadOptions, download, whyWrong } from './download.js';
import { unpackMembers } from './unpack.js';
import { fileState } from './verify.js';

export interface GetOptions extends DownloadOptions {
  /** Folders on a server that are asked before the publisher, by the addresses of the files in them without the names. */
  mirrors?: readonly string[];
  /** Of an archive: the files that are wanted. Default: all. */
  wanted?(file: DataFile): boolean;
  /** Hears of each download before it begins. */
  onDownload?(file: Download): void;
}

export interface GotFile {
  name: string;
  how: 'was there' | 'downloaded' | 'unpacked';
}

/**
 * Gets the files of a dataset into `folder`. Nothing is there by its name before it is whole and right.
 * @throws input error where a file cannot be had, with where it may be put by hand.
 */
export async function getDataset(entry: CatalogEntry, folder: string, options: GetOptions = {}): Promise<GotFile[]> {
  const got: GotFile[] = [];
  for (const one of entry.downloads) {
    const { members, ...file } = one;
    if (members) got.push(...(await getMembers(one, members.filter(options.wanted ?? (() => true)), folder, options)));
    else if (await isThere(folder, file, options)) got.push({ name: file.name, how: 'was there' });
    else {
      await fetchFile(one, folder, options);
      got.push({ name: file.name, how: 'downloaded' });
    }
  }
  return got;
}

/** Whether a file is there and no other than the published one, as far as that can be told. */
async function isThere(folder: string, file: DataFile, { note }: GetOptions): Promise<boolean> {
  const { state, remark } = await fileState(folder, file);
  if (state === 'wrong') note?.(`${join(folder, file.name)} is not the published file (${remark}); it is replaced`);
  return state === 'right' || state === 'unknown';
}

async function getMembers(
  archive: Download,
  members: readonly DataFile[],
  folder: string,
  options: GetOptions,
): Promise<GotFile[]> {
  const missing: DataFile[] = [];
  for (const member of members) if (!(await isThere(folder, member, options))) missing.push(member);
  const there = members
    .filter((member) => !missing.includes(member))
    .map(({ name }) => ({ name, how: 'was there' as const }));
  if (missing.length === 0) return there;
  const path = join(folder, archive.name);
  const own = !existsSync(path) || (await whyWrong(path, archive)) !== null;
  if (own) await fetchFile(archive, folder, options);
  options.note?.(`unpacking ${path}`);
  unpackMembers(path, missing, folder);
  for (const member of missing) {
    const { state, remark } = await fileState(folder, member);
    if (state === 'right') continue;
    rmSync(join(folder, member.name), { force: true });
    throw inputError(`${path}: its ${member.name} is not the published one (${remark}); get the archive again`);
  }
  // One that was put there by hand is its owner's.
  if (own) rmSync(path, { force: true });
  return [...there, ...missing.map(({ name }) => ({ name, how: 'unpacked' as const }))];
}

async function fetchFile(file: Download, folder: string, options: GetOptions): Promise<void> {
  const { mirrors = [], onDownload } = options;
  onDownload?.(file);
  const own = mirrors.map((mirror) => `${mirror.replace(/\/$/, '')}/${file.name}`);
  await download({ ...file, addresses: [...own, ...file.addresses] }, join(folder, file.name), options);
}
