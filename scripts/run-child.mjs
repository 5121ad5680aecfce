// A child that stands in for this process: same terminal, same signals, same end.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];

/** Milliseconds between two looks at whether the parent is still there. */
const LOOK = 200;

/**
 * Whether this process was started by `npx deep-rfm …` or `npm run NAME`. npm starts a shell and passes TERM on to it; the
 * shell dies of it and tells nobody. Where somebody else is the parent, as in `nohup … &`, it may go and we go on.
 */
function madeByNpm(name) {
  const { npm_lifecycle_event: event, npm_lifecycle_script: script = '' } = process.env;
  return event === name && !script.includes('&') && (event !== 'npx' || /^['"]?deep-rfm\b/.test(script));
}

/**
 * Runs it to its end and resolves with {code, signal}. Beside spawn's options: `onStart(child)`; `onSignal(signal, child)`,
 * which hears of every signal that is to end this process; `parent`, the npm command ('npx' or the name of a script) with
 * whose end both are to end.
 */
export function runChild(command, args, { onStart, onSignal, parent, ...options } = {}) {
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
        onSignal?.(signal, child);
      };
      process.on(signal, handler);
      return [signal, handler];
    });
    const onGone = () => {
      child.kill('SIGTERM');
      onSignal?.('SIGTERM', child);
    };
    const watch = watchParent(parent, onGone);
    if (process.connected) {
      // Whoever opened a channel is gone when it closes. The channel is no reason to stay.
      process.once('disconnect', onGone);
      process.channel.unref();
    } else if (process.connected === false) onGone(); // It closed while this process started.
    const done = () => {
      clearInterval(watch);
      process.off('disconnect', onGone);
      for (const [signal, handler] of handlers) process.off(signal, handler);
    };
    child.once('error', (error) => {
      done();
      reject(error);
    });
    // Not at its exit: what it printed may still be in its pipes.
    child.once('close', (code, signal) => {
      done();
      resolve({ code, signal });
    });
    onStart?.(child);
  });
}

/** npm's shell and, where the system tells, npm itself: killed with -9, npm leaves its shell behind. */
function ancestors() {
  const { ppid } = process;
  try {
    // The name in brackets may hold blanks and brackets itself.
    const stat = readFileSync(`/proc/${ppid}/stat`, 'latin1');
    return `${ppid} ${stat.slice(stat.lastIndexOf(')')).split(' ')[2]}`;
  } catch {
    return String(ppid);
  }
}

function watchParent(name, onGone) {
  if (name === undefined || !madeByNpm(name)) return undefined;
  const first = ancestors();
  const watch = setInterval(() => {
    if (ancestors() === first) return;
    clearInterval(watch);
    onGone();
  }, LOOK);
  return watch.unref();
}

export const signalNumber = (signal) => constants.signals[signal] ?? 1;

/** Ends this process as the child ended. No device lives here, so an abrupt end is safe. */
export function endLike({ code, signal }) {
  if (!signal) {
    process.exitCode = code ?? 1;
    return;
  }
  // Dying of the same signal tells the caller more than a number. If it does not kill us, the shells' number will do.
  process.exitCode = 128 + signalNumber(signal);
  process.kill(process.pid, signal);
}
