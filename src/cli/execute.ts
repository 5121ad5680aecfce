/** From arguments to the exit code. */

import { CommanderError } from 'commander';
import { EXIT, RfmError } from '../errors.js';
import type { Interruption } from './interrupt.js';
import { messageOf } from './messages.js';
import { buildProgram } from './program.js';

const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, '; ');

/** What V8 says when host memory does not suffice for an array. */
const HOST_MEMORY = /invalid (typed )?array length|allocation failed/i;

function classify(error: unknown): { message: string; exitCode: number } {
  if (error instanceof RfmError) return { message: messageOf(error), exitCode: error.exitCode };
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RangeError && HOST_MEMORY.test(message)) {
    return {
      message: `the arrays do not fit in host memory (${message}); use a smaller --n or --width`,
      exitCode: EXIT.doesNotFit,
    };
  }
  return {
    message: `internal error: ${message || 'no message'} (DEEP_RFM_DEBUG=1 shows where)`,
    exitCode: EXIT.internal,
  };
}

/** Says what went wrong, in one line, and sets the exit code. */
export function fail(error: unknown, interruption: Interruption): void {
  // Whatever the abort made fail, the signal is the reason.
  if (interruption.cause() !== null) {
    interruption.end();
    return;
  }
  const { message, exitCode } = classify(error);
  process.exitCode = exitCode;
  process.stderr.write(`deep-rfm: ${oneLine(message)}\n`);
  if (process.env.DEEP_RFM_DEBUG === '1' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}

/** Runs a command line; what goes wrong is said on stderr and in `process.exitCode`. */
export async function execute(args: readonly string[], interruption: Interruption): Promise<void> {
  try {
    const program = buildProgram(interruption.signal);
    if (args.length === 0) {
      program.outputHelp({ error: true });
      process.exitCode = EXIT.input;
      return;
    }
    await program.parseAsync(args, { from: 'user' });
    interruption.end();
  } catch (error) {
    // Help and the version were printed.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.input;
    else fail(error, interruption);
  }
}
