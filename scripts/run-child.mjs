// A child that stands in for this process: same terminal, same signals, same end.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];

/** Runs it to its end and resolves with {code, signal}. */
export function runChild(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', ...options });
    const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
    const count = {};
    const handlers = FORWARDED.map((signal) => {
      const handler = () => {
        count[signal] = (count[signal] ?? 0) + 1;
        // A terminal sends Ctrl-C and Ctrl-\ to the whole group, so the child has it already, and a second one could
        // mean "quit at once" to it. The next one is passed on in any case, should the first have come by kill.
        const sentToGroup = onTerminal && (signal === 'SIGINT' || signal === 'SIGQUIT') && count[signal] === 1;
        if (!sentToGroup) child.kill(signal);
      };
      process.on(signal, handler);
      return [signal, handler];
    });
    const done = () => {
      for (const [signal, handler] of handlers) process.off(signal, handler);
    };
    child.once('error', (error) => {
      done();
      reject(error);
    });
    child.once('exit', (code, signal) => {
      done();
      resolve({ code, signal });
    });
  });
}

/** Ends this process as the child ended. No device lives here, so an abrupt end is safe. */
export function endLike({ code, signal }) {
  if (!signal) {
    process.exitCode = code ?? 1;
    return;
  }
  // Dying of the same signal tells the caller more than a number. If it does not kill us, the shells' number will do.
  process.exitCode = 128 + (constants.signals[signal] ?? 1);
  process.kill(process.pid, signal);
}
