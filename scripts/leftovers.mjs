// What a command whose process was ended by force leaves in its output folder. Shared by the program, which meets it in
// a folder that it takes over, and by the launcher, which may have to end the program.

import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Name of the lock in an output folder. */
export const LOCK = '.deep-rfm-lock';

function namesIn(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Removes the lock at `path` if it is the one with this token. */
export function removeLock(path, token) {
  try {
    if (JSON.parse(readFileSync(path, 'utf8')).token === token) rmSync(path);
  } catch {
    // gone, or being made by somebody else
  }
}

/** Removes the parts of files that the process `pid` was writing into the folder and its checkpoint/. */
export function removeParts(folder, pid) {
  const part = new RegExp(`^\\.(tmp-${pid}-[0-9a-f]+|.+\\.${pid}-[0-9a-f]+\\.tmp)$`);
  for (const where of [folder, join(folder, 'checkpoint')]) {
    for (const name of namesIn(where)) if (part.test(name)) rmSync(join(where, name), { recursive: true, force: true });
  }
  // Layers of a model, of which no checkpoint speaks.
  const checkpoint = join(folder, 'checkpoint');
  const layers = join(checkpoint, 'model');
  if (existsSync(layers) && !existsSync(join(checkpoint, 'state.bin')))
    rmSync(layers, { recursive: true, force: true });
}

/** The same, the lock, and the folders that were made for what was not written: {folder, pid, token, made}. */
export function removeLeftovers({ folder, pid, token, made }) {
  removeParts(folder, pid);
  removeLock(join(folder, LOCK), token);
  for (const empty of [join(folder, 'checkpoint'), ...made]) {
    try {
      rmdirSync(empty);
    } catch {
      // not there, or not empty
    }
  }
}
