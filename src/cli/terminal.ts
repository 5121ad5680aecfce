/** Where words go: results to stdout, everything else to stderr. */

import { RfmError } from '../errors.js';
import type { CommonFlags } from './flags.js';
import { observer } from './observer.js';

export interface Terminal {
  /** Whether the result is to be one JSON document. */
  readonly json: boolean;
  readonly quiet: boolean;
  /** A line of the result, for people; dropped with --json. */
  print(line: string): void;
  /** The result as JSON; dropped without --json. NaN and infinities become null. */
  document(value: unknown): void;
  /** A line of progress or a remark on stderr; dropped with --quiet. */
  note(line: string): void;
}

/** What a command prints to, by its flags. */
export function terminalFor({ json = false, quiet = false }: CommonFlags): Terminal {
  const watching = observer();
  return {
    json,
    quiet,
    print(line) {
      if (!json && !watching?.silent) process.stdout.write(`${line}\n`);
    },
    document(value) {
      if (watching) watching.document(value);
      else if (json) process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
    },
    note(line) {
      if (!quiet) process.stderr.write(`${line}\n`);
    },
  };
}

/**
 * Watches stdout and stderr. A reader that has left, as in `deep-rfm … | head`, is no error: the work goes on and nothing
 * is said about it. `fail` hears of everything else, such as a full disk.
 */
export function watchOutput(fail: (error: unknown) => void): void {
  for (const [name, stream] of Object.entries({ stdout: process.stdout, stderr: process.stderr })) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') return;
      fail(new RfmError('internal', `${name} cannot be written (${error.code ?? error.message}); write it elsewhere`));
    });
  }
}

/** Lines of a table, columns aligned on the right and two blanks apart. */
export function tableLines(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => [...(row[column] ?? '')].length)));
  const pad = (text: string, width: number): string => ' '.repeat(width - [...text].length) + text;
  return all.map((row) => row.map((cell, column) => pad(cell, widths[column])).join('  '));
}

/** Three significant digits with an exponent, `8.82e-2`; `n/a` for what is not a finite number. */
export const scientific = (value: number): string => (Number.isFinite(value) ? value.toExponential(2) : 'n/a');

/** A number of decimals; `n/a` for what is not a finite number. */
export const fixed = (value: number, decimals: number): string =>
  Number.isFinite(value) ? value.toFixed(decimals) : 'n/a';
