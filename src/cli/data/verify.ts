/** Which files of a dataset are there, and whether they are the published ones. */

import { createHash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { errorCode } from '../../data/files.js';
import type { DataFile } from './catalog.js';
import { sumOf, whyWrong } from './download.js';

export interface FileState {
  name: string;
  /** unknown: unpacked, and no checksum of what it unpacks to is published. */
  state: 'right' | 'wrong' | 'missing' | 'unknown';
  /** What is to be said of it. */
  remark: string | null;
}

/** SHA-256 of what a .gz unpacks to. */
async function contentOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), createGunzip(), hash);
  return hash.digest('hex');
}

/** A file of a dataset in a folder, or what it unpacks to there. Reads all of it. */
export async function fileState(folder: string, file: DataFile): Promise<FileState> {
  const { name, content } = file;
  const path = join(folder, name);
  const plain = path.replace(/\.gz$/, '');
  try {
    if (existsSync(path)) {
      const wrong = await whyWrong(path, file);
      if (wrong === null)
        return { name, state: 'right', remark: file.sha256 ? null : 'by its MD5: no other is published' };
      const same = content !== undefined && (await contentOf(path).catch(() => '')) === content;
      return same ? { name, state: 'right', remark: 'packed again' } : { name, state: 'wrong', remark: wrong };
    }
    if (plain === path || !existsSync(plain)) return { name, state: 'missing', remark: null };
    if (content === undefined) {
      const remark = `unpacked (${statSync(plain).size} bytes), of which no checksum is published`;
      return { name, state: 'unknown', remark };
    }
    const found = await sumOf(plain);
    return found === content
      ? { name, state: 'right', remark: 'unpacked' }
      : { name, state: 'wrong', remark: `unpacked, SHA-256 ${found}, expected ${content}` };
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return { name, state: 'wrong', remark: `cannot be read (${errorCode(error)})` };
  }
}
