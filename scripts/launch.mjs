// Starts the program with the adapter's environment, as a process of its own. This one stays, for what the program
// cannot do itself while a driver compiles or computes: it answers a signal within a second, it notices that npx is gone,
// and it keeps what Dawn and the drivers print away from the program's output.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launchEnv, withoutDriver, writableCacheDir } from './adapter-env.mjs';
import { linesOf } from './dawn-noise.mjs';
import { removeLeftovers } from './leftovers.mjs';
import { endLike, runChild, signalNumber } from './run-child.mjs';

/** Says why nothing was started. */
export function refuse(message, exitCode) {
  process.stderr.write(`deep-rfm: ${message}\n`);
  process.exitCode = exitCode;
}

/** Milliseconds from a signal to the end. The program ends itself before that, if it can (src/cli/interrupt.ts). */
const GRACE = 850;

/** Exit codes that docs/guide.md explains: after any other one, what the driver said may be the reason. */
const EXPLAINED = new Set([0, 2, 3, 4, 5]);

const program = fileURLToPath(new URL('program.mjs', import.meta.url));

/**
 * Runs the program, by default with the arguments of this process; `driver` as launchEnv takes it, `parent` as runChild
 * does. `launcher` is what starts other commands as this one was started.
 */
export async function launch({
  driver,
  args = process.argv.slice(2),
  launcher = process.argv[1],
  parent = 'npx',
} = {}) {
  const { set, problem } = launchEnv(process.env, { driver });
  if (problem) return refuse(problem, 3);
  const { rest, secret } = withoutPassword(args);
  const streams = process.platform === 'win32' ? inherited() : kept(rest.includes('--quiet'));
  let hold = null;
  let stopped = null;
  let killed = false;
  let grace = GRACE;
  const end = await runChild(process.execPath, [...process.execArgv, program, ...rest], {
    env: { ...compiledCode(), ...withoutDriver(), ...set, ...streams.env, ...origin(set, launcher), ...secret },
    stdio: streams.stdio,
    parent,
    onStart(child) {
      child.on('message', (message) => {
        if ('hold' in message) hold = message.hold;
        if ('grace' in message) grace = message.grace + GRACE;
      });
      streams.read(child);
    },
    onSignal(signal, child) {
      if (stopped) return;
      stopped = signal;
      if (child.connected) child.send({ stop: signal }, () => {});
      setTimeout(() => {
        killed = child.kill('SIGKILL');
      }, grace).unref();
    },
  });
  if (hold && end.signal) removeLeftovers(hold);
  if (killed && end.signal === 'SIGKILL') {
    // A progress bar hides the cursor.
    if (process.stderr.isTTY) process.stderr.write('\n\x1b[?25h');
    process.stderr.write(
      `deep-rfm: interrupted by ${stopped} and ended at once; a checkpoint is the last that was whole\n`,
    );
  }
  const asked = stopped && (end.signal === stopped || (killed && end.signal === 'SIGKILL'));
  streams.end(!asked && (end.signal !== null || !EXPLAINED.has(end.code)));
  if (asked) process.exitCode = 128 + signalNumber(stopped);
  else endLike(end);
}

/**
 * Arguments without a URL of `--redis` that holds a password, which goes by DEEP_RFM_REDIS instead: everybody on the machine
 * can read the arguments of a process, also those of this one until it has another title.
 */
function withoutPassword(args) {
  const at = args.findIndex((word) => /^--redis(=|$)/.test(word));
  const own = at < 0 || args[at].includes('=');
  const url = own ? (args[at]?.slice('--redis='.length) ?? '') : (args[at + 1] ?? '');
  if (!/:\/\/.*@/s.test(url)) return { rest: args, secret: {} };
  process.title = 'deep-rfm';
  return { rest: args.toSpliced(at, own ? 1 : 2), secret: { DEEP_RFM_REDIS: url } };
}

/** Where what was compiled is kept: the program by scripts/program.mjs, the names and texts of its kernels by src/cli/gpu-session.ts. */
function compiledCode() {
  const dir = writableCacheDir();
  return dir === null ? {} : { DEEP_RFM_COMPILED: join(dir, 'compiled') };
}

/** Commands that start commands start them as they were started themselves: by the launcher, in its environment. */
const origin = (set, launcher) => ({
  DEEP_RFM_LAUNCHER: launcher,
  DEEP_RFM_ORIGIN: JSON.stringify(
    Object.fromEntries(Object.keys(set).map((name) => [name, process.env[name] ?? null])),
  ),
});

/** Where descriptors beyond the third cannot be handed over. */
const inherited = () => ({ stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env: {}, read() {}, end() {} });

/**
 * The program's 1 and 2 end here; it writes to 4 and 5, which are ours. What comes are the words of Dawn, of drivers, and
 * of Node where it dies: all but the known noise is passed on to stderr, with --quiet only if the end asks for it.
 */
function kept(quiet) {
  const held = [];
  const show = (line) => process.stderr.write(`${line}\n`);
  const take = (line) => {
    if (quiet) held.push(line);
    else show(line);
  };
  return {
    stdio: ['inherit', 'pipe', 'pipe', 'ipc', 1, 2],
    env: { DEEP_RFM_STREAMS: '4 5' },
    read(child) {
      for (const stream of [child.stdout, child.stderr]) linesOf(stream, take);
    },
    end(wanted) {
      if (wanted) for (const line of held) show(line);
    },
  };
}
