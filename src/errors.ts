/** Exit codes of the command line. Scripts may rely on them. */
export const EXIT = { done: 0, internal: 1, input: 2, noAdapter: 3, doesNotFit: 4, deviceLost: 5 } as const;

export type ErrorKind = Exclude<keyof typeof EXIT, 'done'>;

/**
 * An error the user can act on. The message is one line: what is wrong, where, what was found,
 * what was expected, and what to do. It is printed without a stack trace.
 */
export class RfmError extends Error {
  override readonly name = 'RfmError';
  constructor(
    readonly kind: ErrorKind,
    message: string,
  ) {
    super(message);
  }
  get exitCode(): number {
    return EXIT[this.kind];
  }
}

/** Wrong flag, file, shape, label or value: exit code 2. */
export const inputError = (message: string): RfmError => new RfmError('input', message);
