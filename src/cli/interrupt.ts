import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

let outcome = 'nothing was written';

/** What an interrupted command leaves, for its last line. */
export const interruptOutcome = (): string => outcome;
export function setInterruptOutcome(text: string): void {
  outcome = text;
}

export interface Interruption {
  /** Aborted by the first signal. Work stops at its next step, closes the device and unwinds. */
  readonly signal: AbortSignal;
  /** The signal that came, or null. */
  cause(): NodeJS.Signals | null;
  /** 128 + its number, as shells count. */
  exitCode(): number;
}

/**
 * Turns Ctrl-C and kill into an orderly end. The handlers stay after the first signal: to leave at once while a device
 * lives would crash in the driver, and a second Ctrl-C is no reason for that.
 */
export function watchSignals(): Interruption {
  const controller = new AbortController();
  let first: NodeJS.Signals | null = null;
  for (const name of SIGNALS) {
    process.on(name, () => {
      process.stderr.write(
        first === null
          ? '\ndeep-rfm: stopping after the step that runs on the device\n'
          : 'deep-rfm: still waiting for the device to finish its step\n',
      );
      first ??= name;
      controller.abort();
    });
  }
  return {
    signal: controller.signal,
    cause: () => first,
    exitCode: () => 128 + (first === null ? 0 : constants.signals[first]),
  };
}
