import type { Gpu } from '../runtime/gpu.js';

/** What `profile` sees of the command it runs. */
export interface Observer {
  /** A device was opened; the work has not begun. */
  opened(gpu: Gpu): void;
  /** The command writes its files here. */
  output(dir: string): void;
  /** The command has written its files; `release` lets go of the folder, which the observer may write into before. */
  written(release: () => void): void;
  /** The command's result as it would print it with --json. */
  document(value: unknown): void;
  /** Whether lines for people are to be kept off stdout. */
  readonly silent: boolean;
}

let current: Observer | null = null;

/** The observer of the command that runs, if there is one. */
export const observer = (): Observer | null => current;

/** Runs a command under an observer. */
export async function observed<T>(by: Observer, command: () => Promise<T>): Promise<T> {
  current = by;
  try {
    return await command();
  } finally {
    current = null;
  }
}
