/** Files out of a dataset's archive, whose checksum was verified before. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { tarFiles } from '../../../scripts/untar.mjs';
import { withFile, writeAtomic } from '../../data/files.js';
import { openEntry, zipEntries } from '../../data/npz.js';
import { inputError } from '../../errors.js';
import type { DataFile } from './catalog.js';

const isNamed = (path: string, { name }: DataFile): boolean => path === name || path.endsWith(`/${name}`);

/**
 * Writes the wanted members of a `.zip` or `.tar.gz` archive into a folder, each whole or not at all.
 * @throws input error for an archive that lacks one, and for a place that cannot be written.
 */
export function unpackMembers(archive: string, members: readonly DataFile[], folder: string): void {
  const missing = new Set(members);
  const put = (path: string, data: () => Uint8Array): void => {
    const member = members.find((wanted) => isNamed(path, wanted));
    if (!member || !missing.delete(member)) return;
    writeAtomic(join(folder, member.name), [data()]);
  };
  if (archive.endsWith('.zip')) {
    withFile(archive, '', (file) => {
      for (const entry of zipEntries(file)) {
        put(entry.name, () => {
          const opened = openEntry(file, entry);
          const data = new Uint8Array(opened.size);
          opened.read(data, 0);
          return data;
        });
      }
    });
  } else {
    for (const { name, data } of tarFiles(gunzipSync(readFileSync(archive)))) put(name, () => data);
  }
  if (missing.size > 0) {
    throw inputError(`${archive}: has no ${[...missing].map(({ name }) => name).join(', ')}; download it again`);
  }
}
