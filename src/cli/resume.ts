/** What `--resume` finds where a run is finished: one command line can be repeated until it is. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { refuseOtherSettings } from '../data/checkpoint.js';
import { errorCode } from '../data/files.js';
import { inputError } from '../errors.js';
import type { Made } from '../made.js';
import { KNOWN_FILES, type Writer } from '../report/known-files.js';
import { filesOf } from '../report/publish.js';
import type { Terminal } from './terminal.js';
import { VERSION } from './version.js';

/** metrics.json as it was written. */
export interface Finished {
  version: string;
  config: Record<string, unknown>;
  made: Made;
}

/** Which of the rows are not those that were used then. */
export const otherRows = (made: Made['rows'], now: Made['rows']): string[] =>
  Object.keys(now).filter((name) => now[name] !== made[name]);

/** metrics.json of a finished command in a folder, if it is of this schema; null if there is none. */
export function readFinished(out: string, schema: string): Finished | null {
  const path = join(out, 'metrics.json');
  if (!existsSync(path)) return null;
  let document: Partial<Finished> & { schema?: unknown };
  try {
    document = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const why = error instanceof SyntaxError ? 'is damaged (no JSON)' : `cannot be read (${errorCode(error)})`;
    throw inputError(`--resume ${path}: ${why}; delete it, or start again without --resume`);
  }
  if (document?.schema !== schema) return null;
  if (document.version === VERSION && !document.made) {
    throw inputError(
      `--resume ${path}: does not say which settings and rows it was made of, as those of the web page do not; ` +
        'use another folder, or start again without --resume',
    );
  }
  if (!document.made || document.version !== VERSION) {
    throw inputError(
      `--resume ${path}: is of a run that another version finished (${document.version}, this is ${VERSION}); ` +
        'use another folder, or start again without --resume',
    );
  }
  return document as Finished;
}

/**
 * Whether the finished command is the one that is asked for.
 * @throws input error that says what differs.
 */
export function refuseOtherRun(
  out: string,
  { made }: Finished,
  settings: Readonly<Record<string, unknown>>,
  rows: Made['rows'],
): void {
  const path = join(out, 'metrics.json');
  refuseOtherSettings(path, made.settings, settings, 'in the finished run');
  const other = otherRows(made.rows, rows);
  if (other.length === 0) return;
  throw inputError(
    `--resume ${path}: was made with other data (the values of the ${other.join(' and of the ')} differ); ` +
      'use the same files, or start again without --resume',
  );
}

/** Says that there is nothing left to do, as the command itself said it when it was done. */
export function showFinished(out: string, by: Writer, document: Finished, terminal: Terminal): void {
  terminal.print(`finished: ${out} holds the results of this command; without --resume it runs again`);
  const files = filesOf(out, KNOWN_FILES[by]);
  if (files.includes('report.html')) terminal.print(`report: ${join(out, 'report.html')}`);
  terminal.document({ ...document, out, files });
}
