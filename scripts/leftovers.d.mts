/** Name of the lock in an output folder. */
export const LOCK: string;

/** Who writes into an output folder. */
export interface Hold {
  /** Absolute path. */
  folder: string;
  pid: number;
  /** That of its lock. */
  token: string;
  /** Folders that were made for it, the deepest first. */
  made: string[];
}

export function removeLock(path: string, token: string): void;
export function removeParts(folder: string, pid: number): void;
export function removeLeftovers(hold: Hold): void;
